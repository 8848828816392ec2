/**
 * A scale's words. Where there is a word for every step they stand at the steps (ACR: 1 to 5), else at the middles of
 * equal intervals (the continuous quality scale of ITU-R BS.1534-3).
 */

import { h } from "../dom.js";

/** @import {Context, Scale} from "../types.js" */

/** How many words a scale of the catalogue has: `scale.<words>.0` (lowest) to `scale.<words>.<n - 1>`. */
export const WORDS = Object.freeze({ cqs: 5, relevance: 5, acr: 5 });

/**
 * Words of a scale, lowest first; none where the catalogue has none for it.
 * @param {Scale} scale
 * @param {Context["t"]} t
 * @returns {string[]}
 */
export function wordsOf(scale, t) {
  const count = Object.hasOwn(WORDS, scale.words) ? WORDS[/** @type {keyof typeof WORDS} */ (scale.words)] : 0;
  return Array.from({ length: count }, (_, index) => t(`scale.${scale.words}.${index}`));
}

/** @param {Scale} scale @param {number} words */
export function atPoints({ low, high, step }, words) {
  return Math.round((high - low) / step) + 1 === words;
}

/**
 * The word that a score is at.
 * @param {Scale} scale
 * @param {number} score
 * @param {Context["t"]} t
 * @returns {string|null}
 */
export function wordOf(scale, score, t) {
  const words = wordsOf(scale, t);
  if (words.length === 0) return null;
  const share = (score - scale.low) / (scale.high - scale.low);
  if (atPoints(scale, words.length)) return words[Math.round(share * (words.length - 1))];
  return words[Math.min(words.length - 1, Math.floor(share * words.length))];
}

/**
 * Steps of a scale, lowest first.
 * @param {Scale} scale
 */
export function stepsOf({ low, high, step }) {
  return Array.from({ length: Math.round((high - low) / step) + 1 }, (_, index) => Math.round((low + index * step) * 1e6) / 1e6);
}

/**
 * The words beside sliders; screen readers hear them as values of the sliders.
 * @param {Scale} scale
 * @param {Context["t"]} t
 */
export function createScale(scale, t) {
  const words = wordsOf(scale, t);
  const at = atPoints(scale, words.length) ? "points" : "intervals";
  const labels = words.map((word) => h("span", { class: "scale-word" }, h("span", null, word)));
  const element = h("div", { class: "scale", "data-at": at, "aria-hidden": "true" }, ...labels);
  if (words.length === 0) element.append(h("span", { class: "scale-word" }, String(scale.low)), h("span", { class: "scale-word" }, String(scale.high)));
  const lines = h("div", { class: "scale-lines", "data-at": at, "aria-hidden": "true" });
  lines.style.setProperty("--intervals", String(Math.max(1, at === "points" ? words.length - 1 : words.length || 10)));
  return { element, lines };
}
