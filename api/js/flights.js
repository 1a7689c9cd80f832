// Stale-while-revalidate: who asks for a key while it is fetched waits for the same fetch.

import { CacheError, pause } from "./node.js";

/** How many failed refreshes are remembered. */
const maxFailed = 10_000;

/**
 * The fetches in progress, by key. `values` looks up, stores and reports:
 *
 *   find(key)                  {text, stale, epoch}; text is undefined where nothing is stored, epoch
 *                              where it is not known; never rejects
 *   store(key, text, options)  resolves with whether nothing has outdated text meanwhile; rejects if it cannot be stored
 *   report(error, key)         is told of what no caller sees
 */
export class Flights {
  #values;
  #patience;
  #flying = new Map(); // key -> flight
  #refreshing = new Map(); // key -> token of the one refresh
  #failed = new Map(); // key -> when its refresh may be tried again, in that order
  #background = new Set(); // promises that nobody awaits but close

  constructor(values, patience) {
    this.#values = values;
    this.#patience = patience;
  }

  /** The JSON under key, from the node or from fetcher. */
  async get(key, fetcher, options) {
    let again = false;
    for (;;) {
      const flight = this.#flying.get(key);
      if (!flight) return this.#start(key, fetcher, options).text;
      // What comes late into a flight gets its value only if that is not from before a purge.
      // The next flight began after this call, and so did whatever outdates it.
      const text = await flight.text;
      if (again || !(await flight.outdated)) return text;
      again = true;
      if (this.#flying.get(key) === flight) this.#flying.delete(key);
    }
  }

  /** Lets nobody join what is being fetched for key, or for any key: it may be older than what is there now. */
  forget(key) {
    for (const table of [this.#flying, this.#refreshing, this.#failed]) {
      if (key === undefined) table.clear();
      else table.delete(key);
    }
  }

  /** Waits for refreshes and for values on their way to the node. */
  async settled() {
    while (this.#background.size > 0) await Promise.all(this.#background);
  }

  #start(key, fetcher, options) {
    const flight = {};
    let landed;
    flight.outdated = new Promise((resolve) => (landed = resolve));
    flight.text = this.#fly(key, fetcher, options, landed);
    this.#flying.set(key, flight);
    const leave = () => {
      if (this.#flying.get(key) === flight) this.#flying.delete(key);
    };
    flight.text.catch(() => landed(false));
    flight.outdated.then(leave);
    return flight;
  }

  /** Resolves with the value as soon as it is there, and calls landed when nothing is left to be done. */
  async #fly(key, fetcher, options, landed) {
    const found = await this.#values.find(key);
    if (found.text !== undefined) {
      if (found.stale) this.#refresh(key, fetcher, options, found.epoch);
      landed(false);
      return found.text;
    }
    const text = await this.#fetch(key, fetcher);
    const unstored = (error) => {
      this.#values.report(error, key);
      return true;
    };
    this.#later(this.#store(key, text, options, found.epoch).catch(unstored).then((kept) => landed(!kept)));
    return text;
  }

  #store(key, text, options, epoch) {
    if (epoch === undefined) return Promise.resolve(true); // the node could not be asked
    return this.#values.store(key, text, { ...options, epoch });
  }

  /** Fetches in the background what was stale at epoch, once at a time, and not right after a failure. */
  #refresh(key, fetcher, options, epoch) {
    if (this.#refreshing.has(key) || performance.now() < this.#failed.get(key)) return;
    const token = {};
    this.#refreshing.set(key, token);
    const refresh = async () => {
      try {
        await this.#store(key, await this.#fetch(key, fetcher), options, epoch);
      } catch (error) {
        if (this.#refreshing.get(key) === token) this.#fail(key);
        this.#values.report(error, key);
      } finally {
        if (this.#refreshing.get(key) === token) this.#refreshing.delete(key);
      }
    };
    this.#later(refresh());
  }

  #fail(key) {
    const now = performance.now();
    this.#failed.delete(key); // it goes to the end
    this.#failed.set(key, now + pause);
    for (const [first, until] of this.#failed) {
      if (now < until && this.#failed.size <= maxFailed) return;
      this.#failed.delete(first);
    }
  }

  #later(work) {
    this.#background.add(work);
    work.finally(() => this.#background.delete(work));
  }

  /** Calls fetcher, which has a limited time, and returns its value as JSON. */
  async #fetch(key, fetcher) {
    const stop = new AbortController();
    let timer;
    const overrun = new Promise((_, reject) => {
      timer = setTimeout(() => {
        const late = new CacheError("fetch-timeout", `The fetcher of ${JSON.stringify(key)} did not end within ${this.#patience} ms.`, {
          hint: "createCache takes a longer fetchTimeout; the fetcher gets a signal that says when it is over.",
        });
        stop.abort(late);
        reject(late);
      }, this.#patience);
    });
    try {
      const value = await Promise.race([overrun, (async () => fetcher({ key, signal: stop.signal }))()]);
      return jsonOf(value);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** value as JSON. What JSON has no words for is refused. */
export function jsonOf(value) {
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`a value is what JSON can say, not ${typeof value}`);
  return text;
}
