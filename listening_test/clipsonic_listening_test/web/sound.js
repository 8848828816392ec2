/**
 * The one sound engine of the application and its gain, which the volume page sets once for the session.
 */

import { createEngine } from "./engine/engine.js";
import { recall, remember } from "./storage.js";

/** @import {Engine, State} from "./types.js" */

/**
 * @typedef {object} SoundSystem
 * @property {Engine} engine
 * @property {(state: State) => void} enter  a page begins: the participant's gain holds
 * @property {(participant: string, gain: number) => void} keep  the participant chose a gain
 * @property {() => number|null} rate  Hz
 * @property {() => number} gain
 */

/** @param {string} participant */
const gainKey = (participant) => `clipsonic.gain.${participant}`;

/** @returns {SoundSystem} */
export function createSound() {
  const engine = createEngine();
  let gain = 1;
  return {
    engine,
    enter(state) {
      const kept = Number.parseFloat(recall(gainKey(state.participant)) ?? "");
      gain = state.volume ?? (Number.isFinite(kept) ? kept : 1);
      engine.setGain(gain);
      if (state.study.rate_hz) engine.prepare(state.study.rate_hz);
    },
    keep(participant, chosen) {
      gain = chosen;
      remember(gainKey(participant), String(chosen));
    },
    rate: () => engine.rate || null,
    gain: () => gain,
  };
}
