/**
 * How much of a sound was heard: a set of stretches, kept sorted and merged, so that hearing the same second twice
 * counts once.
 *
 * @typedef {import("./region.js").Span} Span
 */

/** Stretches nearer than this are one: what fades and whole frames leave between them is not a gap. */
export const JOIN_S = 0.002;

/**
 * @param {readonly Span[]} spans  in any order
 * @returns {Span[]}  sorted, apart
 */
export function merge(spans) {
  /** @type {[number, number][]} */
  const merged = [];
  for (const [start, end] of [...spans].filter(([a, b]) => b > a).sort((x, y) => x[0] - y[0])) {
    const last = merged.at(-1);
    if (last && start <= last[1] + JOIN_S) last[1] = Math.max(last[1], end);
    else merged.push([start, end]);
  }
  return merged;
}

/**
 * Seconds in merged stretches.
 * @param {readonly Span[]} merged
 */
export function seconds(merged) {
  return merged.reduce((sum, [start, end]) => sum + end - start, 0);
}
