/**
 * The keyboard on rating pages: the map of keymap.js, a dialog that shows it, and a switch to turn single keys off
 * (WCAG 2.1.4), which the browser remembers.
 */

import { h, newId } from "../dom.js";
import { actionOf, targetOf } from "./keymap.js";

/** @import {Context, PageView} from "../types.js" */
/** @import {Action} from "./keymap.js" */

const STORED = "clipsonic.keys";

/** A browser that forbids storage has the keys on, each time. */
function storedOff() {
  try {
    return localStorage.getItem(STORED) === "off";
  } catch {
    return false;
  }
}

/** @param {boolean} off */
function store(off) {
  try {
    localStorage.setItem(STORED, off ? "off" : "on");
  } catch {
    // As said above.
  }
}

/**
 * @param {PageView} page
 * @param {Context} context
 * @param {(action: Action) => void} onAction
 * @returns {{open: () => void, destroy: () => void}}
 */
export function createKeys(page, context, onAction) {
  const { t } = context;
  let off = storedOff();
  const leaving = new AbortController();

  document.addEventListener(
    "keydown",
    (event) => {
      if (off || event.defaultPrevented || document.querySelector("dialog[open]")) return;
      const action = actionOf(event, targetOf(event.target));
      if (!action) return;
      event.preventDefault();
      if (action.kind === "help") open();
      else onAction(action);
    },
    { signal: leaving.signal },
  );

  function open() {
    const title = newId("keys");
    const dialog = h("dialog", { class: "dialog keys-dialog", "aria-labelledby": title, onclose: () => dialog.remove() });
    const rows = rowsFor(page, context).map(([keys, text]) =>
      h("div", { class: "keys-row" }, h("dt", null, ...keys.flatMap((key) => [h("kbd", null, key), " "])), h("dd", null, text)),
    );
    const box = h("input", { type: "checkbox", onchange: () => store((off = !box.checked)) });
    box.checked = !off;
    dialog.append(
      h("h2", { id: title }, t("keys.title")),
      h("dl", { class: "keys-list" }, ...rows),
      h("label", { class: "keys-switch" }, box, h("span", null, t("keys.on"))),
      h("div", { class: "buttons end" }, h("button", { type: "button", class: "button primary", onclick: () => dialog.close() }, t("dialog.close"))),
    );
    document.body.append(dialog);
    dialog.showModal();
  }

  return { open, destroy: () => leaving.abort() };
}

/**
 * @param {PageView} page
 * @param {Context} context
 * @returns {[string[], string][]}
 */
function rowsFor(page, { t }) {
  const rated = page.type === "mushra" || page.type === "multi" || page.type === "single";
  const many = page.stimuli.length > 1;
  return /** @type {([string[], string]|false)[]} */ ([
    page.reference !== null && [["0", "r"], t("keys.reference")],
    [many ? ["1", "…", String(Math.min(9, page.stimuli.length))] : ["1"], t("keys.stimulus")],
    many && [["←", "→", "h", "l"], t("keys.move")],
    [[t("keys.space")], t("keys.toggle")],
    [["⌫"], t("keys.stop")],
    rated && [["↑", "↓", "j", "k"], t("keys.score")],
    rated && [["⇧ ↑", "⇧ ↓"], t("keys.score_ten")],
    page.loop && [["a", "b"], t("keys.loop")],
    page.loop && [["⇧ a", "⇧ b"], t("keys.loop_reset")],
    [["?"], t("keys.help")],
  ]).filter((row) => row !== false);
}
