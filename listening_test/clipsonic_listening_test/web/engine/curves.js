/**
 * The shape of every fade: half a period of a raised cosine over 5 ms (ITU-R BS.1534-3, switching and loops).
 *
 * A curve of n frames has n + 1 values, one on each frame from its first to its last, so that an AudioParam's linear
 * interpolation meets them exactly. A fade-in begins on the frame on which the fade-out before it has come to 0:
 * two sounds never overlap.
 */

export const FADE_S = 0.005;

/**
 * Frames of a fade at a rate, at least one.
 * @param {number} rate  Hz
 */
export function fadeFrames(rate) {
  return Math.max(1, Math.round(FADE_S * rate));
}

/**
 * From 0 to 1.
 * @param {number} frames
 * @returns {Float32Array}  frames + 1 values
 */
export function fadeIn(frames) {
  return Float32Array.from({ length: frames + 1 }, (_, frame) => (1 - Math.cos((Math.PI * frame) / frames)) / 2);
}

/**
 * From 1 to 0.
 * @param {number} frames
 * @returns {Float32Array}  frames + 1 values
 */
export function fadeOut(frames) {
  return fadeIn(frames).reverse();
}

/**
 * Gain over one turn of a loop: in at its start, out at its end. Turn follows turn, so the last value (0) is the
 * first of the next.
 * @param {number} length  frames of the loop, at least two fades
 * @param {number} frames  of a fade
 * @returns {Float32Array}  length values
 */
export function loopEnvelope(length, frames) {
  if (length < 2 * frames) throw new RangeError(`a loop of ${length} frames has no room for two fades of ${frames}`);
  const envelope = new Float32Array(length).fill(1);
  envelope.set(fadeIn(frames).subarray(0, frames), 0);
  envelope.set(fadeOut(frames).subarray(0, frames), length - frames);
  return envelope;
}
