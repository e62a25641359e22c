// The camera of this machine or phone, for whatever page shows what it sees.

import { _ } from "./i18n.js";

const BACK = "environment";
const FRONT = "user";
const TROUBLES = {
  NotAllowedError: _("The browser was not allowed to use the camera. Allow it in the address bar, and try again; or choose a photo."),
  NotFoundError: _("There is no camera. Connect one and try again, or choose a photo."),
  NotReadableError: _("The camera is in use by another program. Close that and try again, or choose a photo."),
};
const INSECURE = _("Browsers allow the camera only on pages of this machine (localhost) and over https. Whoever runs the studio can start it with --self-signed; a photo can be chosen as it is.");

/** One camera at a time, shown by a video element. */
export class Webcam {
  #video;
  #opening = 0;
  /** @type {MediaStream | null} */
  #stream = null;

  /**
   * @param {HTMLVideoElement} video shows what the camera sees
   * @param {() => void} [lost] called when the camera is gone, such as when it was unplugged
   */
  constructor(video, lost = () => {}) {
    this.#video = video;
    this.lost = lost;
  }

  /**
   * Opens a camera: on a phone the back one, unless constraints say otherwise.
   *
   * @param {MediaTrackConstraints} [which]
   * @returns {Promise<boolean>} whether it is open; not if it was closed while the browser was asking
   * @throws {Error} with a message for people
   */
  async open(which = { facingMode: { ideal: BACK } }) {
    this.close();
    if (!navigator.mediaDevices) throw new Error(INSECURE);
    const mine = this.#opening;
    const video = { width: { ideal: 1280 }, ...which };
    const stream = await navigator.mediaDevices.getUserMedia({ video }).catch(explain);
    if (mine !== this.#opening) {
      stop(stream);
      return false;
    }
    this.#stream = stream;
    this.#track.addEventListener("ended", () => stream === this.#stream && this.lost());
    this.#video.srcObject = stream;
    this.#video.classList.toggle("mirrored", this.#facing === FRONT);
    await this.#video.play().catch(() => {}); // it is closed already
    return mine === this.#opening;
  }

  /** Whether there is another camera to switch to. */
  async hasOthers() {
    return (await this.#cameras()).length > 1;
  }

  /** Opens the next camera: on a phone that of the other side. The present one stays if that fails. */
  async switch() {
    const [facing, { deviceId }] = [this.#facing, this.#track.getSettings()];
    const ids = (await this.#cameras()).map((camera) => camera.deviceId);
    const next = facing
      ? { facingMode: { exact: facing === FRONT ? BACK : FRONT } }
      : { deviceId: { exact: ids[(ids.indexOf(deviceId) + 1) % ids.length] } };
    try {
      return await this.open(next);
    } catch (error) {
      await this.open({ deviceId: { exact: deviceId } });
      throw error;
    }
  }

  /** Closes the camera; its light goes out. */
  close() {
    this.#opening++;
    if (this.#stream) stop(this.#stream);
    this.#stream = null;
    this.#video.srcObject = null;
  }

  get isOpen() {
    return this.#stream !== null;
  }

  /**
   * @param {number} quality of the JPEG, from 0 to 1
   * @param {number} [longest] its longest side in pixels, at most
   * @returns {Promise<Blob | null>} what the camera sees now, never mirrored; null before it sees anything
   */
  photo(quality, longest = Infinity) {
    const { videoWidth: width, videoHeight: height } = this.#video;
    if (!width) return Promise.resolve(null);
    const scale = Math.min(1, longest / Math.max(width, height));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#video, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
  }

  get #track() {
    return this.#stream.getVideoTracks()[0];
  }

  /** Where the camera looks; unknown for most that are not part of a phone. */
  get #facing() {
    return this.#track.getSettings().facingMode;
  }

  async #cameras() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter(({ kind }) => kind === "videoinput");
  }
}

/** @returns {string} a name for a photo of the camera */
export function nameNow() {
  return `webcam ${new Date().toISOString().replace(/[:.]/g, "-")}.jpg`;
}

function explain(error) {
  throw new Error(TROUBLES[error.name] ?? error.message);
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}
