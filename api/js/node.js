// What is said to a node over HTTP, and how its refusals come back.

/** What went wrong with a request. `code` is for programs. */
export class CacheError extends Error {
  constructor(code, message, { hint = "", status, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "CacheError";
    this.code = code;
    this.hint = hint;
    this.status = status;
  }
}

/** How many requests, and so connections, a node gets at a time. The others wait for their turn. */
const maxRequests = 100;

/** For how long what has just failed is left alone, in milliseconds. */
export const pause = 1000;

/** One node, or a balancer before several. */
export class Node {
  #running = 0;
  #waiting = new Set(); // who calls the next one, in order
  #base;
  #authorization;
  #timeout;
  #lost; // {error, until} since a request had no answer, and until one has

  constructor({ url, token, timeout = 2000 }) {
    this.#base = baseOf(url);
    if (token !== undefined && (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token))) {
      throw new TypeError("token is a string without spaces");
    }
    if (!(timeout > 0 && timeout <= maxTimeout)) throw new TypeError(`timeout is milliseconds, at most ${maxTimeout}`);
    this.#authorization = token && `Bearer ${token}`;
    this.#timeout = timeout;
  }

  /**
   * Sends a request and reads its answer whole. An answer with another status than `expected`
   * is a CacheError, and so is none within the timeout. When `signal` aborts, its reason is thrown.
   */
  async ask(method, path, { headers = {}, body, signal, expected = [200] } = {}) {
    signal?.throwIfAborted();
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(this.#lose(late(this.#base, this.#timeout))), this.#timeout);
    const leave = () => stop.abort(signal.reason);
    signal?.addEventListener("abort", leave, { once: true });
    let entered = false;
    try {
      await this.#enter(stop.signal);
      entered = true;
      const answer = await fetch(this.#base + path, {
        method,
        body,
        headers: this.#authorization ? { ...headers, authorization: this.#authorization } : headers,
        redirect: "error", // a token is for one node
        signal: stop.signal,
      });
      const text = await answer.text();
      this.#lost = undefined;
      if (!expected.includes(answer.status)) throw refusal(this.#base + path, answer.status, text);
      return { status: answer.status, headers: answer.headers, text };
    } catch (error) {
      if (stop.signal.aborted) throw stop.signal.reason;
      throw error instanceof CacheError ? error : this.#lose(unreachable(this.#base, error));
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", leave);
      if (entered) this.#leave();
    }
  }

  /** Throws what went wrong where the node has just not answered. Of those who ask after a pause, one may try for all. */
  throwIfLost() {
    if (!this.#lost) return;
    if (performance.now() < this.#lost.until) throw this.#lost.error;
    this.#lose(this.#lost.error);
  }

  #lose(error) {
    this.#lost = { error, until: performance.now() + pause };
    return error;
  }

  #enter(signal) {
    if (this.#running < maxRequests) {
      this.#running++;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      this.#waiting.add(resolve);
      signal.addEventListener("abort", () => this.#waiting.delete(resolve) && reject(signal.reason), { once: true });
    });
  }

  #leave() {
    for (const turn of this.#waiting) {
      this.#waiting.delete(turn);
      return turn(); // in our place
    }
    this.#running--;
  }
}

const maxTimeout = 2 ** 31 - 1; // of a timer

function baseOf(url) {
  const at = URL.canParse(url) ? new URL(url) : undefined;
  const bare = at?.pathname === "/" && !at.search && !at.hash && !at.username && !at.password;
  if (!bare || !["http:", "https:"].includes(at.protocol)) {
    throw new TypeError(`url is that of a node, http://HOST:PORT and nothing behind it, not ${url}`);
  }
  return at.origin;
}

function refusal(at, status, text) {
  const said = parsed(text)?.error;
  if (typeof said?.code === "string" && typeof said.message === "string") {
    return new CacheError(said.code, said.message, { hint: said.hint || "", status });
  }
  return new CacheError("unknown-answer", `${at} answered with status ${status}.`, {
    hint: "Is it the listener for values, or the admin listener, of a weir node?", status,
  });
}

/** What text is as JSON, undefined if it is none. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function late(node, timeout) {
  return new CacheError("timeout", `No answer from ${node} within ${timeout} ms.`, {
    hint: "A write may have happened, or may not. createCache takes a longer timeout.",
  });
}

function unreachable(node, error) {
  const cause = error.cause ?? error;
  return new CacheError("unreachable", `No answer from ${node}: ${cause.code ?? cause.message}.`, {
    hint: "Check that the node runs and that url is its --kv-listen or --admin address.", cause: error,
  });
}
