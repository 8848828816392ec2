/**
 * Play, pause and stop of what was chosen last, its position, the loop, and in words what is heard now.
 */

import { h } from "../dom.js";
import { icon } from "./icons.js";
import { createPositionBar } from "./position.js";

/** @import {Context, PageView} from "../types.js" */
/** @import {Desk} from "./desk.js" */

/**
 * @typedef {object} Transport
 * @property {HTMLElement} element
 * @property {() => void} show  as the desk says
 */

/**
 * @param {Desk} desk
 * @param {PageView} page
 * @param {Context} context
 * @param {() => void} onHelp
 * @returns {Transport}
 */
export function createTransport(desk, page, { t }, onHelp) {
  const toggle = h("button", { type: "button", class: "button transport-toggle", onclick: () => desk.toggle() });
  const stop = h("button", { type: "button", class: "button transport-stop", "aria-label": t("transport.stop"), onclick: () => desk.trial?.stop() }, icon("stop"));
  const help = h("button", { type: "button", class: "button quiet keys-open", "aria-label": t("keys.open"), title: t("keys.open"), onclick: onHelp }, icon("keys"));
  const now = h("p", { class: "transport-now", role: "status" });
  const bar = createPositionBar({
    t,
    loop: page.loop === true,
    onSeek: (seconds) => desk.trial?.seek(seconds),
    onLoop: (a, b) => desk.trial?.setLoop(a, b),
  });
  const element = h("div", { class: "transport", role: "group", "aria-label": t("transport.label") }, toggle, stop, now, bar.element, help);
  /** @type {string|null} */
  let shown = null;

  return {
    element,
    show() {
      const { trial } = desk;
      const playing = trial?.playing ?? null;
      const selected = trial?.selected ?? null;
      const token = trial?.chosen() ?? null;
      const text =
        playing !== null ? t("transport.playing", { which: desk.label(playing) })
        : selected !== null && trial && trial.position(selected) > trial.region(selected)[0] ? t("transport.paused", { which: desk.label(selected) })
        : selected !== null ? t("transport.stopped", { which: desk.label(selected) })
        : "";
      const name = token === null ? t("transport.play") : t(playing === token ? "transport.pause_it" : "transport.play_it", { which: desk.label(token) });
      if (shown !== `${text}|${name}`) {
        shown = `${text}|${name}`;
        now.textContent = text;
        toggle.setAttribute("aria-label", name);
        toggle.replaceChildren(icon(playing === null ? "play" : "pause"));
      }
      toggle.disabled = stop.disabled = trial === null;
      const own = page.stimuli.find((stimulus) => stimulus.token === token)?.peaks ?? null;
      const place = trial && token !== null ? { position: trial.position(token), duration: trial.duration(token), region: trial.region(token) } : null;
      bar.show(place, page.waveform ?? own);
    },
  };
}
