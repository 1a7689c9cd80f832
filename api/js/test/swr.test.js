import assert from "node:assert/strict";
import { test } from "node:test";

import { cacheOf, clock, gate, node, pretend, until } from "./world.js";

/** A fetcher that counts, and brings values in turn; the last one again and again. */
function fetcher(...values) {
  const fetch = async () => {
    const value = values[Math.min(fetch.calls++, values.length - 1)];
    if (value instanceof Error) throw value;
    return value;
  };
  fetch.calls = 0;
  return fetch;
}

/** Fetches key and waits until it is stored and stale. */
async function stale(cache, key, value) {
  await cache.swr(key, () => value, { ttl: 0.02 });
  await cache.close();
  await until(async () => (await cache.entry(key)).stale);
}

test("fetched once, and then from the node", async () => {
  const cache = cacheOf(node);
  const fetch = fetcher({ name: "ann" });
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await cache.swr("user:42", fetch, { tags: ["users"] }), { name: "ann" });
    await cache.close();
  }
  assert.equal(fetch.calls, 1);
  const { ttl, tags } = await cache.entry("user:42");
  assert.ok(50 < ttl && ttl <= 60, "60 s by default");
  assert.deepEqual(tags, ["users"]);
  assert.deepEqual(await cacheOf(node).swr("user:42", fetch), { name: "ann" }, "another process has it, too");
  assert.equal(fetch.calls, 1);
  assert.deepEqual(cache.reported, []);
});

test("a fetcher is told the key, and what it brings is what JSON says", async () => {
  const cache = cacheOf(node);
  const bring = ({ key, signal }) => ({ key, signal: signal.aborted, at: new Date(0), none: undefined });
  const want = { key: "told", signal: false, at: "1970-01-01T00:00:00.000Z" };
  assert.deepEqual(await cache.swr("told", bring), want);
  await cache.close();
  assert.deepEqual(await cache.swr("told", bring), want);
  assert.equal(await cache.swr("null", fetcher(null)), null);
  await cache.close();
  assert.equal(await cache.swr("null", () => assert.fail("null is a value")), null);
  await assert.rejects(cache.swr("undefined", () => undefined), TypeError);
  await assert.rejects(cache.swr("none", undefined), TypeError);
});

test("a thousand callers of a cold key are one fetch, and nobody shares an object", async () => {
  const cache = cacheOf(node);
  const { opened, open } = gate();
  let calls = 0;
  const all = Array.from({ length: 1000 }, () => cache.swr("cold", async () => (calls++, await opened, { list: [] })));
  await until(() => calls > 0);
  open();
  const values = await Promise.all(all);
  assert.equal(calls, 1);
  values[0].list.push("mine");
  assert.ok(values.slice(1).every((value) => value.list.length === 0));
});

test("stale is returned at once and refreshed once, in the background", async () => {
  const cache = cacheOf(node);
  await stale(cache, "stale", "old");
  const { opened, open } = gate();
  let calls = 0;
  const fetch = async () => (calls++, await opened, "new");
  const all = await Promise.all(Array.from({ length: 1000 }, () => cache.swr("stale", fetch)));
  assert.ok(all.every((value) => value === "old"), "nobody waits");
  assert.equal(await cache.swr("stale", fetch), "old");
  open();
  await cache.close();
  assert.equal(await cache.swr("stale", fetch), "new");
  assert.equal(calls, 1);
});

test("a fetcher that throws harms nobody else, and nothing is stored", async (t) => {
  const pass = clock(t);
  const cache = cacheOf(node);
  const broken = new Error("no database");
  const fetch = fetcher(broken, "back");
  const other = cache.swr("other", () => "fine");
  await assert.rejects(cache.swr("broken", fetch), broken);
  await assert.rejects(cache.swr("thrown", () => { throw broken; }), broken);
  assert.equal(await other, "fine");
  assert.equal(await cache.has("broken"), false);
  assert.equal(await cache.swr("broken", fetch), "back");

  await stale(cache, "kept", "old");
  assert.equal(await cache.swr("kept", fetcher(broken)), "old");
  await cache.close();
  assert.deepEqual(cache.reported.map(({ key, error }) => [key, error]), [["kept", broken]]);
  assert.equal(await cache.swr("kept", () => assert.fail("too soon")), "old");
  await cache.close();
  assert.equal(cache.reported.length, 1);
  pass(1000);
  assert.equal(await cache.swr("kept", fetcher("new")), "old", "stale is there until a refresh succeeds");
  await cache.close();
  assert.equal(await cache.get("kept"), "new");
});

test("a fetcher that hangs is given up", async () => {
  const cache = cacheOf(node, { fetchTimeout: 50 });
  let told;
  const hang = ({ signal }) => ((told = signal), new Promise(() => {}));
  await assert.rejects(cache.swr("hung", hang), { code: "fetch-timeout" });
  assert.equal(told.reason.code, "fetch-timeout");
  assert.equal(await cache.swr("hung", fetcher("back")), "back");
});

test("what a purge overtakes is not stored, and nobody who comes later gets it", async () => {
  for (const [key, overtake] of Object.entries({
    "own purge": (cache) => cache.purge({ tags: ["overtaken"] }),
    "purge of others": () => cacheOf(node).purge({ tags: ["overtaken"] }),
    "own set": (cache, key) => cache.set(key, "set"),
    "set of others": (_, key) => cacheOf(node).set(key, "set"),
    "delete of others": (_, key) => cacheOf(node).delete(key),
  })) {
    const cache = cacheOf(node);
    const { opened, open } = gate();
    let calls = 0;
    const first = cache.swr(key, async () => (calls++, await opened, "old"), { tags: ["overtaken"] });
    await until(() => calls > 0);
    await overtake(cache, key);
    const second = cache.swr(key, () => "new", { tags: ["overtaken"] });
    open();
    assert.equal(await first, "old", key);
    const later = key.includes("set") ? "set" : "new";
    assert.equal(await second, later, key);
    await cache.close();
    assert.equal(await cache.get(key), later, key);
    assert.deepEqual(cache.reported, []);
  }
});

test("what is outdated again and again is fetched twice, not by each in turn", async (t) => {
  const node = await pretend(t, ({ method }, answer) => {
    const [status, code] = method === "GET" ? [404, "missing"] : [412, "condition-failed"];
    answer.writeHead(status, { "weir-epoch": "7" }).end(JSON.stringify({ error: { code, message: "No." } }));
  });
  const cache = cacheOf(node);
  let calls = 0;
  const values = await Promise.all(Array.from({ length: 50 }, () => cache.swr("busy", () => ++calls)));
  assert.deepEqual(values, [1, ...Array(49).fill(2)]);
  assert.deepEqual(cache.reported, []);
});

test("who leaves takes nobody along", async () => {
  const cache = cacheOf(node);
  const { opened, open } = gate();
  const leave = new AbortController();
  const fetch = async () => (await opened, "fetched");
  const leaving = cache.swr("left", fetch, { signal: leave.signal });
  const staying = cache.swr("left", fetch);
  leave.abort(new Error("gone"));
  await assert.rejects(leaving, /gone/);
  open();
  assert.equal(await staying, "fetched");
  await assert.rejects(cache.swr("left", fetch, { signal: AbortSignal.abort(new Error("before")) }), /before/);
  await assert.rejects(cache.get("left", { signal: AbortSignal.abort(new Error("before")) }), /before/);
});
