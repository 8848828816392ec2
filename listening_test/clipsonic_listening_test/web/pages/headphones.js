/**
 * Headphone check (Woods et al. 2017): six times three tones, one of them quieter; one of the louder ones is in antiphase
 * between the ears, so that through loudspeakers it is the one that fades. Which one is quietest is known to the server alone.
 *
 * A set can be played again until it is answered; answers cannot be changed, and nothing says whether they were right.
 */

import { h } from "../dom.js";
import { renderMarkdown } from "../markdown.js";

/** @import {Listening, Mount, Sound, Trial} from "../types.js" */

const GAP_MS = 350;
/** The longest wait for the engine to say that a tone began or ended, so that a lost device does not lock the page. */
const PATIENCE_MS = 8000;

/** @type {Mount} */
export function mount(root, page, { t, engine, onChange, problem, now }) {
  const sets = page.headphones ?? [];
  /** @type {string[]} */
  const answers = page.draft?.answers ?? [];
  let loaded = false;
  let playing = false;
  let heardAll = false;
  const stop = new AbortController();
  /** @type {Trial|null} */
  let trial = null;
  /** @type {Map<string, Listening>} */
  const listening = new Map((page.draft?.listening ?? []).map(/** @param {Listening} row */ (row) => [row.token, row]));
  /** @type {import("../types.js").Event[]} */
  const events = [];

  const step = h("p", { class: "status", role: "status" });
  const play = h("button", { type: "button", class: "button primary big" });
  const choices = h("div", { class: "tones", role: "group" });
  const failed = h("p", { class: "status", role: "alert" });
  const panel = h("div", { class: "card headphones" }, step, play, choices, failed);

  /** @param {number} ms */
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  /** @param {Trial} on @param {Sound} sound @param {HTMLElement} mark */
  async function playOne(on, sound, mark) {
    const ended = new Promise((resolve) => {
      let began = false;
      on.onstate = () => {
        if (on.playing === sound.token) began = true;
        else if (began) resolve(undefined);
      };
    });
    mark.classList.add("sounding");
    on.play(sound.token);
    await Promise.race([ended, wait(PATIENCE_MS)]);
    on.onstate = null;
    mark.classList.remove("sounding");
  }

  async function playSet() {
    if (playing || !loaded) return;
    playing = true;
    show();
    await engine.unlock();
    const at = answers.length;
    trial?.destroy();
    trial = engine.trial({ tokens: sets[at].stimuli, switching: "restart", loop: false, now });
    for (const [index, sound] of sets[at].stimuli.entries()) {
      if (stop.signal.aborted) return;
      await playOne(trial, sound, /** @type {HTMLElement} */ (choices.children[index]));
      if (index < 2) await wait(GAP_MS);
    }
    if (stop.signal.aborted) return;
    collect(at);
    playing = false;
    heardAll = true;
    onChange();
    show();
    /** @type {HTMLElement|null} */ (choices.firstElementChild)?.focus();
  }

  /** @param {number} at */
  function collect(at) {
    for (const { token } of sets[at].stimuli) {
      const counts = trial?.heard(token);
      const before = listening.get(token);
      if (!counts) continue;
      listening.set(token, {
        token,
        plays: counts.plays + (before?.plays ?? 0),
        seconds_heard: counts.seconds_heard + (before?.seconds_heard ?? 0),
        coverage: Math.max(counts.coverage, before?.coverage ?? 0),
        first_play_ms: before?.first_play_ms ?? counts.first_play_ms,
        last_move_ms: null,
      });
    }
    events.push(...(trial?.events() ?? []));
  }

  /** @param {number} index */
  function choose(index) {
    const set = sets[answers.length];
    events.push([now(), "choose", set.stimuli[index].token, answers.length]);
    answers.push(set.stimuli[index].token);
    heardAll = false;
    onChange();
    show();
    if (answers.length < sets.length) play.focus();
    else panel.querySelector("p")?.focus();
  }

  function show() {
    const done = answers.length >= sets.length;
    step.tabIndex = -1;
    step.textContent = done ? t("headphones.done") : t("headphones.step", { at: answers.length + 1, total: sets.length });
    play.hidden = choices.hidden = done;
    play.textContent = t(!loaded ? "headphones.loading" : playing ? "headphones.playing" : heardAll ? "headphones.again" : "headphones.play");
    play.disabled = !loaded;
    play.setAttribute("aria-disabled", String(playing || !loaded));
    play.classList.toggle("primary", !heardAll);
    choices.setAttribute("aria-label", t("headphones.question"));
    choices.classList.toggle("ready", heardAll && !playing);
    for (const button of choices.querySelectorAll("button")) button.disabled = !heardAll || playing;
  }

  async function load() {
    failed.replaceChildren();
    try {
      await engine.load(sets.flatMap((set) => set.stimuli), { signal: stop.signal });
      loaded = true;
    } catch (error) {
      if (stop.signal.aborted) return;
      problem("load", null, String(error));
      failed.replaceChildren(t("volume.failed"), " ", h("button", { type: "button", class: "button", onclick: load }, t("shell.try")));
    }
    if (!stop.signal.aborted) show();
  }

  play.addEventListener("click", () => void playSet());
  for (const index of [0, 1, 2])
    choices.append(h("button", { type: "button", class: "tone", disabled: true, onclick: () => choose(index) }, t("headphones.tone", { n: index + 1 })));
  root.append(
    h("div", { class: "prose", dir: "auto" },
      page.attempt > 1 && h("p", { class: "notice warn" }, t("headphones.second")),
      renderMarkdown(page.text ?? t("headphones.text"))),
    panel,
  );
  show();
  void load();
  return {
    answer: () => ({ headphones: [...answers], listening: [...listening.values()], events, client: engine.report() }),
    missing: () => (answers.length < sets.length ? [t("headphones.missing", { n: sets.length - answers.length })] : []),
    draft: () => ({ answers, listening: [...listening.values()] }),
    destroy() {
      stop.abort();
      trial?.destroy();
      trial = null;
    },
  };
}
