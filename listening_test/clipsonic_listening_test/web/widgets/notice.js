/**
 * What the listener must know of the sound: how far it is loaded, what did not come, that the browser waits for a click
 * or was interrupted, that the device cannot do what the files need.
 */

import { h } from "../dom.js";
import { listOf } from "./list.js";

/** @import {Context} from "../types.js" */
/** @import {EngineEvent} from "../engine/engine.js" */

/**
 * @typedef {object} SoundNotice
 * @property {HTMLElement} element
 * @property {(share: number) => void} loading
 * @property {(failed: string[]) => void} loaded  labels of what did not come
 * @property {(event: EngineEvent) => void} sound
 */

/**
 * @param {Context} context
 * @param {{onRetry: () => void, onResume: () => void}} handlers
 * @returns {SoundNotice}
 */
export function createNotice({ t, engine, language }, { onRetry, onResume }) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": t("sound.loading") });
  const loading = h("div", { class: "sound-loading" }, h("span", null, t("sound.loading")), bar);
  const which = h("p", null);
  const failed = h("div", { class: "notice warn", hidden: true }, which, button(t("sound.retry"), onRetry));
  const why = h("p", null);
  const still = h("div", { class: "notice warn sound-still", hidden: true }, why, button(t("sound.resume"), onResume));
  const device = h("div", { class: "sound-device" });
  const element = h("div", { class: "sound-notice", role: "status" }, loading, failed, still, device);

  function showState() {
    const { state } = engine;
    // Before the first click the browser always waits: a press on Play is that click.
    still.hidden = state !== "interrupted";
    if (state === "interrupted") why.textContent = t("sound.interrupted");
  }

  showState();
  return {
    element,
    loading(share) {
      loading.hidden = false;
      failed.hidden = true;
      bar.value = share;
    },
    loaded(labels) {
      loading.hidden = true;
      failed.hidden = labels.length === 0;
      which.textContent = labels.length ? t("sound.failed", { which: listOf(labels, language) }) : "";
    },
    sound(event) {
      if (event.kind === "state") showState();
      else if (event.kind === "resampled") say("resampled", t("sound.resampled", { file: event.file_hz / 1000, device: event.effective_hz / 1000 }));
      else say("channels", t("sound.channels", { file: event.file, device: event.device }));
    },
  };

  /** @param {string} kind @param {string} text */
  function say(kind, text) {
    device.querySelector(`[data-kind="${kind}"]`)?.remove();
    device.append(h("div", { class: "notice warn", "data-kind": kind }, h("p", null, text)));
  }

  /** @param {string} text @param {() => void} onclick */
  function button(text, onclick) {
    return h("button", { type: "button", class: "button", onclick }, text);
  }
}
