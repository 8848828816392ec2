/**
 * What stands on the unfinished page, kept twice: at once in this browser, and every few seconds on the server. After a
 * reload the newer one counts; on another device the server's does.
 */

import { recall, remember } from "./storage.js";

/** @import {Api} from "./api.js" */
/** @import {Draft} from "./types.js" */

const LOCAL = "clipsonic.draft";
const LOCAL_MS = 250;
const SERVER_MS = 3000;

/**
 * The newer of the server's draft and this browser's.
 * @param {string} key  of the page
 * @param {number} attempt  at it
 * @param {unknown} served
 * @returns {Draft|null}
 */
export function newerDraft(key, attempt, served) {
  const server = /** @type {Draft|null} */ (served ?? null);
  /** @type {{key: string, attempt: number, draft: Draft}|null} */
  let local = null;
  try {
    local = JSON.parse(recall(LOCAL) ?? "null");
  } catch {
    local = null;
  }
  if (local?.key !== key || local.attempt !== attempt) return server;
  return server === null || local.draft.seq > server.seq ? local.draft : server;
}

/**
 * @param {object} options
 * @param {Api} options.api
 * @param {string} options.key
 * @param {number} options.attempt
 * @param {number} options.seq  of the draft that was restored, 0 without
 * @param {() => Omit<Draft, "seq">} options.take
 * @param {(error: unknown) => void} options.onError
 */
export function createDrafts({ api, key, attempt, seq, take, onError }) {
  let current = seq;
  let stored = seq;
  let sending = false;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let soon;
  /** @type {Draft|null} */
  let latest = null;

  function keep() {
    clearTimeout(soon);
    soon = undefined;
    latest = { seq: current, ...take() };
    remember(LOCAL, JSON.stringify({ key, attempt, draft: latest }));
  }

  /** @param {boolean} hiding */
  async function send(hiding) {
    if (soon !== undefined) keep();
    if (latest === null || latest.seq === stored || (sending && !hiding)) return;
    const draft = latest;
    sending = true;
    try {
      await api.draft(key, draft, hiding);
      stored = Math.max(stored, draft.seq);
    } catch (error) {
      onError(error); // not stored, so the next round sends it again
    } finally {
      sending = false;
    }
  }

  const timer = setInterval(() => void send(false), SERVER_MS);
  return {
    /** Something on the page changed. */
    touch() {
      current += 1;
      soon ??= setTimeout(keep, LOCAL_MS);
    },
    /** The page is being hidden or left; what was heard since the last change counts too. */
    hide() {
      current += 1;
      keep();
      void send(true);
    },
    /** Keep what stands there now, in this browser; what was heard since the last change counts too. */
    keep() {
      current += 1;
      keep();
    },
    /** @param {boolean} done  the page's answer is acknowledged: its draft has served */
    stop(done) {
      clearInterval(timer);
      clearTimeout(soon);
      if (done) remember(LOCAL, null);
    },
  };
}
