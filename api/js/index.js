// A client of weir's values. See README.md, and index.d.ts for all types.

import { Flights, jsonOf } from "./flights.js";
import { CacheError, Node } from "./node.js";

export { CacheError };

/** Returns a cache that keeps its values at the node at `url`. */
export function createCache(options) {
  return new Cache(options ?? {});
}

class Cache {
  #node;
  #flights;
  #onError;

  constructor({ onError = warn, fetchTimeout = 30_000, ...node }) {
    if (typeof onError !== "function") throw new TypeError("onError is a function");
    if (!(fetchTimeout > 0)) throw new TypeError("fetchTimeout is milliseconds");
    this.#node = new Node(node);
    this.#onError = onError;
    this.#flights = new Flights(
      {
        find: (key) => this.#find(key),
        store: (key, text, options) => this.#keep(key, text, options),
        report: (error, key) => this.#report(error, key),
      },
      fetchTimeout,
    );
  }

  async swr(key, fetcher, options = {}) {
    const { ttl = 60, stale = 600, tags, signal, ...rest } = options;
    known(rest);
    if (typeof fetcher !== "function") throw new TypeError("fetcher is a function");
    pathOf(key);
    queryOf({ ttl, stale, tags });
    signal?.throwIfAborted();
    const text = this.#flights.get(key, fetcher, { ttl, stale, tags });
    return JSON.parse(await unless(signal, text));
  }

  async get(key, { signal, ...rest } = {}) {
    known(rest);
    return (await this.entry(key, { signal }))?.value ?? null;
  }

  async entry(key, { signal, ...rest } = {}) {
    known(rest);
    const answer = await this.#node.ask("GET", pathOf(key), { signal, expected: [200, 404] });
    if (missing(answer)) return null;
    const { headers, text } = answer;
    const seconds = (name) => (headers.has(name) ? Number(headers.get(name)) : null);
    return {
      value: valueOf(key, text),
      metadata: JSON.parse(headers.get("weir-metadata") ?? "null"),
      tags: headers.get("cache-tag")?.split(",") ?? [],
      age: seconds("age"),
      ttl: seconds("weir-ttl"),
      stale: headers.get("x-cache") === "stale",
    };
  }

  async set(key, value, options = {}) {
    const { ttl, stale, tags, metadata, signal, ...rest } = options;
    known(rest);
    const path = pathOf(key) + queryOf({ ttl, stale, tags });
    const headers = { "content-type": "application/json" };
    if (metadata !== undefined) headers["weir-metadata"] = ascii(jsonOf(metadata));
    const body = sendable(jsonOf(value));
    await this.#change(key, () => this.#node.ask("PUT", path, { headers, body, signal, expected: [204] }));
  }

  async delete(key, { signal, ...rest } = {}) {
    known(rest);
    const path = pathOf(key);
    const answer = await this.#change(key, () => this.#node.ask("DELETE", path, { signal, expected: [204, 404] }));
    return !missing(answer);
  }

  async has(key, { signal, ...rest } = {}) {
    known(rest);
    return !missing(await this.#node.ask("HEAD", pathOf(key), { signal, expected: [200, 404] }));
  }

  async incr(key, { by = 1, ttl, signal, ...rest } = {}) {
    known(rest);
    if (!Number.isSafeInteger(by)) throw new TypeError("by is a whole number");
    if (ttl !== undefined) seconds("ttl", ttl);
    const request = { body: JSON.stringify({ by, ttl }), headers: { "content-type": "application/json" }, signal };
    const path = pathOf(key) + "/incr";
    const { value } = said(await this.#change(key, () => this.#node.ask("POST", path, request)));
    if (!Number.isSafeInteger(value)) {
      throw new CacheError("unsafe-integer", `${JSON.stringify(key)} was incremented and is now beyond what a number holds exactly.`);
    }
    return value;
  }

  async purge({ tags, signal, ...rest } = {}) {
    known(rest);
    tagsOf(tags);
    if (!tags?.length) throw new TypeError("purge takes at least one tag: purge({ tags: [\"users\"] })");
    const request = { body: JSON.stringify({ tags }), headers: { "content-type": "application/json" }, signal };
    const { regions, pending } = said(await this.#change(undefined, () => this.#node.ask("POST", "/v1/purge", request)));
    return { regions: regions ?? [], pending: pending ?? [] };
  }

  /** Waits for refreshes in the background. The cache can be used on. */
  async close() {
    await this.#flights.settled();
  }

  /** Does what changes a value. Nobody joins a fetch from before it, even if it may only have happened. */
  async #change(key, ask) {
    try {
      return await ask();
    } finally {
      this.#flights.forget(key);
    }
  }

  async #find(key) {
    let epoch;
    try {
      this.#node.throwIfLost();
      const answer = await this.#node.ask("GET", pathOf(key), { expected: [200, 404] });
      epoch = answer.headers.get("weir-epoch") ?? undefined;
      if (missing(answer)) return { epoch };
      valueOf(key, answer.text);
      return { text: answer.text, stale: answer.headers.get("x-cache") === "stale", epoch };
    } catch (error) {
      this.#report(error, key);
      return { epoch }; // what is not JSON is replaced
    }
  }

  async #keep(key, text, { epoch, ...options }) {
    const headers = { "content-type": "application/json", "weir-if-epoch": epoch };
    try {
      await this.#node.ask("PUT", pathOf(key) + queryOf(options), { headers, body: sendable(text), expected: [204] });
    } catch (error) {
      if (error.code === "condition-failed") return false; // purged or written since
      throw error;
    }
    return true;
  }

  #report(error, key) {
    try {
      this.#onError(error, key);
    } catch (thrown) {
      process.emitWarning(thrown instanceof Error ? thrown : String(thrown));
    }
  }
}

const warned = new Set();

/** Tells once of each kind of failure. */
function warn(error, key) {
  const kind = error?.code ?? error?.name ?? "unknown";
  if (warned.size >= 100 || warned.has(kind)) return;
  warned.add(kind);
  process.emitWarning(`${JSON.stringify(key)}: ${error?.message ?? error} ${error?.hint ?? ""}`, "CacheWarning");
}

/** Whether an answer says that nothing is stored. Another 404 is of something that is no node. */
function missing({ status, headers, text }) {
  if (status !== 404) return false;
  if (headers.has("weir-epoch") || text.includes('"missing"')) return true;
  throw unknownAnswer(status);
}

const unknownAnswer = (status) =>
  new CacheError("unknown-answer", "The answer is not that of a weir node.", {
    hint: "Is url that of the listener for values, or of the admin listener?", status,
  });

/** What a node says in JSON. */
function said({ status, text }) {
  try {
    return JSON.parse(text);
  } catch {
    throw unknownAnswer(status);
  }
}

function valueOf(key, text) {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CacheError("not-json", `What is stored under ${JSON.stringify(key)} is not JSON.`, {
      hint: "It was written by another program. This client reads and writes JSON.", cause,
    });
  }
}

function pathOf(key) {
  if (typeof key !== "string") throw new TypeError(`a key is a string, not ${typeof key}`);
  if (key !== "" && key !== "." && key !== "..") {
    try {
      return "/v1/kv/" + encodeURIComponent(key);
    } catch {
      // half of a surrogate pair, which UTF-8 has no bytes for
    }
  }
  throw new CacheError("bad-key", `${JSON.stringify(key)} is no key.`, {
    hint: 'A key is text of 1 to 1024 bytes; "." and ".." cannot stand in a URL.',
  });
}

function queryOf({ ttl, stale, tags }) {
  const query = new URLSearchParams();
  if (ttl !== undefined) query.set("ttl", seconds("ttl", ttl));
  if (stale !== undefined && stale !== 0) query.set("stale", seconds("stale", stale));
  for (const tag of tagsOf(tags)) query.append("tag", tag);
  return query.size > 0 ? `?${query}` : "";
}

function seconds(name, value) {
  if (typeof value !== "number" || !(value > 0) || !(value < 1e10)) {
    throw new TypeError(`${name} is a number of seconds, more than 0, not ${value}`);
  }
  return Number.isInteger(value) ? String(value) : value.toFixed(9);
}

const maxValue = 8 << 20; // bytes

/** Refuses what a node would, which might end the connection before the client has read why. */
function sendable(text) {
  if (text.length <= maxValue && Buffer.byteLength(text) <= maxValue) return text;
  throw new CacheError("too-large", "A value has at most 8 MiB as JSON; nothing was stored.", { hint: "Store it in parts, under several keys." });
}

function tagsOf(tags) {
  if (tags === undefined) return [];
  if (!Array.isArray(tags) || !tags.every((tag) => typeof tag === "string" && tag !== "")) {
    throw new TypeError("tags is an array of strings");
  }
  return tags;
}

/** Refuses options that mean nothing here: what is misspelt must not be lost without a word. */
function known(rest) {
  const [name] = Object.keys(rest);
  if (name !== undefined) throw new TypeError(`there is no option ${name}`);
}

/** JSON as a header field can have it. */
function ascii(json) {
  return json.replace(/[\u007f-\uffff]/g, (unit) => "\\u" + unit.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** What promise brings, unless signal aborts first. */
async function unless(signal, promise) {
  if (!signal) return promise;
  promise.catch(() => {}); // nobody may be left
  let leave;
  const left = new Promise((_, reject) => {
    leave = () => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
  });
  try {
    return await Promise.race([promise, left]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}
