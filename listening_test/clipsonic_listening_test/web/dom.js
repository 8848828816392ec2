/**
 * Elements without templates: `h("button", {type: "button", onclick}, "Play")`. Text is always text, never markup.
 */

/**
 * @typedef {Node|string|number|null|undefined|false} Child
 */

/**
 * Make an element. `on…` properties become listeners, `true` an empty attribute, `null`, `undefined` and `false` nothing;
 * all others are attributes. (A `style` attribute would break the content policy: set `element.style` instead.)
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string|number|boolean|null|undefined|((event: any) => void)>|null} [properties]
 * @param {...(Child|Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

/**
 * @param {Node} parent
 * @param {(Child|Child[])[]} children
 */
export function append(parent, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/**
 * Put other children into an element.
 * @param {Element} element
 * @param {...(Child|Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

let last = 0;

/**
 * An id that no other element has.
 * @param {string} prefix
 */
export function newId(prefix) {
  last += 1;
  return `${prefix}-${last}`;
}
