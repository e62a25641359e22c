// Answers while the camera looks: one small frame at a time, the next when its answer has come.

import { LANGUAGE, _, duration, ngettext, percent } from "./i18n.js";
import { Webcam, nameNow } from "./webcam.js";

// Between two frames: at most three a second, and less often for a studio that refuses.
const SHORTEST_MS = 333;
const LONGEST_MS = 8000;
const PATIENCE_MS = 30_000;
// No network takes more than 299 pixels.
const FRAME = { side: 480, quality: 0.85 };
const PHOTO_QUALITY = 0.92;
// More classes than are shown, so that the mean of several frames is right for each.
const TOP = 20;
const NEXT = 3;
const CASCADE = "cascade";
const SLOWED_MS = 1000;

/** A frame that got no answer: why, and what follows from it. */
class Trouble extends Error {
  constructor(message, { waitS = 0, isQuota = false, isFinal = false } = {}) {
    super(message);
    Object.assign(this, { waitS, isQuota, isFinal });
  }
}

/** The answers to the last frames, so that what is shown can be read. */
export class Recent {
  static FRAMES = 5;
  #verdicts = [];
  #key = "";

  /**
   * @param {object} verdict the next one, as the API gives it
   * @returns {{kind: string, names: string[], prob: number, next: {label: string, prob: number}[],
   *   frames: number}} what these frames say together. A class has the mean of its
   *   probabilities; `sure` are only frames that all are sure of the same.
   */
  add(verdict) {
    this.#verdicts = [...this.#verdicts, verdict].slice(-Recent.FRAMES);
    const keys = this.#verdicts.map(keyOf);
    // Two in a row that say something else show something else; a single one does not.
    if (keys.at(-1) === keys.at(-2) && keys.at(-1) !== this.#key) {
      this.#verdicts = this.#verdicts.slice(-2);
    }
    const said = this.#say();
    this.#key = said.key;
    return said;
  }

  #say() {
    const verdicts = this.#verdicts;
    const frames = verdicts.length;
    const most = (holds) => 2 * verdicts.filter(holds).length > frames;
    const means = new Map();
    for (const { label, prob } of verdicts.flatMap(({ top }) => top)) {
      means.set(label, (means.get(label) ?? 0) + prob / frames);
    }
    const all = [...means].map(([label, prob]) => ({ label, prob })).sort((a, b) => b.prob - a.prob);
    const isNone = most(({ status }) => status === "none");
    const isMulti = Array.isArray(verdicts.at(-1).labels);
    const holds = isMulti
      ? all.filter(({ label }) => most(({ labels }) => labels?.some((each) => each.label === label)))
      : all.slice(0, 1);
    const names = isNone ? [] : sorted(holds);
    const key = isNone ? "none" : names.join("|");
    const isSure = verdicts.every((each) => each.status === "sure" && keyOf(each) === key);
    const { status, status_reason: promisesNothing } = verdicts.at(-1);
    const kind = promisesNothing ? "unpromised" : !status ? "" : isNone ? "none" : isSure ? "sure" : "unsure";
    const next = all.filter(({ label }) => !names.includes(label)).slice(0, NEXT);
    const prob = names.length === 1 ? means.get(names[0]) : NaN;
    return { key, kind, names, prob, next, holds, frames, isMulti };
  }
}

function keyOf({ status, label, labels }) {
  if (status === "none") return "none";
  return labels ? sorted(labels).join("|") : label;
}

/** @returns {string[]} the names of classes, in an order that does not change with each frame */
function sorted(guesses) {
  return guesses.map(({ label }) => label).sort();
}

/** The section `#live`, with the button `#go-live` that opens it. */
export class Live {
  #section = document.getElementById("live");
  #button = document.getElementById("go-live");
  #webcam = new Webcam(this.#section.querySelector("video"), () => this.#lost());
  #said = "";
  /** The committee that was found to answer one class, as the cascade does. */
  #ofOneClass = "";
  /** @type {AbortController | null} */
  #run = null;

  /** @param {{address: (others: object) => URL, take: (files: File[]) => void}} page where frames are sent, and
   *   what a photo that was taken is given to */
  constructor({ address, take }) {
    Object.assign(this, { address, take });
    this.#button.addEventListener("click", () => this.#start());
    this.#slot("again").addEventListener("click", () => this.#start());
    this.#slot("stop").addEventListener("click", () => this.#close());
    this.#slot("take").addEventListener("click", () => this.#take());
    this.#slot("switch").addEventListener("click", () => this.#start(() => this.#webcam.switch()));
  }

  /** @param {() => Promise<boolean>} open opens a camera */
  async #start(open = () => this.#webcam.open()) {
    this.#run?.abort();
    const { signal } = (this.#run = new AbortController());
    this.#section.hidden = false;
    this.#section.dataset.state = "opening";
    this.#complain("");
    this.#empty();
    this.#section.focus({ preventScroll: true }); // the button makes room
    this.#section.scrollIntoView();
    try {
      if (!(await open()) || signal.aborted) return;
      this.#slot("switch").hidden = !(await this.#webcam.hasOthers());
    } catch (error) {
      if (signal.aborted) return;
      this.#complain(error.message);
      if (!this.#webcam.isOpen) return this.#fail();
    }
    this.#section.dataset.state = "live";
    await this.#loop(signal);
  }

  /** Asks about one frame after the other; more slowly where the studio refuses so many. */
  async #loop(signal) {
    const recent = new Recent();
    let [pace, faults] = [SHORTEST_MS, 0];
    while (!signal.aborted) {
      await shown();
      const began = performance.now();
      let wait = 0;
      try {
        const answer = await this.#ask(signal);
        if (signal.aborted) return;
        [pace, faults] = [Math.max(SHORTEST_MS, 0.8 * pace), 0];
        if (answer) this.#show(recent.add(answer.verdict), answer);
        if (pace < SLOWED_MS) this.#complain("");
      } catch (error) {
        if (signal.aborted) return;
        this.#complain(error.message);
        if (error.isFinal) return this.#fail();
        wait = Math.max(1000 * error.waitS, Math.min(LONGEST_MS, 500 * 2 ** faults++));
        if (error.isQuota) pace = Math.min(LONGEST_MS, Math.max(2 * pace, wait));
      }
      const spent = performance.now() - began;
      this.#slot("rate").textContent = rate(Math.max(pace, spent));
      await pause(Math.max(wait, pace - spent), signal);
    }
  }

  /** @returns {Promise<object | null>} the answer to what the camera sees now; null before it sees */
  async #ask(signal) {
    const frame = await this.#webcam.photo(FRAME.quality, FRAME.side);
    if (!frame) return null;
    const body = new FormData();
    body.append("image", frame, "frame.jpg");
    const url = this.address({ top: TOP });
    const committee = url.searchParams.get("committee") ?? "";
    // The first frame is answered by its usual rule, which tells whether it has one class.
    if (this.#ofOneClass === committee) url.searchParams.set("rule", CASCADE);
    const { response, answers } = await send(url, body, signal);
    const message = answers.error?.message ?? answers.results?.[0]?.error?.message;
    if (!message) {
      const [answer] = answers.results;
      this.#ofOneClass = answer.verdict.labels ? "" : committee;
      return answer;
    }
    const waitS = Number(response.headers.get("Retry-After")) || 0;
    const isQuota = response.status === 429;
    const isFinal = response.status < 500 && !isQuota && response.status !== 408;
    throw new Trouble(message, { waitS, isQuota, isFinal });
  }

  // -------------------------------------------------------------- what is shown

  #show({ kind, names, prob, next, holds, frames, isMulti }, { members, skipped }) {
    const label =
      kind === "none" ? _("None of these") : names.join(", ") || _("None of the classes");
    this.#section.dataset.status = kind;
    this.#slot("label").textContent = label;
    this.#slot("label").translate = !names.length;
    this.#slot("prob").textContent = isNaN(prob) || kind === "none" ? "" : percent(prob, 0);
    const status = kind && document.getElementById(`${kind}-template`).content.cloneNode(true);
    this.#slot("status").replaceChildren(...(status ? status.firstElementChild.childNodes : []));
    const lines = isMulti ? [...holds, ...next] : [...(kind === "none" ? [] : holds), ...next];
    this.#slot("guesses").replaceChildren(...lines.slice(0, NEXT + 1).map(guess));
    const networks = ngettext("{n} network", "{n} networks", members.length + skipped.length);
    this.#slot("how").textContent = skipped.length
      ? ngettext("The last frame alone, {ran} of {networks}", "The mean of {n} frames, {ran} of {networks}", frames, { ran: members.length, networks })
      : ngettext("The last frame alone, {networks}", "The mean of {n} frames, {networks}", frames, { networks });
    const said = names.length === 1 ? `${label} ${kind}` : label;
    if (said === this.#said) return;
    this.#said = said; // heard only when it changes
    this.#slot("news").textContent = label;
  }

  #empty() {
    for (const name of ["label", "prob", "how", "rate", "news"]) this.#slot(name).textContent = "";
    for (const name of ["status", "guesses"]) this.#slot(name).replaceChildren();
    this.#said = this.#section.dataset.status = "";
  }

  #complain(message) {
    this.#slot("trouble").textContent = message;
    this.#slot("trouble").hidden = !message;
  }

  // -------------------------------------------------------------- the end

  /** The photo is asked about as any other, by the whole committee. */
  async #take() {
    const blob = await this.#webcam.photo(PHOTO_QUALITY);
    if (!blob) return;
    this.#close();
    this.take([new File([blob], nameNow(), { type: blob.type })]);
  }

  #close() {
    this.#run?.abort();
    this.#webcam.close();
    this.#section.hidden = true;
    this.#button.focus({ preventScroll: true });
  }

  #lost() {
    this.#run?.abort();
    this.#complain(_("The camera is gone. Connect it and try again, or choose a photo."));
    this.#fail();
  }

  /** Stays with what went wrong, and a button to try again. */
  #fail() {
    this.#run?.abort();
    this.#webcam.close();
    this.#section.dataset.state = "failed";
  }

  #slot(name) {
    return this.#section.querySelector(`[data-slot="${name}"]`);
  }
}

/** @returns {Promise<{response: Response, answers: object}>} @throws {Trouble} without an answer */
async function send(url, body, signal) {
  const giveUp = new AbortController();
  const end = () => giveUp.abort();
  const timer = setTimeout(end, PATIENCE_MS);
  signal.addEventListener("abort", end, { once: true });
  try {
    const response = await fetch(url, { method: "POST", body, headers: LANGUAGE, signal: giveUp.signal });
    return { response, answers: await response.json() };
  } catch {
    throw new Trouble(_("The studio did not answer. Is it still running? It is asked again in a moment."));
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

/** Waits while nobody sees the page. */
async function shown() {
  while (document.hidden) {
    await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
  }
}

function pause(spentMs, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.max(0, spentMs));
    signal.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
  });
}

function guess({ label, prob }) {
  const line = document.getElementById("guess-template").content.firstElementChild.cloneNode(true);
  line.querySelector('[data-slot="name"]').textContent = label;
  line.querySelector('[data-slot="prob"]').textContent = percent(prob, 0);
  line.querySelector('[data-slot="bar"]').setAttribute("width", `${(prob * 100).toFixed(1)}%`);
  return line;
}

/** @returns {string} how often frames are asked about */
function rate(everyMs) {
  return everyMs < 1000
    ? _("{number} frames a second", { number: Math.round(10000 / everyMs) / 10 })
    : _("a frame every {time}", { time: duration(everyMs) });
}
