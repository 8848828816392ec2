/**
 * A subset of Markdown as DOM nodes: headings, paragraphs, lists, rules, **strong**, *emphasis*, `code` and links.
 *
 * Whatever else a text holds, markup of any kind included, is shown as it is written: no string is ever parsed as HTML.
 * Links go to http, https and mailto only, and open in their own tab, so that nobody loses their place.
 */

import { append, h } from "./dom.js";

/** One inline element: strong, emphasis, code or link. Each alternative ends where its mark first closes. */
const INLINE = /\*\*(?<strong>[^*]+)\*\*|\*(?<em>[^*\s][^*]*)\*|`(?<code>[^`]+)`|\[(?<label>[^\]]+)\]\((?<target>[^)\s]+)\)/;
const SAFE = /^(https?:\/\/|mailto:)/i;

/**
 * @param {string} text
 * @returns {Node[]}
 */
export function renderInline(text) {
  const nodes = [];
  let rest = text;
  for (let match = INLINE.exec(rest); match; match = INLINE.exec(rest)) {
    const groups = match.groups ?? {};
    nodes.push(document.createTextNode(rest.slice(0, match.index)));
    if (groups.strong !== undefined) nodes.push(h("strong", null, ...renderInline(groups.strong)));
    else if (groups.em !== undefined) nodes.push(h("em", null, ...renderInline(groups.em)));
    else if (groups.code !== undefined) nodes.push(h("code", null, groups.code));
    else if (SAFE.test(groups.target))
      nodes.push(h("a", { href: groups.target, target: "_blank", rel: "noopener noreferrer" }, groups.label));
    else nodes.push(document.createTextNode(match[0]));
    rest = rest.slice(match.index + match[0].length);
  }
  nodes.push(document.createTextNode(rest));
  return nodes;
}

/**
 * @param {string[]} lines  of one block, without blank ones
 * @returns {HTMLElement}
 */
function renderBlock(lines) {
  const heading = /^(#{1,3})\s+(.*)$/.exec(lines[0]);
  // The page's title is the only h1.
  if (heading && lines.length === 1) return h(heading[1].length < 3 ? "h2" : "h3", null, ...renderInline(heading[2]));
  if (lines.length === 1 && /^(-{3,}|\*{3,})$/.test(lines[0])) return h("hr");
  const bullet = /^\s*[-*]\s+/;
  const number = /^\s*\d+[.)]\s+/;
  for (const [tag, mark] of /** @type {const} */ ([["ul", bullet], ["ol", number]])) {
    if (!mark.test(lines[0])) continue;
    /** @type {string[]} */
    const items = [];
    for (const line of lines) {
      if (mark.test(line)) items.push(line.replace(mark, ""));
      else items[items.length - 1] += ` ${line.trim()}`;
    }
    return h(tag, null, ...items.map((item) => h("li", null, ...renderInline(item))));
  }
  return h("p", null, ...renderInline(lines.map((line) => line.trim()).join(" ")));
}

/**
 * @param {string} text
 * @returns {DocumentFragment}
 */
export function renderMarkdown(text) {
  const fragment = document.createDocumentFragment();
  /** @type {string[]} */
  let block = [];
  const close = () => {
    if (block.length) fragment.appendChild(renderBlock(block));
    block = [];
  };
  for (const line of text.replace(/\r\n?/g, "\n").split("\n")) {
    if (line.trim() === "") close();
    else if (/^#{1,3}\s+/.test(line)) {
      close();
      block = [line];
      close();
    } else {
      // A list may follow its sentence without a blank line between.
      const list = /^\s*([-*]|\d+[.)])\s+/;
      if (list.test(line) && block.length && !list.test(block[0])) close();
      block.push(line);
    }
  }
  close();
  return fragment;
}

/**
 * @param {Element} element
 * @param {string} text
 */
export function fillMarkdown(element, text) {
  element.replaceChildren();
  append(element, [renderMarkdown(text)]);
}
