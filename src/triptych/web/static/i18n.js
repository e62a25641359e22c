// The texts of scripts in the language of the page, from the page's catalog of them.

const { lang } = document.documentElement;
const element = document.getElementById("script-messages");
/** @type {Record<string, Record<string, string>>} by the English text, then by plural category */
const messages = element ? JSON.parse(element.textContent) : {};
const plurals = new Intl.PluralRules(lang);
const isEnglish = lang === "en";

/** Headers of requests whose answer is shown: its sentences are in the language of the page. */
export const LANGUAGE = { "X-Page-Language": lang };

/** @param {string} sentence in English, with {name} for each value @param {Object} [values] by name */
export function _(sentence, values = {}) {
  return fill(messages[sentence]?.other ?? sentence, values);
}

/** The same for a sentence that depends on a number, {n}. */
export function ngettext(singular, plural, n, values = {}) {
  const forms = messages[singular];
  const sentence = forms ? forms[plurals.select(n)] ?? forms.other : n === 1 ? singular : plural;
  return fill(sentence, { n, ...values });
}

function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => shown(values[name] ?? whole));
}

function shown(value) {
  return typeof value === "number" ? value.toLocaleString(lang) : value;
}

/** @param {number} share in [0, 1] @param {number} [digits] @returns {string} such as "83.4 %" */
export function percent(share, digits = 1) {
  if (isEnglish) return `${(share * 100).toFixed(digits)}\u00a0%`;
  return share.toLocaleString(lang, {
    style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
}

/** @param {number} spent_ms @returns {string} a time, in seconds from one second on */
export function duration(spent_ms) {
  const inSeconds = spent_ms >= 1000;
  const digits = inSeconds ? 1 : 0;
  const value = inSeconds ? spent_ms / 1000 : spent_ms;
  if (isEnglish) return `${inSeconds ? value.toFixed(1) : Math.round(value)} ${inSeconds ? "s" : "ms"}`;
  return value.toLocaleString(lang, {
    style: "unit", unit: inSeconds ? "second" : "millisecond", unitDisplay: "short",
    minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
}
