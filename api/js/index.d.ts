/** What JSON can say. Values are written and read as JSON: a Date comes back as a string. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface CacheOptions {
  /** A node's `--kv-listen` or `--admin` address, as "http://127.0.0.1:8083". */
  url: string;
  /** Its `--kv-token` or `--admin-token`. */
  token?: string;
  /** How long a node may take to answer, in milliseconds. Default 2000. */
  timeout?: number;
  /** How long a fetcher may take, in milliseconds. Default 30000. */
  fetchTimeout?: number;
  /**
   * Is told of what no caller sees: refreshes that failed, and nodes that did not answer `swr`.
   * By default each kind of failure is a process warning, once.
   */
  onError?: (error: unknown, key: string) => void;
}

export interface Cancellable {
  /** When it aborts, its reason is thrown. */
  signal?: AbortSignal;
}

export interface Lifetime {
  /** Seconds for which the value is fresh. */
  ttl?: number;
  /** Seconds after these for which it is stale: still there, and refreshed by `swr`. */
  stale?: number;
  /** What `purge` can name it by. */
  tags?: string[];
}

export interface SetOptions extends Lifetime, Cancellable {
  /** Kept beside the value, at most 4 KiB as JSON. */
  metadata?: unknown;
}

export interface FetchContext {
  key: string;
  /** Aborts when the fetcher has taken too long. */
  signal: AbortSignal;
}

export interface Entry<T> {
  value: T;
  metadata: unknown;
  tags: string[];
  /** Seconds since it was written. */
  age: number;
  /** Seconds for which it is still fresh, null: for ever. */
  ttl: number | null;
  stale: boolean;
}

export interface PurgeReport {
  /** Who has applied it, and how long that took. */
  regions: { region: string; appliedMs: number }[];
  /** Who has not answered in time. Nothing from before the purge is served there once they are back. */
  pending: string[];
}

export interface Cache {
  /**
   * The value under key: fresh from the node; or stale from the node, and refreshed in the background; or
   * from fetcher, and stored. By default fresh for 60 seconds and stale for 600 more.
   */
  swr<T>(key: string, fetcher: (context: FetchContext) => T | Promise<T>, options?: Lifetime & Cancellable): Promise<T>;
  /** The value under key, fresh or stale; null when there is none. */
  get<T = unknown>(key: string, options?: Cancellable): Promise<T | null>;
  /** The value with what is known of it; null when there is none. */
  entry<T = unknown>(key: string, options?: Cancellable): Promise<Entry<T> | null>;
  /** Stores a value, which is durable and on its way to all regions then. Without ttl it stays. */
  set(key: string, value: unknown, options?: SetOptions): Promise<void>;
  /** Deletes a value; whether there was one. */
  delete(key: string, options?: Cancellable): Promise<boolean>;
  has(key: string, options?: Cancellable): Promise<boolean>;
  /** Adds to a number, from 0, and returns it. The ttl is that of a number that begins with this. */
  incr(key: string, options?: { by?: number; ttl?: number } & Cancellable): Promise<number>;
  /** Makes all values, and all pages, with one of these tags disappear in all regions. */
  purge(what: { tags: string[] } & Cancellable): Promise<PurgeReport>;
  /** Waits for refreshes in the background. */
  close(): Promise<void>;
}

export function createCache(options: CacheOptions): Cache;

/**
 * What a node refused, with the node's code, message and hint; or, without a status, "unreachable",
 * "timeout", "fetch-timeout", "not-json", "bad-key" or "unsafe-integer".
 */
export class CacheError extends Error {
  readonly code: string;
  readonly hint: string;
  readonly status?: number;
}
