// Shared by the pages of projects: requests, messages, dialogs and copying. Without this script
// every form still works as a form.

import { LANGUAGE, _, ngettext } from "./i18n.js";

const PATIENCE = 5;

// By then all scripts of a page are there.
document.addEventListener("DOMContentLoaded", () => document.documentElement.classList.add("js"));
document.addEventListener("click", act);
if (!("command" in HTMLButtonElement.prototype)) document.addEventListener("click", obey);

/** @param {string} id @returns {any} the element with this id */
export function byId(id) {
  return document.getElementById(id);
}

/** @returns {any} a copy of the first element in a template */
export function copyOf(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

/** @returns {any} the place in an element where something belongs */
export function slot(element, name) {
  return element.querySelector(`[data-slot="${name}"]`);
}

/** @param {Element} element @param {Record<string, string>} texts by the slots they go to */
export function write(element, texts) {
  for (const [name, text] of Object.entries(texts)) slot(element, name).textContent = text;
}

/** @param {string} tag @param {string} text @returns {HTMLElement} */
export function textOf(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** Shows a message, which screen readers also read. @param {{wrong?: boolean}} how */
export function say(text, { wrong = false } = {}) {
  const notice = byId("notice");
  notice.replaceChildren(...(text ? [textOf("p", text)] : []));
  notice.classList.toggle("wrong", wrong);
}

/** A request that the studio refused, with its message. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * Sends a request. While the studio is overloaded it is sent again after the time it names; a
 * refusal is shown on the page, too, unless `quiet`.
 *
 * @param {string | URL} url
 * @param {RequestInit & {quiet?: boolean, patience?: number}} options of `fetch`; `patience` is
 *   how often it is sent again
 * @returns {Promise<any>} the JSON of the answer, or its text where it is something else
 * @throws {Refused} with a message for people
 */
export async function send(url, { quiet = false, patience = PATIENCE, ...options } = {}) {
  try {
    return await answerOf(await ask(url, patience, options));
  } catch (error) {
    if (!quiet && !options.signal?.aborted) say(error.message, { wrong: true });
    throw error;
  }
}

/**
 * Posts a decision; its response replaces the message before.
 *
 * @returns {Promise<object | undefined>} nothing where it was refused, which the page says
 */
export async function post(url, body) {
  try {
    const answer = await send(url, { method: "POST", body });
    say("");
    return answer;
  } catch {
    return undefined;
  }
}

async function ask(url, patience, options) {
  for (let tries = 0; ; tries++) {
    const response = await reach(url, options);
    const busy = response.status === 429 || response.status === 503;
    const waitS = Number(response.headers.get("Retry-After"));
    if (!busy || !waitS || tries >= patience) return response;
    await pause(waitS * 1000, options.signal);
  }
}

async function reach(url, options) {
  try {
    return await fetch(url, { ...options, headers: { Accept: "application/json", ...LANGUAGE, ...options.headers } });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Refused(_("The studio did not answer. Is it still running?"), 0);
  }
}

async function answerOf(response) {
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const body = isJson ? await response.json() : await response.text();
  if (response.ok) return body;
  const message = isJson ? body.error?.message : sentenceIn(body);
  throw new Refused(message || _("The studio answered {status}.", { status: String(response.status) }), response.status);
}

/** What a page with an error says. */
function sentenceIn(html) {
  return new DOMParser().parseFromString(html, "text/html").querySelector(".error-page p")?.textContent;
}

/** @param {number} spent_ms @param {AbortSignal} [signal] ends the wait early, with an error */
export function pause(spent_ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, spent_ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

// ---------------------------------------------------------------- buttons of every page

/** `data-copies="id"` copies the text of an element. */
function act(event) {
  const button = event.target.closest?.("[data-copies]");
  if (button) copy(button, byId(button.dataset.copies).textContent);
}

/** Does what `command` and `commandfor` say in browsers that do not know them: the others open a
 * dialog even while this file is still on its way. */
function obey(event) {
  const button = event.target.closest?.("[commandfor]");
  if (!button) return;
  const dialog = byId(button.getAttribute("commandfor"));
  if (button.getAttribute("command") === "show-modal") dialog.showModal();
  else dialog.close();
}

async function copy(button, text) {
  const name = button.textContent;
  await navigator.clipboard.writeText(text);
  button.textContent = _("Copied");
  await pause(2000);
  button.textContent = name;
}

// ---------------------------------------------------------------- words

/** @param {number} count @returns {string} such as "1 photo", "7 photos" */
export function photoCount(count) {
  return ngettext("{n} photo", "{n} photos", count);
}
