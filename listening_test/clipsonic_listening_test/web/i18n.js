/**
 * Texts of the kit. A catalogue is `i18n/<language>.json`:
 *
 *   {"schema": 1, "language": "de", "name": "Deutsch", "direction": "ltr",
 *    "texts": {"shell.next": "Weiter", "shell.waiting": {"one": "…", "other": "…{n}…"}, …},
 *    "sources": {"scale.cqs": {"status": "official"|"unofficial", "source": "…"}, …}}
 *
 * `{name}` in a text is replaced by a value, numbers written as the language writes them; where a text is an object, the
 * value `n` picks the language's plural form. Every catalogue has every key (a test holds them to it), so an
 * absent one is a mistake in the program: it is said on the console and the key is shown.
 */

/**
 * @typedef {object} Catalogue
 * @property {1} schema
 * @property {string} language
 * @property {string} name
 * @property {"ltr"|"rtl"} direction
 * @property {Record<string, string|Record<string, string>>} texts
 * @property {Record<string, {status: "official"|"unofficial", source: string}>} sources
 */

/** Languages of the kit, each by its own name. */
export const NAMES = Object.freeze({ en: "English", de: "Deutsch", es: "Español", fr: "Français", ar: "العربية" });

/**
 * Of the languages on offer, the one that fits best: asked for by name, else the first that the browser prefers.
 * @param {string|null} asked
 * @param {readonly string[]} preferred  of the browser, best first
 * @param {readonly string[]} offered
 */
export function chooseLanguage(asked, preferred, offered) {
  for (const wanted of [asked ?? "", ...preferred]) {
    const base = wanted.toLowerCase().split(/[-_]/)[0];
    if (offered.includes(base)) return base;
  }
  return offered[0] ?? "en";
}

/**
 * @param {string} language
 * @returns {Promise<Catalogue>}
 */
export async function loadCatalogue(language) {
  if (!Object.hasOwn(NAMES, language)) throw new Error(`no texts in the language ${language}`);
  const reply = await fetch(new URL(`./i18n/${language}.json`, import.meta.url));
  if (!reply.ok) throw new Error(`texts in ${language}: HTTP ${reply.status}`);
  return reply.json();
}

/**
 * @param {Catalogue} catalogue
 * @returns {(key: string, values?: Record<string, string|number>) => string}
 */
export function createTranslator(catalogue) {
  const plural = new Intl.PluralRules(catalogue.language);
  const number = new Intl.NumberFormat(catalogue.language);
  return (key, values = {}) => {
    const entry = Object.hasOwn(catalogue.texts, key) ? catalogue.texts[key] : undefined;
    if (entry === undefined) {
      console.error(`no text for ${key} in ${catalogue.language}`);
      return key;
    }
    const text = typeof entry === "string" ? entry : entry[plural.select(Number(values.n))] ?? entry.other;
    return text.replace(/\{(\w+)\}/g, (whole, name) => {
      if (!Object.hasOwn(values, name)) return whole;
      const value = values[name];
      return typeof value === "number" ? number.format(value) : value;
    });
  };
}
