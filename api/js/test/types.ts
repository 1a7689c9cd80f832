// How the client is used, for the type checker. Nothing runs this.

import { CacheError, createCache, type Cache, type Entry } from "../index.js";

interface User { id: number; name: string }

export async function uses(): Promise<void> {
  const cache: Cache = createCache({ url: "http://127.0.0.1:8083", token: "t", onError: (error, key) => console.log(key, error) });
  const fetched: User = await cache.swr("user:42", async ({ key, signal }) => ({ id: signal.aborted ? 0 : key.length, name: "ann" }), { ttl: 60, stale: 600, tags: ["users"] });
  const got: User | null = await cache.get<User>("user:42");
  const entry: Entry<User> | null = await cache.entry<User>("user:42", { signal: AbortSignal.timeout(100) });
  await cache.set("user:42", got ?? fetched, { ttl: 60, stale: 600, tags: ["users"], metadata: { by: entry?.metadata } });
  const deleted: boolean = (await cache.delete("user:42")) && (await cache.has("user:42"));
  const count: number = await cache.incr("hits", { by: deleted ? 1 : 2, ttl: 60 });
  const { pending } = await cache.purge({ tags: ["users"] });
  await cache.close().catch((error: unknown) => error instanceof CacheError && error.code + error.hint + count + pending.length);
  // @ts-expect-error a key is a string
  await cache.get(42);
  // @ts-expect-error there is no such option
  await cache.set("a", 1, { tll: 60 });
  // @ts-expect-error a purge names tags
  await cache.purge({});
}
