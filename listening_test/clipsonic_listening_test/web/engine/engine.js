/**
 * The sound engine: one for the application. Plain Web Audio nodes, because a lab's page over http has no worklets.
 *
 * Its context runs at the files' rate, so that nothing is resampled in secret; where the browser refuses that, listeners
 * are told ("resampled") and `rate` has the rate in use. Listeners are also told when the device has fewer channels than
 * the files ("channels"), and of every change of `state`:
 *
 *   idle          no sound was loaded yet
 *   locked        the browser waits for a click or a key: call `unlock` in its handler
 *   running
 *   interrupted   it ran, and a call or another device stopped it; the clock stands still; `unlock` goes on
 */

import { STALL_MS } from "./download.js";
import { Loader } from "./loader.js";
import { explicitGain } from "./run.js";
import { soundHeader } from "./sniff.js";
import { Trial } from "./trial.js";

/**
 * @typedef {import("./loader.js").Sound} Sound
 * @typedef {import("./trial.js").Switching} Switching
 * @typedef {import("./trial.js").Saved} Saved
 * @typedef {{kind: "state"}|{kind: "resampled", file_hz: number, effective_hz: number}|{kind: "channels", file: number, device: number}} EngineEvent
 * @typedef {{context?: BaseAudioContext, lead_s?: number} & Partial<import("./download.js").Surroundings>} EngineOptions
 */

/** How far ahead the audio thread is told of a change: several blocks of the device. */
const LEAD_S = 0.015;
const GAIN_RAMP_S = 0.02;
const UNLOCK_MS = 1000;

/** Loads, plays and levels; see `createEngine`. */
export class Engine {
  /** @param {EngineOptions} options */
  constructor({ context, lead_s, ...surroundings }) {
    /** @type {BaseAudioContext|null} */
    this.context = null;
    /** @type {GainNode|null} */
    this.output = null;
    this.lead_s = lead_s ?? null;
    this.gain = 1;
    /** @type {Set<(event: EngineEvent) => void>} */
    this.listeners = new Set();
    this.ran = false;
    this.channels = 1;
    /** Performance clock less audio clock while running, ms: grows where the device loses blocks. */
    this.drift_ms = 0;
    /** @type {{performance_ms: number, audio_ms: number}|null} */
    this.clocks = null;
    this.loader = new Loader((data) => this.decode(data), {
      fetch: (...request) => fetch(...request),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      random: Math.random,
      stall_ms: STALL_MS,
      ...surroundings,
    });
    if (context) this.adopt(context);
  }

  /** @returns {"idle"|"locked"|"running"|"interrupted"} */
  get state() {
    if (!this.context) return "idle";
    if (!(this.context instanceof AudioContext) || this.context.state === "running") return "running";
    return this.ran ? "interrupted" : "locked";
  }

  /** Rate that is played at, Hz; 0 before there is a context. */
  get rate() {
    return this.context?.sampleRate ?? 0;
  }

  /** From the audio clock to the loudspeaker, s, as far as the browser knows. */
  get latency() {
    const latency = this.context instanceof AudioContext ? this.context.outputLatency || this.context.baseLatency : 0;
    return Number.isFinite(latency) ? latency : 0;
  }

  /** Channels of the device; 0 before there is a context. */
  get max_channels() {
    return this.context?.destination.maxChannelCount ?? 0;
  }

  /**
   * @param {(event: EngineEvent) => void} listener
   * @returns {() => void}  ends it
   */
  on(listener) {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /**
   * Make the context, if there is none, for files of a rate. Loading does it too.
   * @param {number} rate  Hz
   * @returns {BaseAudioContext}
   */
  prepare(rate) {
    const context = this.context ?? this.adopt(newContext(rate));
    if (context.sampleRate !== rate) this.emit({ kind: "resampled", file_hz: rate, effective_hz: context.sampleRate });
    return context;
  }

  /** In a click's or a key's handler: let the clock run. Resolves when it does, or after a second. */
  async unlock() {
    if (!(this.context instanceof AudioContext) || this.context.state === "running") return;
    const { context } = this;
    // Without a gesture the promise stays open; a closed context rejects it. `state` says both.
    await Promise.race([context.resume().catch(() => {}), new Promise((resolve) => setTimeout(resolve, UNLOCK_MS))]);
  }

  /**
   * Have a page's sounds here, and only them and the next page's. Rejects with LoadError when some will not come.
   * @param {readonly Sound[]} sounds
   * @param {{onProgress?: (share: number) => void, signal?: AbortSignal}} [options]
   */
  load(sounds, options) {
    return this.loader.load(sounds, options);
  }

  /** @param {readonly string[]} urls  of the next page */
  preload(urls) {
    this.loader.preload(urls);
  }

  /**
   * A page's sounds, which are loaded, ready to be played.
   * @param {{tokens: readonly Sound[], switching: Switching, loop: boolean, now?: () => number, saved?: Saved|null}} options
   *   now: ms on the page. saved: what a trial of the same sounds gave at an earlier visit.
   */
  trial({ tokens, switching, loop, now, saved }) {
    const { context, output } = this;
    if (!context || !output) throw new Error("no sound is loaded yet");
    const began = performance.now();
    const stage = {
      context,
      output,
      lead_s: this.lead_s ?? Math.min(0.1, Math.max(LEAD_S, 2 * (context instanceof AudioContext ? context.baseLatency : 0))),
      heardTime: () => context.currentTime - this.latency,
      wake: () => void this.unlock(),
    };
    const buffers = new Map(tokens.map(({ token, url }) => [token, this.loader.buffer(url)]));
    return new Trial(stage, buffers, { switching, loop, now: now ?? (() => performance.now() - began), saved });
  }

  /**
   * Level of all that is played. Set on the volume page, then left alone.
   * @param {number} gain  0 to 1, linear
   */
  setGain(gain) {
    this.gain = gain;
    if (!this.context || !this.output) return;
    const now = this.context.currentTime;
    const param = this.output.gain;
    param.cancelScheduledValues(now);
    param.setValueAtTime(param.value, now);
    param.linearRampToValueAtTime(gain, now + GAIN_RAMP_S);
  }

  /** What an answer says of the sound. */
  report() {
    this.measureDrift();
    return this.context ? { rate_hz: this.rate, gain: this.gain, drift_ms: Math.round(this.drift_ms) } : {};
  }

  // What follows is the engine's own.

  /** @param {BaseAudioContext} context */
  adopt(context) {
    this.context = context;
    this.output = explicitGain(context, this.channels, this.gain);
    this.output.connect(context.destination);
    if (context instanceof AudioContext) {
      context.addEventListener("statechange", () => this.changed());
      this.changed();
    }
    return context;
  }

  changed() {
    this.measureDrift();
    if (this.context?.state === "running") {
      this.ran = true;
      this.clocks = { performance_ms: performance.now(), audio_ms: this.context.currentTime * 1000 };
    } else this.clocks = null;
    this.emit({ kind: "state" });
  }

  measureDrift() {
    if (!this.clocks || !this.context) return;
    const clocks = { performance_ms: performance.now(), audio_ms: this.context.currentTime * 1000 };
    this.drift_ms += clocks.performance_ms - this.clocks.performance_ms - (clocks.audio_ms - this.clocks.audio_ms);
    this.clocks = clocks;
  }

  /** @param {ArrayBuffer} data */
  async decode(data) {
    const header = soundHeader(data);
    if (!header) throw new TypeError("neither FLAC nor WAV");
    const context = this.prepare(header.rate_hz);
    this.widen(context, header.channels);
    return context.decodeAudioData(data);
  }

  /**
   * Make room for all channels of the files, as far as the device has them.
   * @param {BaseAudioContext} context
   * @param {number} channels
   */
  widen(context, channels) {
    if (channels <= this.channels || !this.output) return;
    this.channels = channels;
    this.output.channelCount = channels;
    const { destination } = context;
    const device = destination.maxChannelCount;
    if (context instanceof AudioContext && channels > destination.channelCount) destination.channelCount = Math.min(channels, device);
    if (channels > device) this.emit({ kind: "channels", file: channels, device });
  }

  /** @param {EngineEvent} event */
  emit(event) {
    for (const listener of this.listeners) listener(event);
  }
}

/**
 * @param {EngineOptions} [options]  context: another than the browser's own (tests render offline). The others are for
 *   tests too: lead_s, and what downloads use.
 */
export function createEngine(options = {}) {
  return new Engine(options);
}

/** @param {number} rate */
function newContext(rate) {
  try {
    return new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  } catch (error) {
    // A rate the browser does not run at: it resamples, which `prepare` tells.
    if (error instanceof DOMException && error.name === "NotSupportedError") return new AudioContext();
    throw error;
  }
}
