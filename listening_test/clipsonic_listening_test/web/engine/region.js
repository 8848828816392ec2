/**
 * Where in a sound the clock is, with and without a loop, and which stretches of it were passed.
 *
 * A path says how a sound is played from one start on: from `position`, to the end of the sound or round and round
 * `region`. Positions and elapsed times are seconds.
 *
 * @typedef {readonly [number, number]} Span
 * @typedef {{position: number, duration: number, region: Span|null}} Path
 */

/** Shortest loop (ITU-R BS.1534-3). */
export const SHORTEST_LOOP_S = 0.5;

/**
 * A time put on the nearest frame.
 * @param {number} seconds
 * @param {number} rate  Hz
 */
export function onFrame(seconds, rate) {
  return Math.round(seconds * rate) / rate;
}

/**
 * A loop region that is inside the sound, on frames, and not shorter than half a second (or than the sound, where
 * that is shorter). Too short a wish is widened at its end first.
 * @param {number} a
 * @param {number} b
 * @param {number} duration
 * @param {number} rate
 * @returns {Span}
 */
export function regionWithin(a, b, duration, rate) {
  const shortest = Math.min(SHORTEST_LOOP_S, duration);
  const start = Math.min(Math.max(0, Math.min(a, b)), duration - shortest);
  const end = Math.min(Math.max(Math.max(a, b), start + shortest), duration);
  return [onFrame(start, rate), onFrame(end, rate)];
}

/**
 * Where a path starts: a position outside the region is at the region's start.
 * @param {number} position
 * @param {number} duration
 * @param {Span|null} region
 * @returns {Path}
 */
export function pathFrom(position, duration, region) {
  const [start, end] = region ?? [0, duration];
  return { position: position >= start && position < end ? position : start, duration, region };
}

/**
 * @param {Path} path
 * @param {number} elapsed
 * @returns {number}
 */
export function positionAfter(path, elapsed) {
  const straight = path.position + Math.max(0, elapsed);
  if (!path.region) return Math.min(straight, path.duration);
  const [start, end] = path.region;
  return straight < end ? straight : start + ((straight - end) % (end - start));
}

/**
 * Stretches of the sound passed between two elapsed times.
 * @param {Path} path
 * @param {number} from
 * @param {number} to
 * @returns {Span[]}
 */
export function spansBetween(path, from, to) {
  const first = Math.max(0, from);
  if (to <= first) return [];
  const start = positionAfter(path, first);
  if (!path.region) {
    const end = positionAfter(path, to);
    return end > start ? [[start, end]] : [];
  }
  const [a, b] = path.region;
  const length = to - first;
  if (start + length <= b) return [[start, start + length]];
  if (length >= b - a) return [[a, b]];
  return [[start, b], [a, positionAfter(path, to)]];
}
