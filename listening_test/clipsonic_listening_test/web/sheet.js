/**
 * One page of the study on the screen: its module, its draft, its clock, and the answer made of them.
 */

import { createDrafts, newerDraft } from "./drafts.js";
import { MODULES } from "./pages.js";

/** @import {Answer, AnswerPart, Mounted, PageView, State} from "./types.js" */
/** @import {Api} from "./api.js" */
/** @import {SoundSystem} from "./sound.js" */
/** @import {Translate, View} from "./view.js" */

/**
 * @typedef {object} Sheet
 * @property {PageView} page
 * @property {() => string[]} missing
 * @property {() => Answer} answer
 * @property {() => void} silence  stop the module; the screen stays until the next one is shown
 * @property {() => void} keep  store the draft in this browser now
 * @property {() => void} hide  the browser is leaving: send the draft
 * @property {(done: boolean) => void} close
 */

/**
 * @param {object} options
 * @param {View} options.view
 * @param {Translate} options.t
 * @param {string} options.language
 * @param {State} options.state
 * @param {PageView} options.page
 * @param {Api} options.api
 * @param {SoundSystem} options.sound
 * @param {(error: unknown) => void} options.onDraftError
 * @param {(kind: string, token: string|null, detail: string) => void} options.report
 * @returns {Sheet}
 */
export function createSheet({ view, t, language, state, page, api, sound, onDraftError, report }) {
  const attempt = page.attempt ?? 1;
  const draft = newerDraft(page.key, attempt, page.draft);
  const begun = performance.now() - (draft?.page_ms ?? 0);
  const now = () => Math.round(performance.now() - begun);
  sound.enter(state);

  let hiddenMs = 0;
  let hiddenSince = document.hidden ? performance.now() : null;
  const watch = () => {
    if (document.hidden) hiddenSince ??= performance.now();
    else if (hiddenSince !== null) {
      hiddenMs += performance.now() - hiddenSince;
      hiddenSince = null;
    }
  };
  document.addEventListener("visibilitychange", watch);

  /** @type {Mounted|null} */
  let mounted = null;
  let told = false;
  const drafts = createDrafts({
    api,
    key: page.key,
    attempt,
    seq: draft?.seq ?? 0,
    take: () => ({ page_ms: now(), page: mounted?.draft() ?? null }),
    onError: onDraftError,
  });
  const refresh = () => {
    const lines = mounted?.missing() ?? [];
    view.setReady(lines.length === 0);
    if (told || lines.length === 0) view.setMissing(lines); // told once, the list follows what is done
  };

  const chip = page.training ? t("shell.training") : null;
  const body = view.open(page.title ?? t(`title.${page.type}`), page.type, chip);
  view.setNext(t(`shell.next${page.type === "pause" ? ".pause" : ""}`));
  mounted = MODULES[page.type](body, { ...page, draft: draft?.page ?? null }, {
    t,
    language,
    direction: document.documentElement.dir === "rtl" ? "rtl" : "ltr",
    preset: state.study.preset ?? null,
    engine: sound.engine,
    onChange() {
      drafts.touch();
      if (mounted) refresh();
    },
    problem: report,
    now,
  });
  refresh();

  let silent = false;
  return {
    page,
    missing() {
      told = true;
      return mounted?.missing() ?? [];
    },
    answer() {
      /** @type {AnswerPart} */
      const part = mounted?.answer() ?? {};
      watch();
      if (typeof part.volume === "number") sound.keep(state.participant, part.volume);
      const away = hiddenMs + (hiddenSince === null ? 0 : performance.now() - hiddenSince);
      return {
        schema: 1,
        key: page.key,
        attempt,
        page_ms: now(),
        consent: part.consent ?? null,
        volume: part.volume ?? null,
        ratings: part.ratings ?? [],
        choices: part.choices ?? [],
        headphones: part.headphones ?? null,
        fields: part.fields ?? null,
        listening: part.listening ?? [],
        events: (part.events ?? []).slice(-2000),
        client: {
          hidden_ms: Math.round(away),
          drift_ms: part.client?.drift_ms ?? null,
          rate_hz: part.client?.rate_hz ?? sound.rate(),
          gain: part.volume ?? sound.gain(),
          output_latency_s: sound.engine.latency || null,
          max_channels: sound.engine.max_channels || null,
        },
      };
    },
    silence() {
      if (silent) return;
      silent = true;
      drafts.keep();
      drafts.stop(false);
      mounted?.destroy();
    },
    keep: drafts.keep,
    hide: () => silent || drafts.hide(),
    close(done) {
      drafts.stop(done);
      document.removeEventListener("visibilitychange", watch);
      if (!silent) mounted?.destroy();
      silent = true;
    },
  };
}
