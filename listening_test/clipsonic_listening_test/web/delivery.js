/**
 * Brings an answer to the server however long that takes: back-off doubles from one second to thirty, each wait drawn
 * between half and all of it so that five hundred browsers do not return together; a server that names a time is given it;
 * the network's return ends the wait.
 */

import { ApiError } from "./api.js";

/** @import {Api} from "./api.js" */
/** @import {Entry} from "./outbox.js" */
/** @import {State} from "./types.js" */

const FIRST_MS = 1000;
const MOST_MS = 30_000;

/**
 * @param {number} tries  failed so far, at least 1
 * @param {number|null} retryAfter  seconds
 * @param {() => number} random
 */
export function backOff(tries, retryAfter, random = Math.random) {
  const most = Math.min(MOST_MS, FIRST_MS * 2 ** (tries - 1));
  return (retryAfter ?? 0) * 1000 + most * (0.5 + random() / 2);
}

/** A wait that `wake()`, the network's return or a look at the tab ends early. */
export function createPatience() {
  /** @type {(() => void)|null} */
  let wake = null;
  const rouse = () => wake?.();
  addEventListener("online", rouse);
  return {
    wake: rouse,
    /** @param {number} ms */
    wait(ms) {
      return new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer);
          wake = null;
          resolve(undefined);
        };
        const timer = setTimeout(done, ms);
        wake = done;
      });
    },
  };
}

/**
 * Send until the server acknowledges or refuses for good.
 * @param {Entry} entry
 * @param {object} means
 * @param {Api} means.api
 * @param {{wait: (ms: number) => Promise<unknown>}} means.patience
 * @param {() => Promise<unknown>} means.renew  open the session anew, when its cookie or CSRF token is gone
 * @param {(error: ApiError, waitMs: number) => void} means.onWait
 * @returns {Promise<State>}
 */
export async function deliver(entry, { api, patience, renew, onWait }) {
  let renewed = false;
  for (let tries = 1; ; tries += 1) {
    try {
      return await api.answer(entry.answer);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      let reason = error;
      if ((error.status === 401 || error.status === 403) && !renewed) {
        try {
          await renew();
          renewed = true;
          continue;
        } catch (second) {
          if (!(second instanceof ApiError)) throw second;
          reason = second;
        }
      }
      if (!reason.passing) throw reason;
      const ms = backOff(tries, reason.retryAfter);
      onWait(reason, ms);
      await patience.wait(ms);
    }
  }
}
