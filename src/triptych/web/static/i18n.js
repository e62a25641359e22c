// The texts of scripts in the language of the page.

/** @param {string} sentence in English, with {name} for each value @param {Object} [values] by name */
export function _(sentence, values = {}) {
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The same for a sentence that depends on a number, {n}. */
export function ngettext(singular, plural, n, values = {}) {
  return _(n === 1 ? singular : plural, { n, ...values });
}
