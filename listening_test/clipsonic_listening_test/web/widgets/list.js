/**
 * "A, B and C" as the language writes it.
 * @param {readonly string[]} items
 * @param {string} language
 */
export function listOf(items, language) {
  return new Intl.ListFormat(language, { type: "conjunction" }).format(items);
}

/**
 * "A, B or C" as the language writes it.
 * @param {readonly string[]} items
 * @param {string} language
 */
export function eitherOf(items, language) {
  return new Intl.ListFormat(language, { type: "disjunction" }).format(items);
}
