/**
 * What the sounds are judged against: text, image (which opens large), silent video. It stays in view while the sliders
 * scroll. A video goes along with the sound that is heard.
 */

import { h } from "../dom.js";
import { icon } from "./icons.js";

/** @import {Context, Prompt} from "../types.js" */

/** A video farther from its sound than this is moved to it, s. */
const SLIP_S = 0.12;

/**
 * @typedef {object} Pinned
 * @property {HTMLElement} element
 * @property {(position: number|null) => void} follow  s into the sound that is heard; null: nothing is
 */

/**
 * @param {Prompt} prompt
 * @param {Context} context
 * @returns {Pinned}
 */
export function createPrompt({ text, lang, image, video }, { t, problem }) {
  const inside = h("div", { class: "prompt", tabindex: 0, role: "region", "aria-label": t("prompt.label") });
  if (text) inside.append(h("p", { class: "prompt-text", lang, dir: "auto" }, text));
  if (image) inside.append(zoomable(image.url, t, problem));
  const film = video
    ? h("video", { class: "prompt-video", src: video.url, muted: true, playsinline: true, preload: "auto", "aria-label": t("prompt.video") })
    : null;
  if (film) {
    // The attribute mutes only what the parser makes.
    film.muted = true;
    film.addEventListener("error", () => problem("load", null, `video ${video?.url}`));
    inside.append(film);
  }
  return {
    element: h("div", { class: "pinned" }, inside),
    follow(position) {
      if (!film) return;
      const at = position === null || !Number.isFinite(film.duration) ? position : Math.min(position, film.duration);
      if (at !== null && Math.abs(film.currentTime - at) > SLIP_S) film.currentTime = at;
      if (at === null) film.pause();
      else if (film.paused && at !== film.duration) void film.play().catch(() => {}); // interrupted by the next pause
    },
  };
}

/**
 * @param {string} url
 * @param {Context["t"]} t
 * @param {Context["problem"]} problem
 */
function zoomable(url, t, problem) {
  // The description names nothing that is to be judged.
  const image = () => h("img", { src: url, alt: t("prompt.image"), decoding: "async" });
  const small = image();
  small.addEventListener("error", () => problem("load", null, `image ${url}`));
  const open = () => {
    const close = h("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("dialog.close"));
    const dialog = h("dialog", { class: "dialog zoom-dialog", "aria-label": t("prompt.image"), onclose: () => dialog.remove() }, image(), close);
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    document.body.append(dialog);
    dialog.showModal();
  };
  return h("button", { type: "button", class: "prompt-image", "aria-label": t("prompt.zoom"), onclick: open }, small, icon("zoom"));
}
