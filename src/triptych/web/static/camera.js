// Photos by webcam, a burst as long as a button is held.

import { _, ngettext } from "./i18n.js";
import { byId } from "./projects.js";

const EVERY_MS = 250;
const QUALITY = 0.92;
const TROUBLES = {
  NotAllowedError: _("The browser was not allowed to use the camera. Allow it in the address bar."),
  NotFoundError: _("There is no camera."),
  NotReadableError: _("The camera is in use by another program."),
};

/** The dialog `#camera`. */
export class Camera {
  #dialog = byId("camera");
  #video = this.#dialog.querySelector("video");
  #timer = 0;
  #count = 0;
  /** @type {MediaStream | null} */
  #stream = null;

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
      await this.#look();
    } catch (error) {
      this.#complain(TROUBLES[error.name] ?? error.message);
    }
  }

  async #look() {
    if (!navigator.mediaDevices) {
      throw new Error(
        _("Browsers allow the camera only on pages of this machine (localhost) and over https."),
      );
    }
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280 } });
    if (!this.#dialog.open) return stop(stream); // closed while the browser was asking
    this.#stream = stream;
    this.#video.srcObject = stream;
    await this.#video.play();
    byId("shoot").disabled = false;
  }

  #complain(message) {
    const line = this.#dialog.querySelector(".wrong");
    line.textContent = message;
    line.hidden = !message;
    byId("shoot").disabled = true;
  }

  #begin() {
    if (this.#timer || !this.#stream) return;
    this.#shoot();
    this.#timer = setInterval(() => this.#shoot(), EVERY_MS);
  }

  #end() {
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  #shoot() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.#video.videoWidth, this.#video.videoHeight];
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    const name = `webcam ${new Date().toISOString().replace(/[:.]/g, "-")}.jpg`;
    canvas.toBlob((blob) => this.take(new File([blob], name)), "image/jpeg", QUALITY);
    byId("shots").textContent = ngettext("{n} photo taken", "{n} photos taken", ++this.#count);
  }

  #close() {
    this.#end();
    if (this.#stream) stop(this.#stream);
    this.#stream = null;
    this.#video.srcObject = null;
  }
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}
