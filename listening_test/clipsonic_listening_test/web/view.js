/**
 * The frame around every page: bar with title, progress, language and options; notices; the page; the row with Next.
 * It knows texts and elements and nothing of sessions.
 */

import { fill, h, newId } from "./dom.js";
import { NAMES } from "./i18n.js";

/**
 * @typedef {(key: string, values?: Record<string, string|number>) => string} Translate
 * @typedef {{text: string, actions: {label: string, run: () => void}[], tone: "info"|"warn"|"bad"}} Notice
 */

/**
 * @param {{onNext: () => void, onLanguage: (language: string) => void, onOptions: () => void}} handlers
 */
export function createView({ onNext, onLanguage, onOptions }) {
  const skip = h("a", { class: "skip", href: "#page-title" });
  const title = h("p", { class: "bar-title" });
  const step = h("span", { class: "bar-step" });
  const meter = h("progress", { class: "bar-progress", max: 1, value: 0 });
  const languageId = newId("language");
  const languageLabel = h("label", { class: "visually-hidden", for: languageId });
  const select = h("select", { id: languageId, class: "bar-language", onchange: () => onLanguage(select.value) });
  const options = h("button", { type: "button", class: "button quiet bar-options", onclick: onOptions });
  const languages = h("div", { class: "bar-languages", hidden: true }, languageLabel, select);
  const progress = h("div", { class: "bar-where", hidden: true }, step, meter);
  const bar = h("header", { class: "bar" }, h("div", { class: "bar-row" }, title, progress, languages, options));

  const notices = h("div", { class: "notices", role: "status" });
  const main = h("main", { class: "main", id: "main" });
  const missing = h("div", { class: "missing", id: "missing", role: "alert" });
  const next = h("button", { type: "button", class: "button primary next", "aria-describedby": "missing", onclick: onNext });
  const actions = h("footer", { class: "actions", hidden: true }, h("div", { class: "actions-row" }, missing, next));
  document.body.append(skip, bar, notices, main, actions);
  // What pages keep in view above this row stands on it, however many lines it has.
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  new ResizeObserver(() => sheet.replaceSync(`:root { --pin-end: ${actions.offsetHeight}px }`)).observe(actions);

  /** @type {Map<string, Notice>} */
  const shown = new Map();

  return {
    main,
    /**
     * @param {Translate} t
     * @param {string} language
     * @param {string} direction
     */
    setLanguage(t, language, direction) {
      document.documentElement.lang = language;
      document.documentElement.dir = direction;
      skip.textContent = t("shell.skip");
      languageLabel.textContent = t("shell.language");
      options.textContent = t("shell.options");
      next.textContent = t("shell.next");
      meter.setAttribute("aria-label", t("shell.progress"));
    },
    /**
     * @param {string} name
     * @param {readonly string[]} offered
     * @param {string} language
     */
    setStudy(name, offered, language) {
      title.textContent = name;
      document.title = name;
      const known = offered.filter((code) => Object.hasOwn(NAMES, code));
      languages.hidden = known.length < 2;
      fill(select, ...known.map((code) => h("option", { value: code, lang: code }, NAMES[/** @type {"en"} */ (code)])));
      select.value = language;
    },
    /**
     * @param {Translate} t
     * @param {{done: number, total: number}|null} value
     */
    setProgress(t, value) {
      progress.hidden = value === null;
      if (value === null) return;
      const at = Math.min(value.done + 1, value.total);
      step.textContent = t("shell.step", { at, total: value.total });
      meter.max = value.total;
      meter.value = value.done;
    },
    /** @param {boolean} on */
    setOptions(on) {
      options.hidden = !on;
    },
    /**
     * A notice stays until it is taken away, and is read out once.
     * @param {string} id
     * @param {Notice|null} notice
     */
    setNotice(id, notice) {
      if (notice === null) {
        if (!shown.delete(id)) return;
      } else shown.set(id, notice);
      fill(
        notices,
        ...Array.from(shown.values(), ({ text, actions: offered, tone }) =>
          h(
            "div",
            { class: `notice ${tone}` },
            h("p", null, text),
            ...offered.map(({ label, run }) => h("button", { type: "button", class: "button quiet", onclick: run }, label)),
          ),
        ),
      );
    },
    /** @param {string|null} label  null: no Next on this screen */
    setNext(label) {
      actions.hidden = label === null;
      if (label !== null) next.textContent = label;
      fill(missing);
    },
    /** @param {boolean} on  an answer is on its way */
    setBusy(on) {
      next.classList.toggle("busy", on);
      next.setAttribute("aria-disabled", String(on));
      main.inert = on;
    },
    /** Whether the page is done. Next can be pressed all the same: it then says what is missing. @param {boolean} ready */
    setReady(ready) {
      next.classList.toggle("waiting", !ready);
    },
    /** @param {string[]} lines */
    setMissing(lines) {
      fill(missing, lines.length > 0 && h("ul", null, ...lines.map((line) => h("li", null, line))));
    },
    /**
     * Show another screen: its heading gets the focus, so that a screen reader says where one is.
     * @param {string} heading
     * @param {string} kind  class of the page
     * @param {string|null} chip
     * @returns {HTMLElement} the empty element below the heading
     */
    open(heading, kind, chip = null) {
      const body = h("div", { class: "page-body" });
      const head = h("h1", { id: "page-title", tabindex: -1 }, heading);
      const mark = chip === null ? null : h("p", { class: "chip" }, chip);
      fill(main, h("article", { class: `page page-${kind}`, "aria-labelledby": "page-title" }, h("div", { class: "page-head" }, head, mark), body));
      main.inert = false;
      scrollTo(0, 0);
      head.focus({ preventScroll: true });
      return body;
    },
  };
}

/** @typedef {ReturnType<typeof createView>} View */
