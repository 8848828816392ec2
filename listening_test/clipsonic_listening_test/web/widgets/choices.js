/**
 * One question with answers of which one is chosen: radio buttons, none of them chosen at first.
 */

import { h, newId } from "../dom.js";

/**
 * @typedef {object} Choices
 * @property {HTMLFieldSetElement} element
 * @property {() => string|null} value
 * @property {(value: string|null) => void} set  as from a draft: nobody is told
 * @property {(value: string) => void} choose  as by hand
 * @property {(enabled: boolean) => void} setEnabled
 */

/**
 * @param {object} options
 * @param {string} options.question
 * @param {string} options.help
 * @param {{value: string, text: string, note?: string}[]} options.options
 * @param {(value: string) => void} options.onChoose
 * @param {string} options.kind  a class
 * @returns {Choices}
 */
export function createChoices({ question, help, options, onChoose, kind }) {
  const name = newId("choice");
  const inputs = options.map(({ value }) => h("input", { type: "radio", name, value, onchange: () => onChoose(value), autocomplete: "off" }));
  const labels = options.map(({ text, note }, index) =>
    h("label", { class: "choice" }, inputs[index], h("span", { class: "choice-text" }, text), note ? h("span", { class: "choice-note" }, note) : null),
  );
  const description = newId("help");
  const element = h(
    "fieldset",
    { class: `choices ${kind}`, "aria-describedby": description },
    h("legend", { class: "question" }, question),
    h("p", { class: "question-help", id: description }, help),
    h("div", { class: "choice-options" }, ...labels),
  );
  return {
    element,
    value: () => inputs.find((input) => input.checked)?.value ?? null,
    set(value) {
      for (const input of inputs) input.checked = input.value === value;
    },
    choose(value) {
      const input = inputs.find((one) => one.value === value);
      if (!input) return;
      input.focus();
      input.checked = true;
      onChoose(value);
    },
    setEnabled(enabled) {
      for (const input of inputs) input.disabled = !enabled;
    },
  };
}
