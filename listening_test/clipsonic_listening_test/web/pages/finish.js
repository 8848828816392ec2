/**
 * The end, by outcome: what happened, the panel's code with a button to copy it, and the way back to the panel.
 *
 * It is shown only for a state in which the server calls the session finished. Until then a page of type `finish` says
 * that answers are being stored. Thanks are given when nothing is left in this browser.
 */

import { h } from "../dom.js";
import { renderMarkdown } from "../markdown.js";

/** @import {Finish, Mount, State} from "../types.js" */
/** @import {Translate, View} from "../view.js" */

/** The page before the server has said so. @type {Mount} */
export function mount(root, page, { t }) {
  root.append(h("p", { class: "status", role: "status" }, t("finish.storing")));
  return { answer: () => ({}), missing: () => [], draft: () => null, destroy() {} };
}

/**
 * @param {string} code
 * @param {Translate} t
 */
function codeBox(code, t) {
  const shown = h("output", { class: "code", dir: "ltr", "aria-label": t("finish.code") }, code);
  const told = h("span", { class: "status", role: "status" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(code); // not there on plain http
    } catch {
      getSelection()?.selectAllChildren(shown);
      told.textContent = t("finish.selected");
      return;
    }
    told.textContent = t("finish.copied");
  };
  return h(
    "div",
    { class: "code-box" },
    h("p", { class: "muted" }, t("finish.code")),
    h("div", { class: "code-row" }, shown, h("button", { type: "button", class: "button", onclick: copy }, t("finish.copy"))),
    told,
  );
}

/**
 * @param {Finish} finish
 * @param {Translate} t
 */
function wayBack({ mturk, return_url }, t) {
  if (mturk)
    return h(
      "form",
      { method: "post", action: mturk.url },
      ...Object.entries(mturk.fields).map(([name, value]) => h("input", { type: "hidden", name, value })),
      h("button", { type: "submit", class: "button primary big" }, t("finish.submit")),
    );
  if (return_url) return h("a", { class: "button primary big", href: return_url, rel: "noreferrer" }, t("finish.return"));
  return null;
}

/**
 * @param {View} view
 * @param {Translate} t
 * @param {State} state
 * @param {(() => void)|null} save  answers are left in this browser: how to get them as a file
 */
export function showFinish(view, t, state, save) {
  const outcome = state.finish?.outcome ?? state.finished ?? "complete";
  const body = view.open(t(`finish.${outcome}.title`), `finish outcome-${outcome}`);
  const own = outcome === "complete" ? state.page?.text : null;
  body.append(h("div", { class: "prose", dir: "auto" }, renderMarkdown(own ?? t(`finish.${outcome}.text`))));
  if (save) {
    body.append(h("div", { class: "notice warn" }, h("p", null, t("finish.left")), h("button", { type: "button", class: "button", onclick: save }, t("shell.download"))));
  }
  if (state.finish?.code) body.append(codeBox(state.finish.code, t));
  const back = state.finish && wayBack(state.finish, t);
  if (back) body.append(h("div", { class: "buttons" }, back));
  else if (!state.finish?.code) body.append(h("p", { class: "muted" }, t("finish.close")));
  body.append(h("p", { class: "muted small" }, t("finish.participant", { code: state.participant })));
}
