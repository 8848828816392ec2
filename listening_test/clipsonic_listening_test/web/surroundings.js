/**
 * Where the test runs: address, browser, device.
 */

/** @import {Engine} from "./types.js" */

/** What a panel may put into the address; all else in it is ignored. */
const PARAMETERS = ["PROLIFIC_PID", "STUDY_ID", "SESSION_ID", "workerId", "assignmentId", "hitId", "turkSubmitTo", "invite"];

/**
 * @param {string} search  `location.search`
 * @returns {{parameters: Record<string, string>, language: string|null}}
 */
export function parametersOf(search) {
  const given = new URLSearchParams(search);
  /** @type {Record<string, string>} */
  const parameters = {};
  for (const name of PARAMETERS) {
    const value = given.get(name);
    if (value !== null) parameters[name] = value;
  }
  return { parameters, language: given.get("lang") };
}

/** In another site's frame the session's cookie would not be sent: the study must have its own tab. */
export function isFramed() {
  return globalThis.self !== globalThis.top;
}

/** @param {Engine} engine */
export function clientOf(engine) {
  return {
    browser: navigator.userAgent.slice(0, 300),
    rate_hz: engine.rate || null,
    output_latency_s: engine.latency || null,
    max_channels: engine.max_channels || null,
    viewport: [innerWidth, innerHeight],
  };
}
