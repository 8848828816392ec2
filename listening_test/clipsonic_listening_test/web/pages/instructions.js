/**
 * Instructions: the study's own text, else the kit's for the pass or, without one, for the kind of study.
 */

import { h } from "../dom.js";
import { renderMarkdown } from "../markdown.js";

/** @import {Mount} from "../types.js" */

/** @type {Mount} */
export function mount(root, page, { t, preset }) {
  const own = ["mushra", "mos", "pairs", "abx"].includes(preset ?? "") ? preset : "general";
  const text = page.text ?? t(`instructions.${page.pass ?? own}`);
  root.append(h("div", { class: "prose", dir: "auto" }, renderMarkdown(text)));
  return { answer: () => ({}), missing: () => [], draft: () => null, destroy() {} };
}
