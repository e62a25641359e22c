// The inbox: each decision is saved at once, and its photos stay in sight until the page is loaded
// again, so that it can be undone.

import { selected, goOn, listen } from "./grid.js";
import { _, ngettext } from "./i18n.js";
import { byId, photoCount, post, say, slot } from "./projects.js";

const form = byId("inbox");
const undo = byId("undo");

/** The reviewed photos, the latest at the end. @type {HTMLElement[][]} */
const done = [];

byId("project")?.addEventListener("change", (event) => event.target.form.submit());

undo.addEventListener("submit", (event) => {
  if (!done.length) return; // of the page before: the form knows
  event.preventDefault();
  takeBack();
});

if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = event.submitter.value;
    order(value === "class" ? `class:${form.elements.to.value}` : value, selected(form));
  });
  byId("all").addEventListener("click", () => {
    for (const box of form.querySelectorAll("[data-photo]:not([data-done]) input")) box.checked = true;
  });
  listen(form, decide);
}

/** @returns {boolean} whether a key says what to do with photos */
function decide(key, photos) {
  if (key === "u") takeBack();
  const does = form.querySelector(`[data-key="${CSS.escape(key)}"]`)?.dataset.does;
  if (does) order(does, photos);
  return Boolean(does) || key === "u";
}

/** @param {string} what as the studio wants it @param {HTMLElement[]} photos */
async function order(what, photos) {
  const open = photos.filter((photo) => photo.dataset.done === undefined);
  if (!open.length) return say(_("Choose at least one photo first."), { wrong: true });
  const answer = await ask(form.action, open, { do: what, project: form.elements.project.value });
  if (!answer) return;
  done.push(open);
  const said = saidOf(what);
  for (const photo of open) finish(photo, said);
  tell(answer, ngettext("{n} photo {said}.", "{n} photos {said}.", open.length, { said }));
  goOn(form, open.at(-1));
}

/** @returns {string} the decision about a photo, in words */
function saidOf(what) {
  const known = form.querySelector(`[data-does="${CSS.escape(what)}"]`)?.dataset.said;
  if (known) return known;
  return _("in {name}", { name: form.elements.to.selectedOptions[0].textContent.replace(/^\d /, "") });
}

function finish(photo, said) {
  photo.dataset.done = "";
  slot(photo, "now").textContent = said;
  photo.querySelector("input").checked = false;
}

async function takeBack() {
  const last = done.at(-1);
  if (!last) return;
  const answer = await ask(undo.action, last, {});
  if (!answer) return;
  done.pop();
  for (const photo of last) {
    delete photo.dataset.done;
    slot(photo, "now").textContent = "";
  }
  tell(answer, done.length ? _("Undone.") : _("Undone; nothing is left to undo."));
}

function ask(url, photos, fields) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  for (const photo of photos) body.append("kept", photo.dataset.photo);
  return post(url, body);
}

function tell({ waiting }, said) {
  byId("waiting").textContent = photoCount(waiting);
  slot(undo, "said").textContent = said;
  undo.hidden = false;
}
