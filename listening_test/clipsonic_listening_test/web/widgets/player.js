/**
 * The button that plays and pauses one sound. What it is doing is told by its drawing and by
 * `aria-pressed`; that its sound was heard enough, by a check mark and by its name.
 */

import { h } from "../dom.js";
import { icon } from "./icons.js";

/** @import {Context} from "../types.js" */
/** @import {Desk} from "./desk.js" */

/**
 * @param {Desk} desk
 * @param {string} token
 * @param {Context} context
 * @param {string} [kind]  a class
 * @returns {{element: HTMLButtonElement, show: () => void}}
 */
export function createPlayer(desk, token, { t }, kind = "stimulus-play") {
  const which = desk.label(token);
  const mark = h("span", { class: "player-icon" });
  const heard = h("span", { class: "player-heard", hidden: true }, icon("check"));
  const element = h("button", { type: "button", class: `player ${kind}`, onclick: () => desk.toggle(token) }, mark, h("span", { class: "player-label" }, which), heard);
  let shown = "";
  return {
    element,
    show() {
      const state = desk.stateOf(token);
      const enough = desk.heardEnough(token);
      const able = desk.canPlay(token);
      if (shown === `${state}${enough}${able}`) return;
      shown = `${state}${enough}${able}`;
      element.dataset.state = state;
      element.setAttribute("aria-pressed", String(state === "playing"));
      element.disabled = !able;
      // The name stays: pressed or not says whether it plays.
      const name = t("transport.play_it", { which });
      element.setAttribute("aria-label", enough ? `${name}, ${t("rating.heard")}` : name);
      mark.replaceChildren(icon(state === "playing" ? "pause" : "play"));
      heard.hidden = !enough;
    },
  };
}
