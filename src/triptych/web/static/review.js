// Decisions about photos, saved at once: the fields of the form are sent, and the new state of each
// photo is written beneath it.

import { selected, goOn, listen } from "./grid.js";
import { _ } from "./i18n.js";
import { byId, post, slot } from "./projects.js";

const undo = byId("undo");
let pending = Promise.resolve();

undo.addEventListener("submit", (event) => {
  event.preventDefault();
  takeBack();
});

for (const form of document.querySelectorAll("form.review")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    press(form, event.submitter);
  });
  listen(form, (key, photos) => decide(form, key, photos));
}

/** @returns {boolean} whether a key says what to do with photos */
function decide(form, key, photos) {
  if (key === "u") takeBack();
  if (key === "a") return accept(form, photos);
  const home = form.querySelector(`[data-key="${CSS.escape(key)}"]`)?.dataset.move;
  const what = home ? `move:${home}` : { r: "right", x: "exclude" }[key];
  if (what) order(form, what, photos);
  return Boolean(what) || key === "u";
}

/** Carries out what is suggested for each photo. @returns {boolean} whether something is */
function accept(form, photos) {
  const buttons = photos.map((photo) => photo.querySelector("[data-accept]")).filter(Boolean);
  for (const button of buttons) press(form, button);
  return buttons.length > 0;
}

/** Carries out a button of the form. */
function press(form, button) {
  if (button.name === "one") {
    const [, what] = button.value.split(/ (.*)/);
    return order(form, what, [button.closest("[data-photo]")]);
  }
  const isOfClass = ["move", "add", "remove"].includes(button.value);
  const what = isOfClass ? `${button.value}:${form.elements.to.value}` : button.value;
  return order(form, what, selected(form));
}

/** @param {string} what as the studio wants it @param {HTMLElement[]} photos */
async function order(form, what, photos) {
  const body = new FormData();
  body.append("do", what);
  for (const photo of photos) body.append("digest", photo.dataset.photo);
  await inTurn(async () => {
    const answer = await post(form.action, body);
    if (!answer) return;
    show(answer, true);
    if (photos.length) goOn(form, photos.at(-1));
  });
}

async function takeBack() {
  await inTurn(async () => {
    const answer = await post(undo.action, new FormData(undo));
    if (answer) show(answer, false);
  });
}

/** What is undone is what was decided before, also where its answer is still on its way.
 * @param {() => Promise<void>} work */
function inTurn(work) {
  pending = pending.then(work, work);
  return pending;
}

/** @param {{photos: Record<string, string>, undoable: string | null, batch: number | null}} answer
 * @param {boolean} done */
function show({ photos, undoable, batch }, done) {
  for (const [digest, now] of Object.entries(photos)) {
    for (const item of document.querySelectorAll(`[data-photo="${digest}"]`)) {
      slot(item, "now").textContent = now;
      item.toggleAttribute("data-done", done);
      for (const box of item.querySelectorAll(":checked")) box.checked = false;
    }
  }
  if (byId("changes")) {
    byId("changes").textContent = _("Labels were changed since; teach again to use them.");
  }
  undo.elements.batch.value = batch ?? "";
  slot(undo, "said").textContent = undoable ?? _("Nothing is left to undo.");
  undo.hidden = false;
}
