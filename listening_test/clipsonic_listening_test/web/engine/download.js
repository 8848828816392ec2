/**
 * One file over a poor network: a stalled request is given up, a failed one is tried again, three times, later each
 * time. What will not get better by asking again (the file is not there, the session is not known) is not asked again.
 */

export const RETRIES = 3;
export const STALL_MS = 20_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/**
 * @typedef {object} Surroundings  what a download uses, so that tests can put something else there
 * @property {typeof fetch} fetch
 * @property {(ms: number) => Promise<void>} sleep
 * @property {() => number} random  0 to 1
 * @property {number} stall_ms  time without a byte after which a request is given up
 */

/** A request that was answered with an error. */
class Refused extends Error {
  /** @param {Response} reply */
  constructor(reply) {
    super(`HTTP ${reply.status}`);
    this.again = reply.status >= 500 || reply.status === 408 || reply.status === 429;
    this.wait_ms = 1000 * Number(reply.headers.get("Retry-After") ?? 0) || 0;
  }
}

/**
 * @param {string} url
 * @param {Surroundings} surroundings
 * @param {AbortSignal} signal
 * @param {(share: number) => void} onProgress  0 to 1
 * @returns {Promise<{data: ArrayBuffer, type: string}>}
 */
export async function download(url, surroundings, signal, onProgress) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await request(url, surroundings, signal, onProgress);
    } catch (error) {
      const refused = error instanceof Refused ? error : null;
      if (signal.aborted || attempt === RETRIES || (refused && !refused.again)) throw error;
      onProgress(0);
      const wait = FIRST_WAIT_MS * 2 ** attempt * (1 + surroundings.random());
      await surroundings.sleep(Math.min(LONGEST_WAIT_MS, Math.max(wait, refused?.wait_ms ?? 0)));
      if (signal.aborted) throw error;
    }
  }
}

/**
 * @param {string} url
 * @param {Surroundings} surroundings
 * @param {AbortSignal} signal
 * @param {(share: number) => void} onProgress
 */
async function request(url, surroundings, signal, onProgress) {
  const attempt = new AbortController();
  const giveUp = () => attempt.abort(signal.reason);
  signal.addEventListener("abort", giveUp);
  let timer = setTimeout(stalled, surroundings.stall_ms);
  function stalled() {
    attempt.abort(new DOMException("no answer in time", "TimeoutError"));
  }
  try {
    const reply = await surroundings.fetch(url, { signal: attempt.signal, credentials: "same-origin" });
    if (!reply.ok || !reply.body) throw new Refused(reply);
    const expected = Number(reply.headers.get("Content-Length")) || 0;
    const reader = reply.body.getReader();
    /** @type {Uint8Array[]} */
    const parts = [];
    let received = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(timer);
      timer = setTimeout(stalled, surroundings.stall_ms);
      parts.push(part.value);
      received += part.value.length;
      if (expected) onProgress(Math.min(1, received / expected));
    }
    return { data: joined(parts, received), type: reply.headers.get("Content-Type") ?? "" };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
  }
}

/**
 * @param {Uint8Array[]} parts
 * @param {number} length
 * @returns {ArrayBuffer}
 */
function joined(parts, length) {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole.buffer;
}
