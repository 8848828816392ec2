/**
 * webMUSHRA's keys, kept so that people who know them are at home:
 *
 *   0 r            reference              a b        loop start, loop end        space      play, pause
 *   1 … 9          stimulus               A B        reset them                  backspace  stop
 *   h l ← →        previous, next         j k ↑ ↓    score up, down by 1; with shift by 10
 *   ?              help
 *
 * Left and right are the screen's, also where a language is written from the right.
 *
 * @typedef {{kind: "reference"|"toggle"|"stop"|"loop_start"|"loop_end"|"reset_start"|"reset_end"|"help"}
 *   | {kind: "stimulus", index: number} | {kind: "move", by: 1|-1} | {kind: "score", by: number}} Action
 * @typedef {{key: string, shiftKey: boolean, ctrlKey: boolean, altKey: boolean, metaKey: boolean}} Press
 * @typedef {"text"|"button"|"radio"|"range"|"page"} Target  what has the focus; "range": a range input that is no score
 */

/** @type {Readonly<Record<string, Action>>} */
const PLAIN = Object.freeze({
  r: { kind: "reference" },
  0: { kind: "reference" },
  " ": { kind: "toggle" },
  backspace: { kind: "stop" },
  a: { kind: "loop_start" },
  b: { kind: "loop_end" },
  h: { kind: "move", by: -1 },
  arrowleft: { kind: "move", by: -1 },
  l: { kind: "move", by: 1 },
  arrowright: { kind: "move", by: 1 },
  j: { kind: "score", by: 1 },
  arrowup: { kind: "score", by: 1 },
  k: { kind: "score", by: -1 },
  arrowdown: { kind: "score", by: -1 },
  "?": { kind: "help" },
});

/** @type {Readonly<Record<string, Action>>} */
const SHIFTED = Object.freeze({
  a: { kind: "reset_start" },
  b: { kind: "reset_end" },
  j: { kind: "score", by: 10 },
  arrowup: { kind: "score", by: 10 },
  k: { kind: "score", by: -10 },
  arrowdown: { kind: "score", by: -10 },
  "?": { kind: "help" },
});

/**
 * What a key press asks for; null: nothing of ours, the browser has it.
 * @param {Press} press
 * @param {Target} target
 * @returns {Action|null}
 */
export function actionOf(press, target) {
  if (target === "text" || press.ctrlKey || press.altKey || press.metaKey) return null;
  const key = press.key.toLowerCase();
  if (target === "button" && key === " ") return null;
  if ((target === "radio" || target === "range") && (key === " " || key.startsWith("arrow"))) return null;
  if (/^[1-9]$/.test(key)) return { kind: "stimulus", index: Number(key) - 1 };
  return (press.shiftKey ? SHIFTED : PLAIN)[key] ?? null;
}

/**
 * What has the focus, as far as keys matter.
 * @param {EventTarget|null} element
 * @returns {Target}
 */
export function targetOf(element) {
  if (!(element instanceof HTMLElement)) return "page";
  if (element instanceof HTMLInputElement) {
    if (element.type === "range") return element.dataset.keys === "own" ? "range" : "page";
    return element.type === "radio" ? "radio" : element.type === "checkbox" ? "button" : "text";
  }
  if (element.isContentEditable || element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement) return "text";
  return element.closest("button, a, summary") ? "button" : "page";
}
