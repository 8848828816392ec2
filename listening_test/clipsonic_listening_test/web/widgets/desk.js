/**
 * The sounds of a rating page: loaded, played one at a time, and watched: which were heard enough, which cannot be
 * played or judged. What pages show is theirs; they are told of changes by `onChange` and, ten times a second while
 * something plays, by `onTick`.
 */

import { LoadError } from "../engine/loader.js";
import { createNotice } from "./notice.js";
import { listOf } from "./list.js";

/** @import {Context, Heard, Listening, PageView, Sound} from "../types.js" */
/** @import {Trial, Saved} from "../engine/trial.js" */

/**
 * @typedef {"cannot_play"|"prefer_not"} Missing
 * @typedef {{sound: Saved|null, missing: Record<string, Missing>, moved: Record<string, number>}} DeskDraft
 */

const TICK_MS = 100;
/** What fades and blocks may take from a sound without it counting as not heard. */
const SLACK_S = 0.05;
const SLACK_SHARE = 0.01;

/** The sounds of one page. */
export class Desk {
  /**
   * @param {PageView} page
   * @param {Context} context
   * @param {{onChange: () => void, onTick: () => void}} handlers
   */
  constructor(page, context, { onChange, onTick }) {
    this.page = page;
    this.context = context;
    this.onChange = onChange;
    this.onTick = onTick;
    /** @type {Sound[]} */
    this.sounds = [...(page.reference ? [page.reference] : []), ...page.stimuli];
    /** @type {DeskDraft} */
    const draft = page.draft?.desk ?? { sound: null, missing: {}, moved: {} };
    this.saved = draft.sound;
    /** @type {Map<string, Missing>} */
    this.missing = new Map(Object.entries(draft.missing));
    /** Sounds that did not come; they are missing until they do. @type {Set<string>} */
    this.failed = new Set();
    /** When each score was last moved, ms on the page. @type {Map<string, number>} */
    this.moved = new Map(Object.entries(draft.moved));
    /** @type {Trial|null} */
    this.trial = null;
    this.enough = "";
    this.notice = createNotice(context, { onRetry: () => void this.load(), onResume: () => void context.engine.unlock() });
    this.leaving = new AbortController();
    this.timer = setInterval(() => this.trial?.playing && this.tick(), TICK_MS);
    const quit = context.engine.on((event) => {
      this.notice.sound(event);
      if (event.kind === "state") this.trial?.log(context.engine.state);
      this.onChange();
    });
    this.leaving.signal.addEventListener("abort", quit);
    const seen = () => this.trial?.log(document.hidden ? "hidden" : "shown");
    document.addEventListener("visibilitychange", seen, { signal: this.leaving.signal });
    void this.load();
  }

  async load() {
    const { engine, problem } = this.context;
    this.notice.loading(0);
    /** @type {LoadError|null} */
    let lacking = null;
    try {
      await engine.load(this.sounds, { signal: this.leaving.signal, onProgress: (share) => this.notice.loading(share) });
    } catch (error) {
      if (this.leaving.signal.aborted) return;
      if (!(error instanceof LoadError)) throw error;
      lacking = error;
    }
    if (this.leaving.signal.aborted) return;
    const failed = lacking?.failed ?? [];
    for (const { token, reason } of failed) problem("load", token, reason);
    this.failed = new Set(failed.map(({ token }) => token));
    // Without the reference nothing can be compared with it.
    if (this.page.reference && this.failed.has(this.page.reference.token)) this.failed = new Set(this.sounds.map(({ token }) => token));
    this.notice.loaded(failed.map(({ token }) => this.label(token)));
    this.open();
  }

  /** Begin a trial of what is here, where an earlier visit or try left off. */
  open() {
    const sounds = this.sounds.filter(({ token }) => !this.failed.has(token));
    const saved = this.trial?.saved() ?? this.saved;
    this.trial?.destroy();
    this.trial = null;
    if (sounds.length) {
      const { switching, loop } = this.page;
      this.trial = this.context.engine.trial({ tokens: sounds, switching: switching ?? "restart", loop: loop ?? false, now: this.context.now, saved });
      this.trial.log(this.failed.size ? "load_failed" : "ready", null, this.failed.size || null);
      this.trial.onstate = () => this.tick();
    }
    this.tick();
  }

  tick() {
    this.onTick();
    // What Next needs has changed when one more sound was heard enough, and with every start and stop.
    const now = [this.trial?.playing, ...this.sounds.map(({ token }) => this.heardEnough(token))].join();
    if (now === this.enough) return;
    this.enough = now;
    this.onChange();
  }

  /**
   * Name of a sound: its letter, or "Reference".
   * @param {string} token
   */
  label(token) {
    if (token === this.page.reference?.token) return this.context.t("rating.reference");
    return this.page.stimuli.find((stimulus) => stimulus.token === token)?.label ?? "";
  }

  /** @param {string} token */
  canPlay(token) {
    return this.trial !== null && !this.failed.has(token);
  }

  /** @param {string} token  is to be heard */
  play(token) {
    if (this.canPlay(token)) this.trial?.play(token);
  }

  /** Play or pause a sound, or that which was heard last. @param {string} [token] */
  toggle(token = this.trial?.chosen()) {
    if (!this.trial || token === undefined) return;
    if (this.trial.playing === token) this.trial.pause();
    else this.play(token);
  }

  /** @returns {"idle"|"playing"|"paused"} @param {string} token */
  stateOf(token) {
    if (this.trial?.playing === token) return "playing";
    return this.trial?.selected === token ? "paused" : "idle";
  }

  /** @param {string} token */
  heard(token) {
    return this.canPlay(token) && this.trial ? this.trial.heard(token) : null;
  }

  /** @param {string} token */
  heardEnough(token) {
    const { heard_s = 0, coverage = 0 } = this.page.require ?? {};
    const heard = this.heard(token);
    if (!heard || !this.trial) return false;
    const seconds = Math.min(heard_s, this.trial.duration(token));
    return heard.plays > 0 && heard.seconds_heard >= seconds - SLACK_S && heard.coverage >= coverage - SLACK_SHARE;
  }

  /**
   * Why there is no judgement of a sound, if there is a reason.
   * @param {string} token
   * @returns {Missing|null}
   */
  missingOf(token) {
    return this.failed.has(token) ? "cannot_play" : this.missing.get(token) ?? null;
  }

  /** @param {string} token @param {Missing|null} reason */
  setMissing(token, reason) {
    if (reason) this.missing.set(token, reason);
    else this.missing.delete(token);
    this.trial?.log(reason ?? "judge", token);
    this.onChange();
  }

  /**
   * A score was set.
   * @param {string} token
   * @param {number} score
   */
  move(token, score) {
    this.moved.set(token, Math.round(this.context.now()));
    this.trial?.log("move", token, score);
    this.onChange();
  }

  /** @param {string} value  a stimulus, or "tie", was chosen */
  chose(value) {
    this.trial?.log("choose", this.sounds.some(({ token }) => token === value) ? value : null);
    this.onChange();
  }

  /** Lines on what must still be heard: nothing of a sound that is not judged, and no reference for none. */
  unheard() {
    const { t, language } = this.context;
    if (!this.trial) return this.failed.size ? [] : [t("missing.loading")];
    if (this.page.stimuli.every(({ token }) => this.missingOf(token))) return [];
    const wanted = this.sounds.filter(({ token }) => !this.missingOf(token) && !this.heardEnough(token));
    if (wanted.length === 0) return [];
    const which = listOf(wanted.map(({ token }) => this.label(token)), language);
    const { heard_s = 0, coverage = 0 } = this.page.require ?? {};
    if (coverage >= 1 - SLACK_SHARE) return [t("missing.heard_whole", { which })];
    if (coverage > 0) return [t("missing.heard_share", { which, percent: Math.ceil(coverage * 100) })];
    return [heard_s > 0 ? t("missing.heard", { which, n: heard_s }) : t("missing.heard_any", { which })];
  }

  /** @returns {{listening: Listening[], events: import("../types.js").Event[], client: object}} */
  answer() {
    /** @type {Heard} */
    const nothing = { plays: 0, seconds_heard: 0, coverage: 0, first_play_ms: null };
    const listening = this.sounds.map(({ token }) => {
      const { plays, seconds_heard, coverage, first_play_ms } = this.heard(token) ?? nothing;
      const round = (/** @type {number} */ number) => Math.round(number * 1e4) / 1e4;
      const last_move_ms = this.moved.get(token) ?? null;
      return { token, plays, seconds_heard: round(seconds_heard), coverage: Math.min(1, round(coverage)), first_play_ms, last_move_ms };
    });
    return { listening, events: this.trial?.events() ?? [], client: this.context.engine.report() };
  }

  /** @returns {DeskDraft} */
  draft() {
    return { sound: this.trial?.saved() ?? this.saved, missing: Object.fromEntries(this.missing), moved: Object.fromEntries(this.moved) };
  }

  destroy() {
    this.leaving.abort(new DOMException("the page is left", "AbortError"));
    clearInterval(this.timer);
    this.trial?.destroy();
  }
}
