/**
 * Volume: one sound in a loop and a level, which holds for the rest of the session.
 *
 * The slider's position p, 0 to 100, is the gain (p/100)², so that its steps sound about even; stored is the gain. Sounds
 * of a study are loudness-aligned, so one level suits all of them.
 */

import { h, newId } from "../dom.js";
import { renderMarkdown } from "../markdown.js";

/** @import {Mount, Trial} from "../types.js" */

const START = 50;

/** @type {Mount} */
export function mount(root, page, { t, engine, onChange, problem, now }) {
  const stimulus = page.stimuli[0];
  let position = page.draft?.position ?? START;
  let heard = page.draft?.heard ?? false;
  /** @type {Trial|null} */
  let trial = null;
  const stop = new AbortController();
  const gain = () => Math.round((position / 100) ** 2 * 1e4) / 1e4;

  const id = newId("volume");
  const number = h("output", { class: "volume-number", for: id });
  const slider = h("input", { type: "range", id, class: "volume-slider", min: 1, max: 100, step: 1 });
  slider.value = String(position);
  const play = h("button", { type: "button", class: "button primary big", disabled: true }, t("volume.loading"));
  const status = h("p", { class: "status", role: "status" });

  const show = () => {
    number.textContent = t("volume.percent", { n: position });
    slider.setAttribute("aria-valuetext", t("volume.percent", { n: position }));
  };
  const apply = () => engine.setGain(gain());
  const turn = () => {
    const playing = trial?.playing ?? null;
    play.textContent = t(playing ? "volume.stop" : "volume.play");
    play.classList.toggle("on", playing !== null);
  };
  slider.addEventListener("input", () => {
    position = Number(slider.value);
    apply();
    show();
    onChange();
  });
  play.addEventListener("click", async () => {
    await engine.unlock();
    if (!trial) return;
    if (trial.playing) return trial.stop();
    apply();
    trial.play(stimulus.token);
    heard = true;
    onChange();
  });

  async function load() {
    status.textContent = "";
    try {
      await engine.load([stimulus], { signal: stop.signal });
    } catch (error) {
      if (stop.signal.aborted) return;
      problem("load", stimulus.token, String(error));
      status.replaceChildren(t("volume.failed"), " ", h("button", { type: "button", class: "button", onclick: load }, t("shell.try")));
      return;
    }
    if (stop.signal.aborted) return;
    trial = engine.trial({ tokens: [stimulus], switching: "restart", loop: true, now });
    trial.onstate = turn;
    play.disabled = false;
    turn();
  }

  root.append(
    h("div", { class: "prose", dir: "auto" }, renderMarkdown(page.text ?? t("volume.text"))),
    h("div", { class: "card volume" }, play, h("label", { for: id }, t("volume.level")), h("div", { class: "volume-row" }, slider, number), status),
  );
  apply();
  show();
  void load();
  return {
    answer: () => {
      const counts = trial?.heard(stimulus.token) ?? { plays: 0, seconds_heard: 0, coverage: 0, first_play_ms: null };
      return {
        volume: gain(),
        listening: [{ token: stimulus.token, ...counts, last_move_ms: null }],
        events: trial?.events() ?? [],
        client: engine.report(),
      };
    },
    missing: () => (heard ? [] : [t("volume.missing")]),
    draft: () => ({ position, heard }),
    destroy() {
      stop.abort();
      trial?.destroy();
      trial = null;
    },
  };
}
