/**
 * Questions. A field with `show_if` is asked only while the field it names has that value; what is not asked is answered
 * null, as is an optional field left empty.
 */

import { h, newId } from "../dom.js";
import { renderMarkdown } from "../markdown.js";

/** @import {Context, Field, FieldValue, Mount} from "../types.js" */

/**
 * @typedef {{field: Field, element: HTMLElement, read: () => FieldValue, valid: () => boolean}} Control
 */

/**
 * A group of radio buttons or boxes.
 * @param {Field} field
 * @param {{value: string, label: string}[]} options
 * @param {"radio"|"checkbox"} type
 * @param {string[]} chosen
 * @param {string} look
 * @param {() => void} onChange
 * @param {Node[]} around  legend and hints
 */
function group(field, options, type, chosen, look, onChange, around) {
  const name = newId(`field-${field.id}`);
  const boxes = options.map(({ value, label }) => {
    const box = h("input", { type, name, value, checked: chosen.includes(value), onchange: onChange });
    return { box, row: h("label", { class: "choice-row", dir: "auto" }, box, h("span", null, label)) };
  });
  const element = h("fieldset", { class: "field" }, ...around, h("div", { class: look }, ...boxes.map(({ row }) => row)));
  return { element, read: () => boxes.filter(({ box }) => box.checked).map(({ box }) => box.value) };
}

/**
 * @param {Field} field
 * @param {FieldValue} value
 * @param {Context} context
 * @returns {Control}
 */
function control(field, value, { t, language, onChange }) {
  const optional = field.optional ? h("span", { class: "muted optional" }, ` ${t("questionnaire.optional")}`) : null;
  const start = value === null || value === undefined ? "" : String(value);

  if (field.type === "text" || field.type === "long_text" || field.type === "number") {
    const id = newId(`field-${field.id}`);
    const common = { id, name: field.id, oninput: onChange, dir: "auto", autocomplete: "off" };
    const input =
      field.type === "long_text"
        ? h("textarea", { ...common, rows: 4, maxlength: 4000 })
        : field.type === "number"
          ? h("input", { ...common, type: "number", inputmode: "decimal", step: "any", min: field.min, max: field.max })
          : h("input", { ...common, type: "text", maxlength: 500 });
    input.value = start;
    const element = h("div", { class: "field" }, h("label", { for: id, dir: "auto" }, field.label, optional), input);
    const read = () => {
      const text = input.value.trim();
      if (text === "") return null;
      return field.type === "number" ? Number(text) : text;
    };
    // A browser empties the value of a number field that is no number, and only `validity` knows.
    return { field, element, read, valid: () => input.validity.valid && (field.optional || read() !== null) };
  }

  const legend = h("legend", { dir: "auto" }, field.label, optional);
  if (field.type === "multiple") {
    const chosen = Array.isArray(value) ? value : [];
    const hint = h("p", { class: "muted" }, t("questionnaire.several"));
    const { element, read } = group(field, field.options ?? [], "checkbox", chosen, "choices", onChange, [legend, hint]);
    return { field, element, read, valid: () => field.optional || read().length > 0 };
  }
  const number = new Intl.NumberFormat(language);
  const low = field.min ?? 1;
  const high = field.max ?? 7;
  const steps = Array.from({ length: high - low + 1 }, (_, index) => low + index);
  const listed = field.options?.length ? field.options : null;
  const options = listed ?? steps.map((step) => ({ value: String(step), label: number.format(step) }));
  const likert = field.type === "likert";
  const { element, read } = group(field, options, "radio", [start], likert ? "likert" : "choices", onChange, [legend]);
  const single = () => {
    const [only] = read();
    if (only === undefined) return null;
    return likert && !listed ? Number(only) : only;
  };
  return { field, element, read: single, valid: () => field.optional || single() !== null };
}

/** @type {Mount} */
export function mount(root, page, context) {
  const { t, onChange } = context;
  const kept = page.draft?.fields ?? {};
  /** @type {Control[]} */
  const controls = [];
  const changed = () => {
    arrange();
    onChange();
  };
  for (const field of page.fields ?? []) controls.push(control(field, kept[field.id] ?? null, { ...context, onChange: changed }));

  /** @param {Control} one @returns {boolean} */
  const asked = ({ field: { show_if } }) => {
    if (!show_if) return true;
    const other = controls.find(({ field }) => field.id === show_if.field);
    if (!other || !asked(other)) return false;
    const value = other.read();
    return Array.isArray(value) ? value.includes(String(show_if.equals)) : value !== null && String(value) === String(show_if.equals);
  };
  const arrange = () => {
    for (const one of controls) one.element.hidden = !asked(one);
  };

  if (page.text) root.append(h("div", { class: "prose", dir: "auto" }, renderMarkdown(page.text)));
  root.append(h("form", { class: "fields", onsubmit: /** @param {Event} event */ (event) => event.preventDefault() }, ...controls.map(({ element }) => element)));
  arrange();
  const values = () => Object.fromEntries(controls.map((one) => [one.field.id, asked(one) ? one.read() : null]));
  return {
    answer: () => ({ fields: values() }),
    missing: () => controls.filter((one) => asked(one) && !one.valid()).map(({ field }) => t("questionnaire.missing", { field: field.label })),
    draft: () => ({ fields: Object.fromEntries(controls.map((one) => [one.field.id, one.read()])) }),
    destroy() {},
  };
}
