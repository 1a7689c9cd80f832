import assert from "node:assert/strict";
import { test } from "node:test";

import { CacheError, createCache } from "../index.js";
import { cacheOf, clock, pretend } from "./world.js";

/** What every operation but swr does at a node that is in trouble. */
async function allReject(cache, want) {
  for (const [name, ...given] of [["get", "a"], ["entry", "a"], ["has", "a"], ["set", "a", 1], ["delete", "a"], ["incr", "a"], ["purge", { tags: ["a"] }]]) {
    await assert.rejects(cache[name](...given), want, name);
  }
}

test("without a node, swr fetches and all else says so", async (t) => {
  const node = await pretend(t, (_, answer) => answer.writeHead(200, { "weir-epoch": "1" }).end('"stored"'));
  const cache = cacheOf(node);
  assert.equal(await cache.swr("a", () => "fetched"), "stored");
  await node.stop();
  let calls = 0;
  assert.deepEqual(await Promise.all([cache.swr("a", () => ++calls), cache.swr("a", () => ++calls)]), [1, 1], "still one at a time");
  assert.equal(await cache.swr("a", () => ++calls), 2);
  await cache.close();
  assert.ok(cache.reported.length >= 2 && cache.reported.every(({ key, code }) => key === "a" && code === "unreachable"));
  await allReject(cache, (error) => {
    assert.equal(error.code, "unreachable");
    assert.ok(error.message.includes(node.url) && error.message.includes("ECONNREFUSED") && error.hint, error.message);
    return true;
  });
});

test("a node that hangs is given up", async (t) => {
  const node = await pretend(t, () => {});
  const cache = cacheOf(node, { timeout: 30 });
  await allReject(cache, { code: "timeout", message: /30 ms/ });
  assert.equal(await cache.swr("a", () => "fetched"), "fetched");
  const abort = new AbortController();
  const asked = cacheOf(node).get("a", { signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(asked, /enough/);
});

test("swr does not wait for a node that hangs, and one call a second tries", async (t) => {
  const pass = clock(t);
  let asked = 0, hangs = true;
  const node = await pretend(t, (_, answer) => (asked++, hangs || answer.writeHead(200, { "weir-epoch": "1" }).end('"stored"')));
  const cache = cacheOf(node, { timeout: 500 });
  const swr = (key) => cache.swr(key, () => "fetched");
  for (const key of ["a", "b", "c"]) assert.equal(await swr(key), "fetched");
  assert.equal(asked, 1);
  assert.deepEqual(cache.reported.map(({ key, code }) => key + code), ["atimeout", "btimeout", "ctimeout"]);
  await assert.rejects(cache.get("a"), { code: "timeout" });
  assert.equal(asked, 2, "get tries");
  pass(1000);
  await Promise.all(["a", "b", "c"].map(swr));
  assert.equal(asked, 3);
  hangs = false;
  pass(1000);
  assert.equal(await swr("a"), "stored");
  assert.equal(await swr("b"), "stored", "it answers again");
});

test("a refresh that cannot be stored is not tried again at once", async (t) => {
  const pass = clock(t);
  const node = await pretend(t, ({ method }, answer) => {
    if (method === "GET") return answer.writeHead(200, { "weir-epoch": "7", "x-cache": "stale" }).end('"old"');
    return answer.writeHead(503).end('{"error":{"code":"shield-unreachable","message":"No."}}');
  });
  const cache = cacheOf(node);
  let calls = 0;
  for (const want of [1, 1, 2]) {
    if (want === 2) pass(1000);
    assert.equal(await cache.swr("a", () => ++calls), "old");
    await cache.close();
    assert.equal(calls, want);
  }
  assert.deepEqual(cache.reported.map(({ code }) => code), ["shield-unreachable", "shield-unreachable"]);
});

test("a node gets a bounded number of requests at a time", async (t) => {
  let running = 0, most = 0, held = [];
  const node = await pretend(t, (_, answer) => {
    most = Math.max(most, ++running);
    held.push(() => (running--, answer.writeHead(200).end("1")));
    if (held.length < 100) return;
    held.forEach((release) => release());
    held = [];
  });
  const cache = cacheOf(node, { timeout: 30_000 });
  const leave = new AbortController();
  const all = Array.from({ length: 200 }, () => cache.get("a"));
  const left = cache.get("a", { signal: leave.signal });
  leave.abort(new Error("enough"));
  await assert.rejects(left, /enough/);
  assert.deepEqual(new Set(await Promise.all(all)), new Set([1]));
  assert.equal(most, 100);
});

test("an answer that breaks off is none", async (t) => {
  const node = await pretend(t, (_, answer) => {
    answer.writeHead(200, { "content-length": 100 });
    answer.write('"half');
    answer.destroy();
  });
  const cache = cacheOf(node);
  await assert.rejects(cache.get("a"), { code: "unreachable" });
  assert.equal(await cacheOf(node).swr("a", () => "fetched"), "fetched");
});

test("what is no node is said to be none", async (t) => {
  const answers = [
    [404, "<html>not here</html>"], [404, '{"error":{"code":"not-found","message":"There is nothing."}}'], [200, "hello"],
    [500, ""], [502, '{"error":"bad gateway"}'], [302, ""],
  ];
  for (const [status, body] of answers) {
    const node = await pretend(t, (_, answer) => answer.writeHead(status, { location: "/elsewhere" }).end(body));
    const cache = cacheOf(node);
    await assert.rejects(cache.get("a"), (error) => ["unknown-answer", "not-json", "unreachable"].includes(error.code) || assert.fail(error));
    await assert.rejects(cache.incr("a"), (error) => error instanceof CacheError || assert.fail(error));
    if (status !== 200) await assert.rejects(cache.has("a"), CacheError);
    assert.equal(await cache.swr("a", () => "fetched"), "fetched");
    assert.equal(cache.reported.length, 1);
  }
});

test("a value that cannot be stored is still returned", async (t) => {
  const node = await pretend(t, (request, answer) => {
    const [status, body] = request.method === "GET" ? [404, { code: "missing", message: "No." }] : [503, { code: "overloaded", message: "Too much." }];
    answer.writeHead(status, { "weir-epoch": "7" }).end(JSON.stringify({ error: body }));
  });
  const cache = cacheOf(node);
  assert.equal(await cache.swr("a", () => "fetched"), "fetched");
  await cache.close();
  assert.deepEqual(cache.reported.map(({ code }) => code), ["overloaded"]);
});

test("an onError that throws breaks nothing, and without one there is a warning of each kind", async () => {
  const warnings = [];
  const heard = (warning) => warnings.push(String(warning));
  process.on("warning", heard);
  const url = "http://127.0.0.1:1";
  const clumsy = createCache({ url, onError: () => { throw new Error("clumsy"); } });
  assert.equal(await clumsy.swr("a", () => 1), 1);
  const silent = createCache({ url });
  for (let i = 0; i < 3; i++) assert.equal(await silent.swr("a", () => i), i);
  await new Promise(setImmediate);
  process.off("warning", heard);
  assert.equal(warnings.filter((text) => text.includes("clumsy")).length, 1);
  assert.equal(warnings.filter((text) => text.includes("CacheWarning") && text.includes("No answer from http://127.0.0.1:1")).length, 1);
});
