/**
 * Sliders side by side against one scale, one for each stimulus, for one attribute. Where they have room they stand
 * upright; on a narrow or very low screen each lies on a row of its own.
 */

import { h, newId } from "../dom.js";
import { createPlayer } from "./player.js";
import { questionOf } from "./question.js";
import { createScale } from "./scale.js";
import { createSlider } from "./slider.js";

/** @import {Attribute, Context, PageView, Rating} from "../types.js" */
/** @import {Desk} from "./desk.js" */
/** @import {Slider} from "./slider.js" */

/** Width of an upright slider with its button, and of the words beside, rem. */
const COLUMN_REM = 3.25;
const WORDS_REM = 6.5;
/** Below this height an upright scale would be too short to be told apart on, rem. */
const LOWEST_REM = 28;

/**
 * @typedef {object} Panel
 * @property {HTMLElement} element
 * @property {() => void} show  as the desk says
 * @property {() => Rating[]} ratings
 * @property {() => string[]} unrated  labels
 * @property {() => boolean} atTop  whether a stimulus has the highest score
 * @property {(token: string) => void} focus  its slider
 * @property {(token: string, by: number) => void} step
 * @property {() => Record<string, number>} draft
 * @property {() => void} destroy
 */

/**
 * @param {Desk} desk
 * @param {PageView} page
 * @param {Attribute} attribute
 * @param {Context} context
 * @param {boolean} onlyHeard  whether only the slider of what is heard can be moved (ITU-R BS.1534-3)
 * @returns {Panel}
 */
export function createPanel(desk, page, attribute, context, onlyHeard) {
  const { t } = context;
  const { scale } = attribute;
  const { instructed } = page;
  const heading = newId("question");
  const { element: words, lines } = createScale(scale, t);
  /** @type {Record<string, number>} */
  const drafted = page.draft?.scores?.[attribute.id] ?? {};
  const rows = page.stimuli.map(({ token, label }, index) => row(token, label, index));
  // Beside the sliders: it is what they are compared with.
  const reference = page.reference ? createPlayer(desk, page.reference.token, context, "reference-play") : null;
  const list = h("ol", { class: "stimuli", role: "list" }, ...rows.map((one) => one.element));
  const grid = h("div", { class: "panel-grid" }, reference?.element, words, lines, list);
  grid.style.setProperty("--count", String(rows.length));
  const { question, help } = questionOf(page, attribute.question, t);
  const element = h(
    "section",
    { class: "panel", "aria-labelledby": heading },
    h("h2", { class: "question", id: heading }, question),
    h("p", { class: "question-help" }, help),
    instructed && h("p", { class: "instructed" }, t("rating.instructed", { which: instructed.label, n: instructed.below })),
    grid,
  );
  const fitted = new ResizeObserver(fit);
  fitted.observe(element);
  window.addEventListener("resize", fit);
  fit();

  /** @param {string} token @param {string} label @param {number} index */
  function row(token, label, index) {
    /** @type {Slider} */
    const slider = createSlider({
      label: t("rating.slider", { which: label }),
      scale,
      t,
      onMove: (value) => desk.move(token, value),
      onWant: () => desk.play(token),
    });
    if (Object.hasOwn(drafted, token)) slider.set(drafted[token]);
    const player = createPlayer(desk, token, context);
    const item = h("li", { class: "stimulus" }, player.element, slider.element, slider.output);
    item.style.setProperty("--column", String(index + 2)); // the first holds the words
    return { token, label, slider, player, element: item };
  }

  function fit() {
    const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    const wide = element.clientWidth >= (WORDS_REM + rows.length * COLUMN_REM) * rem;
    const vertical = wide && window.innerHeight >= LOWEST_REM * rem;
    element.dataset.orientation = vertical ? "vertical" : "horizontal";
    for (const { slider } of rows) slider.setVertical(vertical);
  }

  /** @param {string} token */
  const rowOf = (token) => rows.find((one) => one.token === token);

  return {
    element,
    show() {
      reference?.show();
      for (const { token, slider, player, element: item } of rows) {
        const state = desk.stateOf(token);
        const missing = desk.missingOf(token);
        player.show();
        item.dataset.state = state;
        if (state === "playing") item.setAttribute("aria-current", "true");
        else item.removeAttribute("aria-current");
        item.toggleAttribute("data-missing", missing !== null);
        item.toggleAttribute("data-rated", slider.value() !== null);
        slider.setActive(missing === null && (onlyHeard ? state === "playing" : desk.canPlay(token)));
        slider.setMissing(missing === null ? null : t(`rating.${missing}`));
      }
    },
    ratings: () =>
      rows.map(({ token, slider }) => {
        const missing = desk.missingOf(token);
        return { token, attribute: attribute.id, score: missing === null ? slider.value() : null, missing };
      }),
    unrated: () => rows.filter(({ token, slider }) => slider.value() === null && desk.missingOf(token) === null).map(({ label }) => label),
    atTop: () => rows.some(({ slider }) => slider.value() === scale.high) || rows.some(({ token }) => desk.missingOf(token) !== null),
    focus: (token) => rowOf(token)?.slider.input.focus(),
    step(token, by) {
      const found = rowOf(token);
      found?.slider.input.focus();
      if (found && desk.missingOf(token) === null) found.slider.step(by);
    },
    draft: () => Object.fromEntries(rows.flatMap(({ token, slider }) => (slider.value() === null ? [] : [[token, Number(slider.value())]]))),
    destroy() {
      fitted.disconnect();
      window.removeEventListener("resize", fit);
    },
  };
}
