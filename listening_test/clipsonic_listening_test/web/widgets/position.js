/**
 * Where in the sound one is: a bar to see and to set the position, and below it, where the page loops, a bar with the
 * ends of the loop. All three are range inputs in seconds, so keys and screen readers work on them as on any other.
 */

import { h } from "../dom.js";
import { SHORTEST_LOOP_S } from "../engine/region.js";
import { svgElement } from "./icons.js";

/** @import {Context} from "../types.js" */

const STEP_S = 0.01;

/**
 * @typedef {{position: number, duration: number, region: readonly [number, number]}} Place  s
 *
 * @typedef {object} PositionBar
 * @property {HTMLElement} element
 * @property {(place: Place|null, peaks: readonly number[]|null) => void} show  null: there is no sound yet
 */

/**
 * @param {object} options
 * @param {Context["t"]} options.t
 * @param {boolean} options.loop
 * @param {(seconds: number) => void} options.onSeek
 * @param {(a: number, b: number) => void} options.onLoop
 * @returns {PositionBar}
 */
export function createPositionBar({ t, loop, onSeek, onLoop }) {
  /** @param {string} kind @param {string} label */
  const range = (kind, label) =>
    h("input", { type: "range", class: kind, min: 0, max: 1, step: STEP_S, value: 0, disabled: true, "aria-label": label, "data-keys": "own", autocomplete: "off" });
  const bar = range("position-bar", t("position.bar"));
  const start = range("loop-start", t("position.loop_start"));
  const end = range("loop-end", t("position.loop_end"));
  const time = h("span", { class: "position-time", "aria-hidden": "true" });
  const wave = h("div", { class: "waveform" });
  const loops = h("div", { class: "loop-bar" }, start, end);
  const element = h("div", { class: "position" }, h("div", { class: "position-track" }, wave, bar), loop && loops, time);
  /** @type {readonly number[]|null} */
  let drawn = null;
  /** Whether a hand is on the bar: the sound's own position must not pull it away. */
  let held = false;

  /** @param {number} seconds */
  const spoken = (seconds) => t("position.seconds", { n: tenths(String(seconds)) });

  const tenths = (/** @type {string} */ seconds) => Math.round(Number(seconds) * 10) / 10;
  const sayPosition = () => bar.setAttribute("aria-valuetext", t("position.of", { n: tenths(bar.value), total: tenths(bar.max) }));

  bar.addEventListener("pointerdown", () => (held = true));
  for (const over of ["pointerup", "pointercancel", "blur"]) bar.addEventListener(over, () => (held = false));
  bar.addEventListener("change", () => {
    held = false;
    sayPosition();
    onSeek(Number(bar.value));
  });
  // The ends are held apart while they are dragged; the sound changes when they are let go.
  const apart = () => Math.min(SHORTEST_LOOP_S, Number(bar.max));
  start.addEventListener("input", () => {
    start.value = String(Math.min(Number(start.value), Number(end.value) - apart()));
    shade();
  });
  end.addEventListener("input", () => {
    end.value = String(Math.max(Number(end.value), Number(start.value) + apart()));
    shade();
  });
  for (const one of [start, end]) one.addEventListener("change", () => onLoop(Number(start.value), Number(end.value)));

  function shade() {
    const whole = Number(bar.max) || 1;
    element.style.setProperty("--loop-from", String(Number(start.value) / whole));
    element.style.setProperty("--loop-to", String(Number(end.value) / whole));
    start.setAttribute("aria-valuetext", spoken(Number(start.value)));
    end.setAttribute("aria-valuetext", spoken(Number(end.value)));
  }

  return {
    element,
    show(place, peaks) {
      for (const one of [bar, start, end]) one.disabled = place === null;
      if (peaks !== drawn) {
        drawn = peaks;
        wave.replaceChildren(...(peaks ? [drawing(peaks)] : []));
      }
      element.toggleAttribute("data-waveform", peaks !== null);
      if (!place) return;
      const { position, duration, region } = place;
      if (Number(bar.max) !== duration) for (const one of [bar, start, end]) one.max = String(duration);
      if (!held) bar.value = String(position);
      element.style.setProperty("--at", String(Number(bar.value) / duration));
      if (document.activeElement !== bar) sayPosition(); // not ten times a second to who listens to it
      time.textContent = `${position.toFixed(1)} / ${duration.toFixed(1)} s`;
      if (document.activeElement !== start && document.activeElement !== end) {
        start.value = String(region[0]);
        end.value = String(region[1]);
      }
      shade();
    },
  };
}

/** @param {readonly number[]} peaks  of equal stretches, 0 to 1 */
function drawing(peaks) {
  const svg = svgElement("svg", { viewBox: `0 -1 ${peaks.length} 2`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const up = peaks.map((peak, index) => `L${index + 0.5} ${-peak}`).join("");
  const down = peaks.map((peak, index) => `L${index + 0.5} ${peak}`).reverse().join("");
  svg.append(svgElement("path", { d: `M0 0${up}L${peaks.length} 0${down}Z` }));
  return svg;
}
