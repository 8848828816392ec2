/**
 * The sounds of one page: one of them is heard at a time, and what was heard is known to the frame.
 *
 *   sync      all on one clock; switching keeps the position (sounds of equal length)
 *   restart   a sound that is switched to starts at its beginning
 *   resume    a sound that is switched to goes on where it was left
 *
 * In all three a pause keeps the position. Where the page loops, the whole sound or the chosen region goes round; the
 * region belongs to all sounds in `sync`, else to each its own.
 */

import { fadeFrames } from "./curves.js";
import { EventLog } from "./events.js";
import { Listening } from "./listening.js";
import { nextTransition } from "./moments.js";
import { pathFrom, positionAfter, regionWithin, spansBetween } from "./region.js";
import { Run } from "./run.js";

/**
 * @typedef {import("./region.js").Span} Span
 * @typedef {import("./events.js").Event} Event
 * @typedef {{token: string, url: string}} Sound
 * @typedef {"sync"|"restart"|"resume"} Switching
 * @typedef {import("./listening.js").Heard} Heard
 * @typedef {import("./listening.js").Listened} Listened
 * @typedef {{listened: Record<string, Listened>, regions: Record<string, Span>, events: Event[]}} Saved  of an earlier visit
 *
 * @typedef {object} Stage  what the engine lends a trial
 * @property {BaseAudioContext} context
 * @property {AudioNode} output
 * @property {number} lead_s  how far ahead changes are told to the audio thread
 * @property {() => number} heardTime  audio clock of what leaves the loudspeaker now
 * @property {() => void} wake  start the clock, if it stands still
 *
 * @typedef {{run: Run, token: string, from: number}} Current  from: audio clock at which the token's rise begins
 */

/** Room that a sound must have left for a switch inside the run to make sense, s. */
const ROOM_S = 0.02;

/** One page's sounds. */
export class Trial {
  /**
   * @param {Stage} stage
   * @param {ReadonlyMap<string, AudioBuffer>} buffers
   * @param {{switching: Switching, loop: boolean, now: () => number, saved?: Saved|null}} options
   */
  constructor(stage, buffers, { switching, loop, now, saved }) {
    const lengths = new Set([...buffers.values()].map((buffer) => buffer.length));
    if (switching === "sync" && lengths.size > 1) {
      throw new RangeError(`sounds of one clock must be equally long, these have ${[...lengths].join(", ")} frames`);
    }
    this.stage = stage;
    this.buffers = buffers;
    this.switching = switching;
    this.loop = loop;
    this.now = now;
    this.record = new EventLog(now);
    /** @type {(() => void)|null} */
    this.onstate = null;
    /** What was chosen last, heard or paused. @type {string|null} */
    this.selected = null;
    /** @type {Current|null} */
    this.current = null;
    /** Audio clock until which a transition is under way. */
    this.free = 0;
    /** Position of what is not playing. @type {Map<string, number>} */
    this.resting = new Map();
    /** @type {Map<string, Span>} */
    this.regions = new Map(Object.entries(saved?.regions ?? {}));
    this.listening = new Listening(buffers.keys(), saved?.listened);
    if (saved) this.record.restore(saved.events);
  }

  /** Token of what is heard; null while nothing is. */
  get playing() {
    return this.current?.token ?? null;
  }

  /**
   * Let a sound be heard; what was heard fades out before.
   * @param {string} token
   */
  play(token) {
    this.bufferOf(token);
    this.stage.wake();
    if (this.current?.token === token) return;
    const moment = this.moment();
    const { current } = this;
    const inside = current && this.switching === "sync" && current.run.end > moment.done + ROOM_S;
    if (current && inside) {
      current.run.close(current.token, moment.out);
      this.hear(current, moment.out);
      this.current = { run: current.run, token, from: moment.silent };
      current.run.open(token, moment.silent);
    } else {
      // A `sync` run that has nearly ended: what is switched to starts at the beginning.
      if (current) this.leave(moment.out, this.switching === "resume");
      if (this.switching === "restart" && token !== this.selected) this.resting.delete(token);
      this.begin(token, current ? moment.silent : moment.out);
    }
    this.selected = token;
    this.listening.started(token, this.now());
    this.log("play", token, this.position(token));
    this.onstate?.();
  }

  pause() {
    const { current } = this;
    if (!current) return;
    this.leave(this.moment().out, true);
    this.log("pause", current.token, this.position(current.token));
    this.onstate?.();
  }

  /** Back to the beginning, of the loop where there is one. */
  stop() {
    const token = this.current?.token ?? this.selected;
    if (this.current) this.leave(this.moment().out, false);
    if (token !== null) this.resting.delete(this.place(token));
    this.log("stop", token);
    this.onstate?.();
  }

  /**
   * Move the position of what is heard or was heard last.
   * @param {number} to  s
   */
  seek(to) {
    const token = this.chosen();
    const place = this.place(token);
    const position = Math.min(Math.max(0, to), this.duration(token) - ROOM_S);
    this.restart(() => this.resting.set(place, position));
    if (!this.current) this.resting.set(place, pathFrom(position, this.duration(token), this.looped(token)).position);
    this.log("seek", token, position);
    this.onstate?.();
  }

  /**
   * Loop a region; at least half a second of it.
   * @param {number} a  s
   * @param {number} b  s
   */
  setLoop(a, b) {
    const token = this.chosen();
    const region = regionWithin(a, b, this.duration(token), this.stage.context.sampleRate);
    this.restart(() => this.regions.set(this.place(token), region));
    this.log("loop", token, region[0]);
    this.log("loop_end", token, region[1]);
    this.onstate?.();
  }

  clearLoop() {
    const token = this.chosen();
    this.restart(() => this.regions.delete(this.place(token)));
    this.log("loop_off", token);
    this.onstate?.();
  }

  /**
   * The chosen loop, else the whole sound.
   * @param {string} token
   * @returns {Span}
   */
  region(token) {
    return this.regions.get(this.place(token)) ?? [0, this.duration(token)];
  }

  /**
   * @param {string} token
   * @returns {number} s
   */
  duration(token) {
    return this.bufferOf(token).duration;
  }

  /**
   * Where in a sound one is, by what leaves the loudspeaker.
   * @param {string} token
   * @returns {number} s
   */
  position(token) {
    const { current } = this;
    if (current && this.place(current.token) === this.place(token)) {
      return positionAfter(current.run.path, this.stage.heardTime() - current.run.at);
    }
    return this.rest(token);
  }

  /**
   * What was heard of a sound. seconds_heard counts a second that was heard twice once.
   * @param {string} token
   * @returns {Heard}
   */
  heard(token) {
    const now = this.current?.token === token ? this.passed(this.current, this.stage.heardTime()) : [];
    return this.listening.heard(token, this.duration(token), now);
  }

  /**
   * @param {string} kind
   * @param {string|null} [token]
   * @param {number|null} [number]
   */
  log(kind, token = null, number = null) {
    this.record.add(kind, token, number);
  }

  events() {
    return this.record.list();
  }

  /**
   * What another visit to the page needs to go on: `saved` of its trial.
   * @param {number} [events]  at most so many
   * @returns {Saved}
   */
  saved(events = 300) {
    if (this.current) this.hear(this.current, this.stage.heardTime());
    return { listened: this.listening.saved(), regions: Object.fromEntries(this.regions), events: this.record.list(events) };
  }

  destroy() {
    this.onstate = null;
    if (this.current) this.leave(this.moment().out, false);
  }

  // What follows is the trial's own.

  /** What seek and loop are about: what is heard, else was heard last, else the first. */
  chosen() {
    return this.current?.token ?? this.selected ?? [...this.buffers.keys()][0];
  }

  /** What shares one position: all sounds in `sync`, else each its own. @param {string} token */
  place(token) {
    return this.switching === "sync" ? "" : token;
  }

  /** @param {string} token @returns {Span|null} */
  looped(token) {
    return this.loop ? this.region(token) : null;
  }

  /** @param {string} token */
  rest(token) {
    return this.resting.get(this.place(token)) ?? this.looped(token)?.[0] ?? 0;
  }

  moment() {
    const { context, lead_s } = this.stage;
    const fade = fadeFrames(context.sampleRate);
    const moment = nextTransition(context.currentTime, this.free, lead_s, context.sampleRate, fade);
    this.free = moment.done;
    return moment;
  }

  /**
   * Start a run at a token's resting position.
   * @param {string} token
   * @param {number} at
   */
  begin(token, at) {
    const { context, output } = this.stage;
    const buffers = this.switching === "sync" ? this.buffers : new Map([[token, this.bufferOf(token)]]);
    const run = new Run(context, output, buffers, {
      at,
      position: this.rest(token),
      region: this.looped(token),
      onend: () => this.ended(run),
    });
    run.open(token, at);
    this.current = { run, token, from: at };
  }

  /** @param {string} token */
  bufferOf(token) {
    const buffer = this.buffers.get(token);
    if (!buffer) throw new Error(`no sound ${token} in this trial`);
    return buffer;
  }

  /**
   * Fade out what is heard, and stop it.
   * @param {number} out  when its fade begins
   * @param {boolean} stay  whether the position is kept
   */
  leave(out, stay) {
    const { current } = this;
    if (!current) return;
    const { run, token } = current;
    const silent = out + run.fade / run.rate;
    this.hear(current, out);
    if (silent < run.end) {
      run.close(token, out);
      run.stop(silent + 1 / run.rate);
    } else run.stopped = true; // its own end comes first, and fades by itself
    const position = positionAfter(run.path, silent - run.at);
    if (stay && position < run.path.duration - ROOM_S) this.resting.set(this.place(token), position);
    else this.resting.delete(this.place(token));
    this.current = null;
  }

  /**
   * Change something that a run cannot take: fade out, change, go on in a new run.
   * @param {() => void} change
   */
  restart(change) {
    const { current } = this;
    if (!current) {
      change();
      return;
    }
    const moment = this.moment();
    this.leave(moment.out, true);
    change();
    this.begin(current.token, moment.silent);
  }

  /** @param {Run} run */
  ended(run) {
    const { current } = this;
    if (current?.run !== run) return;
    this.hear(current, run.end);
    this.resting.delete(this.place(current.token));
    this.current = null;
    this.log("end", current.token);
    this.onstate?.();
  }

  /**
   * Book what was heard of the current token up to a time.
   * @param {Current} current
   * @param {number} until  audio clock
   */
  hear(current, until) {
    this.listening.book(current.token, this.passed(current, until));
  }

  /** @param {Current} current @param {number} until */
  passed({ run, from }, until) {
    return spansBetween(run.path, from - run.at, Math.min(until, run.end) - run.at);
  }
}
