/**
 * The sounds of this page and of the next, decoded; nothing else is kept. A URL is asked for once while it is kept,
 * whether this page or the next wanted it first; four at a time, this page's before the next one's.
 */

import { download } from "./download.js";

/**
 * @typedef {{token: string, url: string}} Sound
 * @typedef {{token: string, url: string, reason: string}} Failure
 * @typedef {import("./download.js").Surroundings} Surroundings
 *
 * @typedef {object} Entry
 * @property {string} url
 * @property {AbortController} controller
 * @property {"waiting"|"loading"|"ready"|"failed"} state
 * @property {number} share  of the bytes that are here
 * @property {AudioBuffer|null} buffer  null also for what is no sound (a prompt's image, fetched ahead)
 * @property {string} reason  why it failed
 * @property {Promise<void>} settled
 * @property {() => void} settle
 */

export const PARALLEL = 4;

/** Some sounds of the page are not here and will not come without asking again. */
export class LoadError extends Error {
  /** @param {Failure[]} failed */
  constructor(failed) {
    super(`${failed.length} sounds could not be loaded: ${failed.map((one) => `${one.url} (${one.reason})`).join(", ")}`);
    this.name = "LoadError";
    this.failed = failed;
  }
}

/** Sounds by URL. */
export class Loader {
  /**
   * @param {(data: ArrayBuffer) => Promise<AudioBuffer>} decode
   * @param {Surroundings} surroundings
   */
  constructor(decode, surroundings) {
    this.decode = decode;
    this.surroundings = surroundings;
    /** @type {Map<string, Entry>} */
    this.entries = new Map();
    /** @type {Set<string>} */
    this.current = new Set();
    /** @type {Set<string>} */
    this.ahead = new Set();
    /** @type {Set<() => void>} */
    this.watchers = new Set();
  }

  /**
   * Have the sounds of a page; those of pages before it go. What failed before is tried again.
   * @param {readonly Sound[]} sounds
   * @param {{onProgress?: (share: number) => void, signal?: AbortSignal}} [options]
   * @returns {Promise<void>}
   * @throws {LoadError} when all that can be had is here
   */
  async load(sounds, { onProgress, signal } = {}) {
    this.current = new Set(sounds.map((sound) => sound.url));
    this.forget();
    const entries = sounds.map((sound) => this.want(sound.url, true));
    const watch = () => onProgress?.(entries.reduce((sum, entry) => sum + entry.share, 0) / Math.max(1, entries.length));
    this.watchers.add(watch);
    watch();
    this.pump();
    try {
      await Promise.race([Promise.all(entries.map((entry) => entry.settled)), aborted(signal)]);
    } finally {
      this.watchers.delete(watch);
    }
    /** @type {Failure[]} */
    const failed = sounds.flatMap((sound, index) =>
      entries[index].buffer ? [] : [{ ...sound, reason: entries[index].reason || "not a sound" }],
    );
    if (failed.length) throw new LoadError(failed);
  }

  /**
   * Have the files of the next page too, when this page's are here. A failure is not told: `load` will try again.
   * @param {readonly string[]} urls
   */
  preload(urls) {
    this.ahead = new Set(urls);
    this.forget();
    for (const url of urls) this.want(url, false);
    this.pump();
  }

  /**
   * @param {string} url
   * @returns {AudioBuffer}
   */
  buffer(url) {
    const buffer = this.entries.get(url)?.buffer;
    if (!buffer) throw new Error(`${url} is not loaded`);
    return buffer;
  }

  /** What is kept: URLs and bytes of decoded sound. */
  held() {
    const buffers = [...this.entries.values()].flatMap((entry) => entry.buffer ?? []);
    return {
      urls: [...this.entries.keys()],
      bytes: buffers.reduce((sum, buffer) => sum + 4 * buffer.length * buffer.numberOfChannels, 0),
    };
  }

  forget() {
    for (const [url, entry] of this.entries) {
      if (this.current.has(url) || this.ahead.has(url)) continue;
      this.entries.delete(url);
      entry.controller.abort();
      entry.settle();
    }
  }

  /**
   * @param {string} url
   * @param {boolean} again  try again what has failed
   * @returns {Entry}
   */
  want(url, again) {
    const known = this.entries.get(url);
    if (known && !(again && known.state === "failed")) return known;
    let settle = () => {};
    const settled = new Promise((/** @type {(value: void) => void} */ resolve) => (settle = resolve));
    /** @type {Entry} */
    const entry = { url, controller: new AbortController(), state: "waiting", share: 0, buffer: null, reason: "", settled, settle };
    this.entries.set(url, entry);
    return entry;
  }

  pump() {
    const all = [...this.entries.values()];
    const loading = all.filter((entry) => entry.state === "loading").length;
    const waiting = all.filter((entry) => entry.state === "waiting");
    waiting.sort((x, y) => Number(this.current.has(y.url)) - Number(this.current.has(x.url)));
    for (const entry of waiting.slice(0, Math.max(0, PARALLEL - loading))) void this.fetch(entry);
  }

  /** @param {Entry} entry */
  async fetch(entry) {
    entry.state = "loading";
    const progress = (/** @type {number} */ share) => {
      entry.share = share;
      for (const watch of this.watchers) watch();
    };
    try {
      const { data, type } = await download(entry.url, this.surroundings, entry.controller.signal, progress);
      // An image or a video of the next page's prompt: the browser's own cache has it now.
      if (!/^(image|video|text)\//.test(type)) entry.buffer = await this.decode(data);
      entry.state = "ready";
      progress(1);
    } catch (error) {
      entry.state = "failed";
      entry.reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    } finally {
      entry.settle();
      this.pump();
    }
  }
}

/**
 * @param {AbortSignal} [signal]
 * @returns {Promise<never>}
 */
function aborted(signal) {
  return new Promise((_, reject) => {
    if (!signal) return;
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
