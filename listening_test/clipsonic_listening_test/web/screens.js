/**
 * Screens that are no pages of the study: one sentence on what happened, one on what can be done, and buttons.
 */

import { h } from "./dom.js";

/** @import {Translate, View} from "./view.js" */

/**
 * @typedef {"connecting"|"elsewhere"|"expired"|"preview"|"repeat"|"framed"|"panel"|"full"|"refused"|"broken"} Screen
 * @typedef {{label: string, run?: () => void, href?: string, primary?: boolean}} Action
 */

/**
 * @param {View} view
 * @param {Translate} t
 * @param {Screen} screen
 * @param {Action[]} actions
 * @param {string|null} detail  from the server, shown small
 */
export function showScreen(view, t, screen, actions = [], detail = null) {
  view.setNext(null);
  const body = view.open(t(`screen.${screen}.title`), `screen page-${screen}`);
  body.append(
    h("p", null, t(`screen.${screen}.text`)),
    h(
      "div",
      { class: "buttons" },
      ...actions.map(({ label, run, href, primary }) => {
        const look = primary ? "button primary" : "button";
        return href
          ? h("a", { class: look, href, target: "_blank", rel: "opener" }, label)
          : h("button", { type: "button", class: look, onclick: run ?? null }, label);
      }),
    ),
  );
  if (detail !== null) body.append(h("p", { class: "muted detail", dir: "auto" }, detail));
}

/**
 * The dialog behind "Options": go on, technical problem, stop.
 * @param {Translate} t
 * @param {{onReport: (detail: string) => void, onWithdraw: (reason: "technical"|"withdraw") => void}} handlers
 */
export function showOptions(t, { onReport, onWithdraw }) {
  const note = h("textarea", { id: "report", rows: 3, maxlength: 500, dir: "auto" });
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "options-title", onclose: () => dialog.remove() });
  const close = () => dialog.close();
  const stop = h("div", { class: "dialog-stop" });

  /** @param {"technical"|"withdraw"} reason */
  const ask = (reason) => {
    const sure = h("button", { type: "button", class: "button danger", onclick: () => (close(), onWithdraw(reason)) }, t("options.confirm"));
    stop.replaceChildren(
      h("p", null, t(`options.${reason}.sure`)),
      h("div", { class: "buttons" }, sure, h("button", { type: "button", class: "button", onclick: close }, t("options.back"))),
    );
    sure.focus();
  };
  stop.append(
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "button", onclick: () => ask("technical") }, t("options.technical")),
      h("button", { type: "button", class: "button", onclick: () => ask("withdraw") }, t("options.withdraw")),
    ),
  );
  const send = () => {
    const detail = note.value.trim();
    if (!detail) return note.focus();
    close();
    onReport(detail);
  };
  dialog.append(
    h("h2", { id: "options-title" }, t("options.title")),
    h("label", { for: "report" }, t("options.report")),
    note,
    h("div", { class: "buttons" }, h("button", { type: "button", class: "button", onclick: send }, t("options.send"))),
    h("hr"),
    h("h3", null, t("options.stop")),
    stop,
    h("hr"),
    h("div", { class: "buttons end" }, h("button", { type: "button", class: "button primary", onclick: close }, t("options.back"))),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * Last resort: what this browser holds, as a file that the study's owner can import.
 * @param {object} content
 * @param {string} name
 */
export function download(content, name) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  const link = h("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
