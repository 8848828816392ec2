/**
 * What was listened to, sound by sound: how often it was started, when first, and which stretches of it were heard.
 */

import { merge, seconds } from "./coverage.js";

/**
 * @typedef {import("./region.js").Span} Span
 * @typedef {{plays: number, first_play_ms: number|null, spans: Span[]}} Listened
 * @typedef {{plays: number, seconds_heard: number, coverage: number, first_play_ms: number|null}} Heard
 */

/** Of the sounds of one page. */
export class Listening {
  /**
   * @param {Iterable<string>} tokens
   * @param {Record<string, Listened>} [known]  of an earlier visit
   */
  constructor(tokens, known = {}) {
    /** @type {Map<string, Listened>} */
    this.sounds = new Map();
    for (const token of tokens) {
      const before = Object.hasOwn(known, token) ? known[token] : { plays: 0, first_play_ms: null, spans: [] };
      this.sounds.set(token, { ...before, spans: [...before.spans] });
    }
  }

  /**
   * @param {string} token
   * @param {number} ms  on the page
   */
  started(token, ms) {
    const sound = this.of(token);
    sound.plays += 1;
    sound.first_play_ms ??= Math.round(ms);
  }

  /**
   * @param {string} token
   * @param {readonly Span[]} spans
   */
  book(token, spans) {
    const sound = this.of(token);
    sound.spans = merge([...sound.spans, ...spans]);
  }

  /**
   * @param {string} token
   * @param {number} duration  s
   * @param {readonly Span[]} now  heard, but not booked yet
   * @returns {Heard}  seconds_heard counts a second that was heard twice once
   */
  heard(token, duration, now) {
    const { plays, first_play_ms, spans } = this.of(token);
    const heard = Math.min(seconds(merge([...spans, ...now])), duration);
    return { plays, seconds_heard: heard, coverage: heard / duration, first_play_ms };
  }

  /** @returns {Record<string, Listened>} */
  saved() {
    return Object.fromEntries([...this.sounds].map(([token, sound]) => [token, { ...sound, spans: [...sound.spans] }]));
  }

  /** @param {string} token @returns {Listened} */
  of(token) {
    const sound = this.sounds.get(token);
    if (!sound) throw new Error(`no sound ${token} in this trial`);
    return sound;
  }
}
