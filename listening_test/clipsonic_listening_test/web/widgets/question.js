/**
 * What a page asks, in the catalogue's words: `question.<id>` and `question.<id>.help`. Some questions have other words
 * against a picture (`.picture`), or where there is no reference to compare with (`.alone`).
 */

/** @import {Context, PageView} from "../types.js" */

/** Questions that speak of the prompt as a description. */
const DESCRIBED = new Set(["relevance", "match"]);
/** Questions that speak of a reference. */
const COMPARED = new Set(["quality"]);

/**
 * @param {PageView} page
 * @param {string} id
 * @param {Context["t"]} t
 * @returns {{question: string, help: string}}
 */
export function questionOf(page, id, t) {
  const { text, image, video } = page.prompt ?? { text: null, image: null, video: null };
  if (DESCRIBED.has(id) && !text && (image || video)) return { question: t(`question.${id}.picture`), help: t(`question.${id}.help`) };
  if (COMPARED.has(id) && !page.reference) return { question: t(`question.${id}.alone`), help: t(`question.${id}.alone.help`) };
  return { question: t(`question.${id}`), help: t(`question.${id}.help`) };
}
