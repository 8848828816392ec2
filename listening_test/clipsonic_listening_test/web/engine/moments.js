/**
 * When things happen, on the audio clock, in whole frames. Every change of what is heard is one transition:
 *
 *   out           the old sound begins to fade
 *   silent        it has come to 0 (one fade later), and on the same frame the new sound begins its rise
 *   done          the new sound is at 1
 *
 * Transitions never touch: one that is asked for while another is under way begins one frame after it.
 *
 * @typedef {{out: number, silent: number, done: number}} Transition  seconds of the audio clock
 */

/**
 * @param {number} now  audio clock, s
 * @param {number} free  when the transition before is done, s
 * @param {number} lead  how far ahead the audio thread is told, s
 * @param {number} rate  Hz
 * @param {number} fade  frames
 * @returns {Transition}
 */
export function nextTransition(now, free, lead, rate, fade) {
  // The clock's own rounding must not push a time on a frame to the next one.
  const first = Math.ceil((now + lead) * rate - 1e-3);
  const out = Math.max(first, Math.round(free * rate) + 1);
  return { out: out / rate, silent: (out + fade) / rate, done: (out + 2 * fade) / rate };
}
