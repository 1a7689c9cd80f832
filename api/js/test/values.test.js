import assert from "node:assert/strict";
import { test } from "node:test";

import { CacheError, createCache } from "../index.js";
import { cacheOf, node, token, until } from "./world.js";

const cache = cacheOf(node);

const refused = (code, more = {}) => (error) => {
  assert.ok(error instanceof CacheError, error);
  assert.equal(error.code, code);
  for (const [name, want] of Object.entries(more)) assert.match(String(error[name]), want);
  return true;
};

test("values come back as JSON has them", async () => {
  for (const value of [null, true, 0, -1.5, "", "naïve \u2028 🦊", [], [1, [2]], {}, { a: { b: null } }, "x".repeat(1 << 20)]) {
    await cache.set("value", value);
    assert.deepEqual(await cache.get("value"), value);
    assert.equal(await cache.has("value"), true);
  }
  await cache.set("value", new Date(0));
  assert.equal(await cache.get("value"), "1970-01-01T00:00:00.000Z");
  for (const value of [undefined, () => 1, Symbol("a"), 1n]) await assert.rejects(cache.set("value", value), TypeError);
  assert.equal(await cache.get("value"), "1970-01-01T00:00:00.000Z", "a refused value changed nothing");
});

test("any text is a key", async () => {
  const keys = ["a/b/c", "a//b", "/", "a/../b", "./a", "%2F", "100%", "a?b=c#d", "a b+c", "ключ", "🦊", "a\nb", "value/incr", "incr", "...", "x".repeat(1024)];
  await Promise.all(keys.map((key) => cache.set(key, { key })));
  for (const key of keys) assert.deepEqual(await cache.get(key), { key });
});

test("what is no key is refused", async () => {
  for (const key of ["", ".", "..", "\ud800", "x".repeat(1025), "é".repeat(600)]) {
    await assert.rejects(cache.get(key), refused("bad-key", { hint: /./ }));
    await assert.rejects(cache.set(key, 1), refused("bad-key"));
    await assert.rejects(cache.swr(key, () => 1).then(() => cache.get(key)), refused("bad-key"));
  }
  for (const key of [undefined, null, 1, {}]) await assert.rejects(cache.get(key), TypeError);
});

test("missing and deleted", async () => {
  assert.equal(await cache.get("nothing"), null);
  assert.equal(await cache.entry("nothing"), null);
  assert.equal(await cache.has("nothing"), false);
  assert.equal(await cache.delete("nothing"), false);
  await cache.set("something", 1);
  assert.equal(await cache.delete("something"), true);
  assert.equal(await cache.has("something"), false);
});

test("lifetimes, tags and metadata", async () => {
  await cache.set("plain", 1);
  const plain = await cache.entry("plain");
  assert.deepEqual(plain, { value: 1, metadata: null, tags: [], age: plain.age, ttl: null, stale: false });
  const metadata = { by: "Ann Ünal", "at\n": "🦊\x7f" };
  await cache.set("described", [2], { ttl: 60.5, stale: 600, tags: ["users", "user:42 & co?"], metadata });
  const { ttl, age, ...described } = await cache.entry("described");
  assert.deepEqual(described, { value: [2], metadata, tags: ["users", "user:42 & co?"], stale: false });
  assert.ok(0 < ttl && ttl <= 60.5 && age >= 0);
  await cache.set("brief", 1, { ttl: 0.05 });
  await until(async () => (await cache.get("brief")) === null);
  await cache.set("brief", 1, { ttl: 0.05, stale: 600 });
  await until(async () => (await cache.entry("brief")).stale);
  assert.equal(await cache.get("brief"), 1);
});

test("counting", async () => {
  const each = Array.from({ length: 100 });
  const counted = await Promise.all(each.map(() => cache.incr("hits", { by: 2 })));
  assert.deepEqual(counted.sort((a, b) => a - b), each.map((_, i) => 2 * (i + 1)));
  assert.equal(await cache.get("hits"), 200);
  assert.equal(await cache.incr("hits", { by: -250 }), -50);
  assert.equal(await cache.incr("window", { ttl: 60 }), 1);
  const { ttl } = await cache.entry("window");
  assert.equal(await cache.incr("window", { ttl: 6000 }), 2);
  assert.ok((await cache.entry("window")).ttl <= ttl, "a window keeps its end");

  await cache.set("text", "a");
  await assert.rejects(cache.incr("text"), refused("not-a-number", { hint: /./, status: /409/ }));
  await cache.set("big", Number.MAX_SAFE_INTEGER);
  await assert.rejects(cache.incr("big"), refused("unsafe-integer"));
  for (const by of [0.5, 2 ** 53, "1", null]) await assert.rejects(cache.incr("hits", { by }), TypeError);
});

test("purging by tag", async () => {
  await cache.set("user:1", 1, { tags: ["users", "user:1"] });
  await cache.set("user:2", 2, { tags: ["users", "user:2"] });
  await cache.set("page", 3, { tags: ["pages"] });
  const report = await cache.purge({ tags: ["user:1"] });
  assert.deepEqual(report.pending, []);
  assert.ok(Array.isArray(report.regions));
  assert.deepEqual([await cache.get("user:1"), await cache.get("user:2")], [null, 2]);
  await cache.purge({ tags: ["users", "others"] });
  assert.deepEqual([await cache.get("user:2"), await cache.get("page")], [null, 3]);
  for (const what of [undefined, {}, { tags: [] }, { tags: "users" }, { tags: [""] }]) await assert.rejects(cache.purge(what), TypeError);
});

test("options that mean nothing are refused before anything is done", async () => {
  for (const options of [{ tll: 1 }, { ttl: "60" }, { ttl: -1 }, { ttl: 0 }, { ttl: NaN }, { ttl: Infinity }, { stale: -1 }, { stale: NaN }, { tags: "a" }, { tags: [1] }]) {
    await assert.rejects(cache.set("options", 1, options), TypeError);
    await assert.rejects(cache.swr("options", () => assert.fail("was called"), options), TypeError);
  }
  assert.equal(await cache.has("options"), false);
  for (const options of [undefined, {}, { url: 1 }, { url: "127.0.0.1:80" }, { url: "ftp://a" }, { url: "http://a/b" }, { url: "http://a@b" },
    { url: "http://a", token: "a b" }, { url: "http://a", timeout: 0 }, { url: "http://a", onError: 1 }]) {
    assert.throws(() => createCache(options), TypeError);
  }
});

test("what the node refuses comes with its words", async () => {
  await assert.rejects(cache.set("large", "x".repeat(9 << 20)), refused("too-large", { message: /8 MiB/, hint: /./ }));
  await assert.rejects(cache.set("odd", 1, { stale: 60 }), refused("bad-value", { message: /ttl/ }));
  await assert.rejects(cache.set("odd", 1, { tags: ["a,b"] }), refused("bad-value", { message: /comma/ }));
  await assert.rejects(cache.set("odd", 1, { metadata: "x".repeat(5000) }), refused("bad-value", { hint: /4/ }));
  assert.equal(await cache.has("odd"), false);
  await assert.rejects(cacheOf(node, { token: undefined }).get("a"), refused("unauthorized", { status: /401/, hint: /Bearer/ }));
});

test("what is not JSON is said to be none, and swr replaces it", async () => {
  await fetch(`${node.url}/v1/kv/bytes`, { method: "PUT", body: "\x00\x01", headers: { authorization: `Bearer ${token}` } });
  await assert.rejects(cache.get("bytes"), refused("not-json", { message: /bytes/ }));
  assert.equal(await cache.swr("bytes", () => "fetched"), "fetched");
  assert.equal(cache.reported.at(-1).code, "not-json");
  await cache.close();
  assert.equal(await cache.get("bytes"), "fetched");
});
