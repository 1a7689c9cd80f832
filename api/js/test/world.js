// What the tests stand on: values at a node, servers that only pretend, and waiting.

import { createServer } from "node:http";

import { createCache } from "../index.js";

/** A node with values, which the Go test beside these has started. All tests share it. */
export const node = { url: process.env.WEIR_KV_URL };
export const token = process.env.WEIR_KV_TOKEN;

/** A cache of node that keeps what it reports. */
export function cacheOf(node, options = {}) {
  const reported = [];
  const cache = createCache({ url: node.url, token, onError: (error, key) => reported.push({ key, code: error.code, error }), ...options });
  return Object.assign(cache, { reported });
}

/** A server for one test that answers as handle does. */
export async function pretend(t, handle) {
  const server = createServer(handle);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  t.after(stop);
  return { url: `http://127.0.0.1:${server.address().port}`, stop };
}

/** Waits until holds does, for what nothing tells of. */
export async function until(holds) {
  const late = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > late) throw new Error(`never: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Stops the clock for one test, and returns what moves it on. */
export function clock(t) {
  let now = performance.now();
  t.mock.method(performance, "now", () => now);
  return (milliseconds) => (now += milliseconds);
}

/** A promise, and what resolves it. */
export function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { opened, open };
}
