// Photos by webcam, a burst as long as a button is held.

import { _, ngettext } from "./i18n.js";
import { byId } from "./projects.js";
import { Webcam, nameNow } from "./webcam.js";

const EVERY_MS = 250;
const QUALITY = 0.92;

/** The dialog `#camera`. */
export class Camera {
  #dialog = byId("camera");
  #webcam = new Webcam(this.#dialog.querySelector("video"));
  #timer = 0;
  #count = 0;

  /** @param {(file: File) => void} take called with each photo */
  constructor(take) {
    this.take = take;
    const button = byId("shoot");
    button.addEventListener("pointerdown", () => this.#begin());
    for (const end of ["pointerup", "pointerleave", "pointercancel", "blur"]) {
      button.addEventListener(end, () => this.#end());
    }
    button.addEventListener("keydown", (event) => event.key === " " && !event.repeat && this.#begin());
    button.addEventListener("keyup", () => this.#end());
    this.#dialog.addEventListener("close", () => this.#close());
  }

  /** @param {string} name of the class the photos are for */
  async open(name) {
    this.#count = 0;
    byId("camera-title").textContent = _("Take photos: {name}", { name });
    byId("shots").textContent = "";
    this.#complain("");
    this.#dialog.showModal();
    try {
      byId("shoot").disabled = !(await this.#webcam.open());
    } catch (error) {
      this.#complain(error.message);
    }
  }

  #complain(message) {
    const line = this.#dialog.querySelector(".wrong");
    line.textContent = message;
    line.hidden = !message;
    byId("shoot").disabled = true;
  }

  #begin() {
    if (this.#timer || !this.#webcam.isOpen) return;
    this.#shoot();
    this.#timer = setInterval(() => this.#shoot(), EVERY_MS);
  }

  #end() {
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  async #shoot() {
    const blob = await this.#webcam.photo(QUALITY);
    if (!blob) return;
    this.take(new File([blob], nameNow()));
    byId("shots").textContent = ngettext("{n} photo taken", "{n} photos taken", ++this.#count);
  }

  #close() {
    this.#end();
    this.#webcam.close();
  }
}
