// Sorting a heap: each decision is saved at once, and its photos stay in sight until the page is
// loaded again, so that it can be undone.

import { goOn, listen, selected } from "./grid.js";
import { _, ngettext } from "./i18n.js";
import { byId, pause, post, say, send, slot } from "./projects.js";

const EVERY_MS = 1000;

const form = byId("sort");
const undo = byId("undo");
const job = byId("job");
const naming = byId("new-class");

/** The decisions of this page, the latest at the end. @type {{photos: HTMLElement[], batch: number, kept: number[]}[]} */
const done = [];
/** The group that had the focus last, for buttons. @type {HTMLElement | null} */
let lastGroup = null;
/** The photos that a choice from the list of classes is for. @type {HTMLElement[]} */
let listed = [];

byId("project")?.addEventListener("change", (event) => event.target.form.submit());

undo.addEventListener("submit", (event) => {
  if (!done.length) return; // of the page before: the form knows
  event.preventDefault();
  takeBack();
});

// Where it cannot be taught yet, the page says why, and what was named stays in sight.
byId("teach")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await post(event.target.action, new FormData());
  if (answer) location.assign(answer.address);
});

document.querySelectorAll("form.proposal").forEach(listenToProposal);

function listenToProposal(proposal) {
  proposal.addEventListener("submit", (event) => {
    event.preventDefault();
    accept(proposal, event.submitter);
  });
}

if (form) {
  const groups = [...form.querySelectorAll("[data-group]")];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { value } = event.submitter;
    order(value === "class" ? `class:${form.elements.to.value}` : value, selected(lastGroup ?? form));
  });
  if (groups.length) for (const group of groups) listenToGroup(group, groups);
  else listen(form, decide);
  form.elements.to?.addEventListener("keydown", nameByList);
  document.addEventListener("keydown", begin);
}

// "Esc" in the field of a new class goes back to the photos.
naming?.addEventListener("keydown", (event) => {
  if (event.key === "Escape") firstHandle(form)?.focus();
});
naming?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await post(naming.action, new FormData(naming))) location.reload();
});

// ---------------------------------------------------------------- keys

/** The first arrow key goes to the first photo; u undoes also where the button to undo has the focus. */
function begin(event) {
  const isHere = document.activeElement === document.body || undo.contains(document.activeElement);
  if (!isHere || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "u") takeBack();
  if (!event.key.startsWith("Arrow") || !firstHandle(form)) return;
  firstHandle(form).focus();
  event.preventDefault();
}

/** @returns {boolean} whether a key says what to do with photos */
function decide(key, photos) {
  if (key === "u") takeBack();
  if (key === "n") naming?.elements.name.focus();
  if (key === "c" && form.elements.to) {
    listed = photos;
    form.elements.to.focus();
  }
  const does = form.querySelector(`[data-key="${CSS.escape(key)}"]`)?.dataset.does;
  if (does) order(does, photos);
  return Boolean(does) || ["u", "n"].includes(key) || (key === "c" && Boolean(form.elements.to));
}

/** Enter in the list of classes names the photos that it was opened for. */
function nameByList(event) {
  if (event.key !== "Enter" || !listed.length) return;
  event.preventDefault();
  order(`class:${event.target.value}`, listed);
}

/** Keys within a group are for its ticked photos. */
function listenToGroup(group, groups) {
  const boxes = () => [...group.querySelectorAll("input[type=checkbox]:not(:disabled)")];
  group.addEventListener("focusin", () => (lastGroup = group));
  group.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const side = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (side) boxes()[boxes().indexOf(event.target) + side]?.focus();
    else if (step) goToGroup(groups, groups.indexOf(group), step);
    else if (!decide(event.key, selected(group))) return;
    event.preventDefault();
  });
}

/** Goes to the next group that is not done. @returns {boolean} whether there is one */
function goToGroup(groups, from, step) {
  for (let at = from + step; groups[at]; at += step) {
    const handle = firstHandle(groups[at]);
    if (handle) {
      handle.focus();
      return true;
    }
  }
  return false;
}

/** @returns {HTMLElement | null} the box of the first photo that waits */
function firstHandle(field) {
  return field?.querySelector("[data-photo]:not([data-done]) input[type=checkbox]") ?? null;
}

// ---------------------------------------------------------------- decisions

/** @param {string} what as the studio wants it @param {HTMLElement[]} photos */
async function order(what, photos) {
  const open = photos.filter((photo) => photo.dataset.done === undefined);
  if (!open.length) return say(_("Choose at least one photo first."), { wrong: true });
  const body = formOf({ do: what });
  for (const photo of open) body.append("photo", photo.querySelector("input").value);
  const answer = await post(form.action, body);
  if (!answer) return;
  listed = [];
  finish(answer, open);
  const groups = [...form.querySelectorAll("[data-group]")];
  const group = open.at(-1).closest("[data-group]");
  if (!group) goOn(form, open.at(-1));
  else if (!firstHandle(group)) {
    goToGroup(groups, groups.indexOf(group), 1) || goToGroup(groups, groups.length, -1);
  } else firstHandle(group).focus();
}

/** Accepts what is proposed for one class. */
async function accept(proposal, button) {
  const body = new FormData(proposal);
  body.append(button.name, button.value);
  const answer = await post(proposal.action, body);
  if (!answer) return;
  finish(answer, [...proposal.querySelectorAll("[data-photo]")], proposal);
  undo.querySelector("button").focus();
  if (proposal.dataset.more !== undefined) await showNext(proposal);
}

/**
 * Puts the next photos of the same class in the place of those that were accepted. What was left
 * out comes again, and is left out again.
 */
async function showNext(proposal) {
  const text = await send(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!text) return;
  const page = new DOMParser().parseFromString(text, "text/html");
  const next = page.querySelector(`form.proposal[data-class="${CSS.escape(proposal.dataset.class)}"]`);
  if (!next) return;
  for (const photo of proposal.querySelectorAll("[data-photo]:not([data-done])")) {
    const again = next.querySelector(`[data-photo="${CSS.escape(photo.dataset.photo)}"] input`);
    if (again) again.checked = false;
  }
  proposal.after(document.adoptNode(next));
  listenToProposal(next);
}

/** Shows what became of photos. Those that others decided about stay as they are, too. */
function finish(answer, photos, proposal = null) {
  const decided = new Set(answer.photos);
  for (const photo of photos) {
    const box = photo.querySelector("input");
    if (proposal && !box.checked) continue;
    photo.dataset.done = "";
    box.checked = false;
    box.disabled = true;
    slot(photo, "now").textContent = decided.has(photo.dataset.photo) ? "\u2713" : "";
  }
  if (proposal) proposal.hidden = true;
  if (decided.size) done.push({ photos, proposal, batch: answer.batch, kept: answer.kept });
  tell(answer, answer.said.join(" "));
}

async function takeBack() {
  const last = done.pop();
  if (!last) {
    if (undo.elements.batch.value) undo.submit();
    return;
  }
  const body = formOf({ batch: last.batch });
  for (const number of last.kept) body.append("kept", number);
  const answer = await post(undo.action, body);
  if (!answer) return done.push(last);
  if (last.proposal) last.proposal.hidden = false;
  for (const photo of last.photos) {
    const box = photo.querySelector("input");
    delete photo.dataset.done;
    box.disabled = false;
    if (photo.closest("[data-group], form.proposal")) box.checked = true;
    slot(photo, "now").textContent = "";
  }
  (last.proposal?.querySelector("button") ?? last.photos[0]?.querySelector("input"))?.focus();
  tell(answer, done.length ? _("Undone.") : _("Undone; nothing is left to undo."));
}

/** @param {Record<string, string | number>} fields beside those of the heap */
function formOf(fields) {
  const body = new FormData();
  body.append("source", undo.elements.source.value);
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return body;
}

function tell({ left }, said) {
  byId("left").textContent = ngettext("{n} photo left to sort", "{n} photos left to sort", left);
  const changes = byId("changes");
  if (changes) {
    changes.textContent = changes.dataset.changed;
    changes.hidden = false;
  }
  slot(undo, "said").textContent = said;
  undo.hidden = false;
}

// ---------------------------------------------------------------- the job

if (job?.dataset.start !== undefined) start();
else if (job?.dataset.follow !== undefined) follow();

async function start() {
  const answer = await post(job.querySelector("form").action, new FormData(job.querySelector("form")));
  if (answer) await follow();
}

/** Looks how far the job is. The page is not loaded anew under somebody's hands. */
async function follow() {
  const button = job.querySelector("form");
  for (;;) {
    const state = await send(job.dataset.address, { quiet: true }).catch(() => null);
    if (state && !state.under_way) return end(state);
    if (state) show(state);
    button.hidden = !button.action.endsWith("/stop");
    await pause(EVERY_MS);
  }
}

function show({ said, progress }) {
  const bar = slot(job, "bar");
  slot(job, "said").textContent = said;
  bar.hidden = false;
  if (progress === null) bar.removeAttribute("value");
  else bar.value = progress;
}

function end({ state, said }) {
  if (state === "done" && !done.length) return location.reload();
  slot(job, "bar").hidden = true;
  slot(job, "said").textContent =
    state === "done" ? _("All photos are looked through. Load the page anew to see them in order.") : said;
}
