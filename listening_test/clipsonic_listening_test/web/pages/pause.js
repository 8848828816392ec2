/**
 * A pause: a text and no hurry.
 */

import { h } from "../dom.js";
import { renderMarkdown } from "../markdown.js";

/** @import {Mount} from "../types.js" */

/** @type {Mount} */
export function mount(root, page, { t }) {
  root.append(h("div", { class: "prose", dir: "auto" }, renderMarkdown(page.text ?? t("pause.text"))));
  return { answer: () => ({}), missing: () => [], draft: () => null, destroy() {} };
}
