/** Small drawings for buttons, in the text's colour. Their meaning is always in words too. */

const SVG = "http://www.w3.org/2000/svg";

const SHAPES = Object.freeze({
  play: "M7 4.5v15l12-7.5z",
  pause: "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z",
  stop: "M6 6h12v12H6z",
  check: "M9.3 18.2 3.8 12.7l1.9-1.9 3.6 3.6 9-9 1.9 1.9z",
  keys: "M3 6h18v12H3zm2 2v2h2V8zm4 0v2h2V8zm4 0v2h2V8zm4 0v2h2V8zM5 12v2h2v-2zm12 0v2h2v-2zm-8 0v2h6v-2z",
  zoom: "M10.5 3a7.5 7.5 0 0 1 5.9 12.1l4.7 4.8-1.4 1.4-4.8-4.7A7.5 7.5 0 1 1 10.5 3m0 2a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11m-1 2.5h2v2h2v2h-2v2h-2v-2h-2v-2h2z",
});

/** @typedef {keyof typeof SHAPES} Icon */

/** @param {Icon} name */
export function icon(name) {
  const svg = svgElement("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" });
  svg.append(svgElement("path", { d: SHAPES[name], "fill-rule": "evenodd" }));
  return svg;
}

/**
 * @param {string} tag
 * @param {Record<string, string>} attributes
 */
export function svgElement(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
