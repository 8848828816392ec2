/**
 * Sounds started together on one clock. A source node can be started once only, so every start, seek and change of
 * the loop is a new run; switching inside a run only moves gains.
 *
 *   source ── gate (0 or 1, and the 5 ms between) ──┐
 *   source ── gate ─────────────────────────────────┼── seam ── output
 *   …                                               ┘
 *
 * One gate at most is open. The seam fades the end of the sounds, or, looped, both edges of every turn: a second
 * source plays the loop's envelope into the seam's gain, so that no timer has to be in time.
 */

import { fadeFrames, fadeIn, fadeOut, loopEnvelope } from "./curves.js";
import { onFrame, pathFrom } from "./region.js";

/** @typedef {import("./region.js").Span} Span */

/** Sounds on one clock, from one start to one stop. */
export class Run {
  /**
   * @param {BaseAudioContext} context
   * @param {AudioNode} output
   * @param {ReadonlyMap<string, AudioBuffer>} buffers  by token, all of one length
   * @param {{at: number, position: number, region: Span|null, onend: () => void}} start  at: on the audio clock.
   *   onend: it came to its own end.
   */
  constructor(context, output, buffers, { at, position, region, onend }) {
    const [first] = buffers.values();
    this.rate = context.sampleRate;
    this.fade = fadeFrames(this.rate);
    this.at = at;
    this.path = pathFrom(onFrame(position, this.rate), first.duration, region);
    /** When it ends by itself. */
    this.end = region ? Infinity : at + first.duration - this.path.position;
    this.stopped = false;
    this.seam = explicitGain(context, first.numberOfChannels, 1);
    this.seam.connect(output);
    /** @type {AudioBufferSourceNode[]} */
    this.sources = [];
    /** @type {Map<string, GainNode>} */
    this.gates = new Map();
    for (const [token, buffer] of buffers) {
      const gate = explicitGain(context, buffer.numberOfChannels, 0);
      gate.connect(this.seam);
      this.gates.set(token, gate);
      this.startSource(context, buffer).connect(gate);
    }
    this.sources[0].onended = () => {
      this.release();
      if (!this.stopped) onend();
    };
    if (region) this.fadeTurns(context, region);
    else this.fadeEnd();
  }

  /**
   * @param {BaseAudioContext} context
   * @param {AudioBuffer} buffer
   */
  startSource(context, buffer) {
    const source = new AudioBufferSourceNode(context, { buffer });
    const { region, position } = this.path;
    if (region) {
      source.loop = true;
      [source.loopStart, source.loopEnd] = region;
    }
    source.start(this.at, position);
    this.sources.push(source);
    return source;
  }

  /**
   * @param {BaseAudioContext} context
   * @param {Span} region
   */
  fadeTurns(context, [start, end]) {
    const frames = Math.round((end - start) * this.rate);
    const envelope = new AudioBuffer({ length: frames, sampleRate: this.rate });
    envelope.getChannelData(0).set(loopEnvelope(frames, Math.min(this.fade, Math.floor(frames / 2))));
    this.seam.gain.value = 0;
    const source = new AudioBufferSourceNode(context, { buffer: envelope, loop: true });
    source.connect(this.seam.gain);
    source.start(this.at, this.path.position - start);
    this.sources.push(source);
  }

  fadeEnd() {
    const seconds = this.fade / this.rate;
    const from = Math.round(this.end * this.rate - this.fade) / this.rate;
    if (from > this.at) this.seam.gain.setValueCurveAtTime(fadeOut(this.fade), from, seconds);
  }

  /**
   * Let a sound be heard: its rise begins at `when`.
   * @param {string} token
   * @param {number} when
   */
  open(token, when) {
    this.gate(token).setValueCurveAtTime(fadeIn(this.fade), when, this.fade / this.rate);
  }

  /**
   * @param {string} token
   * @param {number} when
   */
  close(token, when) {
    this.gate(token).setValueCurveAtTime(fadeOut(this.fade), when, this.fade / this.rate);
  }

  /** @param {number} when  nothing is to be heard any more */
  stop(when) {
    this.stopped = true;
    for (const source of this.sources) source.stop(when);
  }

  release() {
    for (const source of this.sources) source.disconnect();
    this.seam.disconnect();
  }

  /**
   * @param {string} token
   * @returns {AudioParam}
   */
  gate(token) {
    const gate = this.gates.get(token);
    if (!gate) throw new Error(`no sound ${token} in this run`);
    return gate.gain;
  }
}

/**
 * A gain for so many channels, whatever is connected: nothing is mixed down on the way. (A mono sound in a stereo gain is
 * on both sides.)
 * @param {BaseAudioContext} context
 * @param {number} channels
 * @param {number} gain
 */
export function explicitGain(context, channels, gain) {
  return new GainNode(context, { gain, channelCount: channels, channelCountMode: "explicit", channelInterpretation: "speakers" });
}
