/**
 * A rating slider on the browser's own range input. It starts unset: no thumb, an en dash for a value. Pressing or
 * focusing it asks for its sound. While it is not active it keeps its value: a press then only lets the sound be heard.
 */

import { h } from "../dom.js";
import { wordOf } from "./scale.js";

/** @import {Context, Scale} from "../types.js" */

/**
 * @typedef {object} Slider
 * @property {HTMLInputElement} input
 * @property {HTMLElement} element
 * @property {HTMLOutputElement} output
 * @property {() => number|null} value
 * @property {(value: number|null) => void} set  as from a draft: nobody is told
 * @property {(by: number) => void} step  as by a key
 * @property {(active: boolean) => void} setActive
 * @property {(vertical: boolean) => void} setVertical
 * @property {(text: string|null) => void} setMissing  say this in place of a value
 */

/**
 * @param {object} options
 * @param {string} options.label  accessible name
 * @param {Scale} options.scale
 * @param {Context["t"]} options.t
 * @param {(value: number) => void} options.onMove
 * @param {(event: "press"|"focus") => void} options.onWant  its sound is to be heard
 * @returns {Slider}
 */
export function createSlider({ label, scale, t, onMove, onWant }) {
  const { low, high, step } = scale;
  const middle = low + Math.round((high - low) / 2 / step) * step;
  const input = h("input", { type: "range", class: "slider-input", min: low, max: high, step, "aria-label": label, autocomplete: "off" });
  input.value = String(middle);
  const output = h("output", { class: "slider-value", "aria-hidden": "true" });
  const element = h("div", { class: "slider" }, input);
  /** @type {number|null} */
  let value = null;
  /** @type {string|null} */
  let missing = null;
  let active = true;
  /** Whether the press under way only lets the sound be heard. */
  let onlyHears = false;

  function show() {
    input.value = String(value ?? middle);
    input.toggleAttribute("data-unset", value === null);
    element.style.setProperty("--share", String(((value ?? low) - low) / (high - low)));
    const word = value === null ? null : wordOf(scale, value, t);
    const number = value === null ? "" : t("rating.number", { n: value });
    input.setAttribute("aria-valuetext", missing ?? (value === null ? t("rating.unset") : word ? t("rating.value", { number, word }) : number));
    output.replaceChildren(
      missing !== null
        ? h("span", { class: "slider-missing" }, missing)
        : h("span", { class: "slider-number" }, value === null ? "–" : number),
      ...(word && missing === null ? [h("span", { class: "slider-word" }, word)] : []),
    );
  }

  /** @param {number} wanted */
  function move(wanted) {
    const onGrid = low + Math.round((Math.min(high, Math.max(low, wanted)) - low) / step) * step;
    value = Math.round(onGrid * 1e6) / 1e6;
    show();
    onMove(value);
  }

  input.addEventListener("pointerdown", () => {
    onlyHears = !active;
    onWant("press");
  });
  input.addEventListener("pointerup", () => {
    // A press in the middle of an unset slider moves no thumb, so that the browser tells nobody.
    if (active && !onlyHears && value === null && missing === null) move(Number(input.value));
    onlyHears = false;
  });
  input.addEventListener("pointercancel", () => (onlyHears = false));
  input.addEventListener("focus", (event) => {
    const from = event.relatedTarget;
    const back = !(from instanceof Element) || from.closest("dialog") !== null; // to the window, or out of a dialog
    if (!back) onWant("focus");
  });
  input.addEventListener("input", () => {
    if (active && !onlyHears) move(Number(input.value));
    else {
      show();
      onWant("press");
    }
  });

  show();
  return {
    input,
    element,
    output,
    value: () => value,
    set(given) {
      value = given;
      show();
    },
    step(by) {
      if (!active) onWant("press");
      else move(value === null ? middle : value + by * step);
    },
    setActive(on) {
      active = on;
      input.setAttribute("aria-disabled", String(!on));
    },
    setVertical(vertical) {
      input.setAttribute("aria-orientation", vertical ? "vertical" : "horizontal");
    },
    setMissing(text) {
      missing = text;
      show();
    },
  };
}
