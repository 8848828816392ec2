/**
 * What happened on a page, for the record: `[ms, kind, token|null, number|null]`, ms on the page. The oldest go when
 * there are too many; how many went is told by one `dropped` event at the front.
 *
 * Kinds. Of the sound: play, pause, seek, loop, loop_end (number: position, s), stop, end, loop_off, locked, interrupted, running.
 * Of the page: ready, load_failed, move (number: score), choose, cannot_play, prefer_not, judge, hidden, shown.
 *
 * @typedef {[number, string, string|null, number|null]} Event
 */

export const MOST_EVENTS = 2000;

/** A ring of events. */
export class EventLog {
  /** @param {() => number} now  ms on the page */
  constructor(now) {
    this.now = now;
    /** @type {Event[]} */
    this.kept = [];
    this.dropped = 0;
  }

  /**
   * @param {string} kind
   * @param {string|null} [token]
   * @param {number|null} [number]
   */
  add(kind, token = null, number = null) {
    this.kept.push([Math.round(this.now()), kind, token, number === null ? null : Math.round(number * 1e4) / 1e4]);
    if (this.kept.length > MOST_EVENTS - 1) {
      this.kept.shift();
      this.dropped += 1;
    }
  }

  /**
   * Events in order, at most MOST_EVENTS, or the newest `most` of them.
   * @param {number} [most]
   * @returns {Event[]}
   */
  list(most = MOST_EVENTS) {
    const newest = this.kept.slice(Math.max(0, this.kept.length - (most - 1)));
    const dropped = this.dropped + this.kept.length - newest.length;
    return dropped && newest.length ? [[newest[0][0], "dropped", null, dropped], ...newest] : newest;
  }

  /** @param {readonly Event[]} events  of an earlier visit to the page, older than all here */
  restore(events) {
    const older = events.filter((event) => event[1] !== "dropped");
    this.dropped += events.reduce((sum, event) => sum + (event[1] === "dropped" ? Number(event[3]) : 0), 0);
    this.kept = [...older, ...this.kept].slice(-(MOST_EVENTS - 1));
  }
}
