/**
 * Requests to the server. Every one has a time limit, and every failure is an `ApiError`: `status` 0 and `kind` "network"
 * when there was no reply, else the status and the kind that the server named.
 */

/** @import {Answer, Draft, State} from "./types.js" */

/** Longer than any reply takes, shorter than patience; a keepalive request lives on without it. */
const LIMIT_MS = 20_000;

export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} kind
   * @param {string} message
   * @param {number|null} retryAfter  seconds the server asks to wait
   */
  constructor(status, kind, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.kind = kind;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later, unchanged. */
  get passing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/**
 * @typedef {object} Api
 * @property {(body: object) => Promise<{state: State, resumed: boolean}>} start  open or continue the session; keeps its CSRF token
 * @property {() => Promise<State>} state
 * @property {() => Promise<State>} takeOver
 * @property {(key: string, draft: Draft, hiding?: boolean) => Promise<void>} draft
 * @property {(answer: Answer, hiding?: boolean) => Promise<State>} answer
 * @property {(reason: "no_consent"|"technical"|"withdraw") => Promise<State>} withdraw
 * @property {(kind: string, token: string|null, detail: string) => Promise<void>} problem
 */

/**
 * @param {string} tab  random name of this tab
 * @returns {Api}
 */
export function createApi(tab) {
  let csrf = "";

  /**
   * @param {string} method
   * @param {string} path
   * @param {object|null} body
   * @param {boolean} hiding  the page is being left: the request must outlive it
   * @returns {Promise<any>}
   */
  async function request(method, path, body, hiding = false) {
    /** @type {Response} */
    let reply;
    try {
      reply = await fetch(new URL(path, document.baseURI), {
        method,
        credentials: "same-origin",
        cache: "no-store",
        keepalive: hiding,
        signal: hiding ? null : AbortSignal.timeout(LIMIT_MS),
        headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf, "X-Tab": tab },
        body: body === null ? null : JSON.stringify(body),
      });
    } catch (error) {
      throw new ApiError(0, "network", String(error));
    }
    if (reply.status === 204) return null;
    let content = null;
    try {
      content = await reply.json();
    } catch {
      // A proxy's page, or a reply cut off: for an answer that is not an acknowledgement.
      if (reply.ok) throw new ApiError(0, "network", "the reply was cut off");
    }
    if (reply.ok) return content;
    const seconds = Number.parseFloat(reply.headers.get("Retry-After") ?? "");
    throw new ApiError(
      reply.status,
      content?.error ?? `http_${reply.status}`,
      content?.message ?? reply.statusText,
      Number.isFinite(seconds) ? seconds : null,
    );
  }

  return {
    async start(body) {
      const reply = await request("POST", "api/session", { ...body, tab });
      csrf = reply.csrf;
      return { state: reply.state, resumed: reply.resumed };
    },
    async state() {
      const reply = await request("GET", "api/session", null);
      return reply.state ?? reply;
    },
    async takeOver() {
      const reply = await request("POST", "api/session/take-over", {});
      return reply.state ?? reply;
    },
    async draft(key, draft, hiding = false) {
      await request("PUT", "api/draft", { key, draft }, hiding);
    },
    async answer(answer, hiding = false) {
      const reply = await request("PUT", "api/answer", answer, hiding);
      if (reply?.stored !== true) throw new ApiError(0, "network", "the server did not say that it has the answer");
      return reply.state;
    },
    async withdraw(reason) {
      const reply = await request("POST", "api/withdraw", { reason });
      return reply?.state ?? (await this.state());
    },
    async problem(kind, token, detail) {
      await request("POST", "api/problem", { kind, token, detail: detail.slice(0, 500) });
    },
  };
}
