/**
 * Consent: the study's text, and yes or no. No is an answer too: it ends the session without a code.
 */

import { h } from "../dom.js";
import { renderMarkdown } from "../markdown.js";

/** @import {Mount} from "../types.js" */

/** @type {Mount} */
export function mount(root, page, { t, onChange }) {
  /** @type {boolean|null} */
  let consent = page.draft?.consent ?? null;

  /** @param {boolean} value */
  const choice = (value) =>
    h(
      "label",
      { class: "choice-row" },
      h("input", {
        type: "radio",
        name: "consent",
        value: value ? "yes" : "no",
        checked: consent === value,
        onchange() {
          consent = value;
          onChange();
        },
      }),
      h("span", null, t(value ? "consent.yes" : "consent.no")),
    );

  root.append(
    h("div", { class: "prose", dir: "auto" }, renderMarkdown(page.text ?? t("consent.text"))),
    h("fieldset", { class: "card" }, h("legend", null, t("consent.question")), choice(true), choice(false)),
  );
  return {
    answer: () => ({ consent }),
    missing: () => (consent === null ? [t("consent.missing")] : []),
    draft: () => ({ consent }),
    destroy() {},
  };
}
