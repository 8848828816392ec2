/**
 * For who cannot or would rather not judge: out of the way until wanted, and then for each sound "cannot play" or
 * "prefer not to judge". Both count as an answer, without a score, and nothing more of the sound has to be heard.
 */

import { h } from "../dom.js";

/** @import {Context} from "../types.js" */
/** @import {Desk, Missing} from "./desk.js" */

/**
 * @param {Desk} desk
 * @param {readonly {token: string, text: string}[]} subjects  whose judgement may be missing, and the question for each
 * @param {Context} context
 * @param {(token: string, reason: Missing|null) => void} onMissing
 * @returns {{element: HTMLElement, show: () => void}}
 */
export function createProblems(desk, subjects, { t }, onMissing) {
  const selects = subjects.map(({ token, text }) => {
    const option = (/** @type {Missing|""} */ value) => h("option", { value }, t(value ? `rating.${value}` : "rating.judge"));
    const select = h("select", { "aria-label": text, autocomplete: "off" }, option(""), option("cannot_play"), option("prefer_not"));
    select.addEventListener("change", () => onMissing(token, /** @type {Missing} */ (select.value) || null));
    return { token, text, select };
  });
  const element = h(
    "details",
    { class: "problems" },
    h("summary", null, t("problems.summary")),
    h("p", null, t("problems.text")),
    h("div", { class: "problems-list" }, ...selects.map(({ text, select }) => h("label", null, h("span", null, text), select))),
  );
  return {
    element,
    show() {
      for (const { token, select } of selects) {
        if (document.activeElement !== select) select.value = desk.missingOf(token) ?? "";
        select.disabled = desk.failed.has(token);
      }
    },
  };
}
