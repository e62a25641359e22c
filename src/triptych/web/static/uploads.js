// Uploads photos, one to a request and a few in parallel: a bad file fails alone, and what was
// confirmed is kept whatever happens to the rest.

import { _, ngettext } from "./i18n.js";
import { Refused, byId, send, textOf } from "./projects.js";

const AT_ONCE = 3;

/** @typedef {{item: import("./bringing.js").Item, home: string}} Load a photo and its class */

/** The uploads in progress, shown in the panel `#uploads`. */
export class Uploads {
  /** @type {Load[]} */
  #waiting = [];
  /** @type {Load[]} */
  #failed = [];
  #added = 0;
  #refused = 0;
  #all = 0;
  #working = 0;
  #news = "";
  /** @type {AbortController | null} */
  #run = null;

  /** @param {{address: string, most: number, arrived: (done: boolean) => void}} studio where photos
   *   go, how many bytes one may have, and what is called when some have arrived */
  constructor({ address, most, arrived }) {
    Object.assign(this, { address, most, arrived });
    byId("uploads-stop").addEventListener("click", () => this.stop());
    byId("uploads-go").addEventListener("click", () => this.goOn());
    addEventListener("beforeunload", (event) => this.#working && event.preventDefault());
  }

  /** @param {Load[]} loads */
  add(loads) {
    if (!this.#working && !this.left) this.#forget();
    this.#all += loads.length;
    this.#waiting.push(...loads);
    this.#start();
  }

  /** Stops; what has arrived is kept, and the rest can be resumed. */
  stop(news = _("Stopped.")) {
    this.#news = news;
    this.#run?.abort();
  }

  /** Resumes with what is left, and retries what failed. */
  goOn() {
    this.#waiting.push(...this.#failed.splice(0));
    this.#start();
  }

  /** How many are neither uploaded nor refused. */
  get left() {
    return this.#waiting.length + this.#failed.length;
  }

  /** How many were no photos. */
  get refused() {
    return this.#refused;
  }

  #forget() {
    this.#added = this.#refused = this.#all = 0;
    byId("uploads-refused").querySelector("ul").replaceChildren();
  }

  #start() {
    this.#news = "";
    if (!this.#run || this.#run.signal.aborted) this.#run = new AbortController();
    while (this.#working < AT_ONCE && this.#waiting.length) this.#work(this.#run.signal);
    this.#show();
  }

  async #work(signal) {
    this.#working++;
    while (!signal.aborted && this.#waiting.length) {
      await this.#bring(this.#waiting.shift(), signal);
      this.#show();
      this.arrived(false);
    }
    this.#working--;
    this.#show();
    if (!this.#working) this.arrived(true);
  }

  async #bring(load, signal) {
    try {
      const refused = await this.#send(load, signal);
      if (refused) this.#refuse(load, refused);
      else this.#added++;
    } catch (error) {
      this.#explain(load, error, signal);
    }
  }

  /** @returns {Promise<string | undefined>} why it was refused */
  async #send({ item, home }, signal) {
    if (item.size > this.most) {
      const [size, most] = [megabytes(item.size), megabytes(this.most)];
      return _("It has {size} MB; at most {most} MB are allowed.", { size, most });
    }
    const body = new FormData();
    body.append("class", home);
    body.append("photo", await item.open(), item.name);
    const options = { method: "POST", body, signal, quiet: true, patience: Infinity };
    return (await send(this.address, options)).refused[0]?.message;
  }

  #explain(load, error, signal) {
    if (signal.aborted) {
      this.#waiting.unshift(load);
    } else if (error instanceof Refused && error.status === 0) {
      this.#waiting.unshift(load);
      this.stop(_("The studio does not answer. What arrived is kept."));
    } else if (error instanceof Refused && error.status >= 500) {
      this.#failed.push(load);
      this.#note(load, error.message);
    } else {
      this.#refuse(load, error.message);
    }
  }

  #refuse(load, message) {
    this.#refused++;
    this.#note(load, message);
  }

  #note({ item }, message) {
    const line = textOf("li", `: ${message}`);
    line.prepend(Object.assign(textOf("bdi", item.name), { translate: false }));
    byId("uploads-refused").querySelector("ul").append(line);
  }

  #show() {
    const busy = this.#working > 0;
    byId("uploads").hidden = false;
    byId("uploads-bar").max = this.#all;
    byId("uploads-bar").value = this.#added + this.#refused;
    byId("uploads-count").textContent = this.#said();
    byId("uploads-stop").hidden = !busy;
    byId("uploads-go").hidden = busy || !this.left;
    byId("uploads-go").textContent = this.#waiting.length ? _("Go on") : _("Try again");
    const trouble = this.#refused + this.#failed.length;
    byId("uploads-refused").hidden = !trouble;
    byId("uploads-refused").querySelector("summary").textContent =
      ngettext("{n} file could not be added", "{n} files could not be added", trouble);
  }

  #said() {
    const [added, refused] = [this.#added, this.#refused];
    const done = refused
      ? ngettext(
          "{added} of {n} photo added, {refused} refused.",
          "{added} of {n} photos added, {refused} refused.", this.#all, { added, refused },
        )
      : ngettext("{added} of {n} photo added.", "{added} of {n} photos added.", this.#all, { added });
    return `${this.#news} ${done}`.trim();
  }
}

function megabytes(bytes) {
  return Math.ceil(bytes / 2 ** 20);
}
