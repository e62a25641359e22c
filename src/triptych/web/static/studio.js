// The studio's script: it only improves the form. Photos are staged, then asked about one at a
// time, so that each card is filled as soon as its answer comes.

/** @typedef {{file: File, url: string}} Photo */

const form = byId("ask");
const staged = byId("staged");
const wall = byId("wall");
const cards = byId("cards");

/** @type {Photo[]} */
let photos = [];
/** @type {AbortController | null} */
let work = null;

document.documentElement.classList.add("js");
for (const id of ["choose", "camera"]) byId(id).addEventListener("change", takeChosen);
form.addEventListener("submit", ask);
form.addEventListener("change", showChoices);
byId("cancel").addEventListener("click", () => work?.abort());
document.addEventListener("paste", (event) => stage(event.clipboardData.files));
document.addEventListener("dragover", hover);
document.addEventListener("dragleave", leave);
document.addEventListener("drop", drop);
showChoices();
showStaged();

/** @param {string} id @returns {any} the element with this id */
function byId(id) {
  return document.getElementById(id);
}

// ---------------------------------------------------------------- staging

/** Takes the files of an input, and empties it, so that the same file can be chosen again. */
function takeChosen(event) {
  stage(event.target.files);
  event.target.value = "";
}

/** @param {Iterable<File>} files adds them to the photos to ask about */
function stage(files) {
  for (const file of files) {
    const photo = { file, url: URL.createObjectURL(file) };
    photos.push(photo);
    staged.append(thumbnail(photo));
  }
  showStaged();
}

/** @param {Photo} photo @returns {HTMLElement} its small picture with a button to remove it */
function thumbnail(photo) {
  const item = copyOf("staged-template");
  showPhoto(item.querySelector("img"), photo);
  item.querySelector(".name").textContent = photo.file.name;
  const button = item.querySelector("button");
  button.setAttribute("aria-label", `Remove ${photo.file.name}`);
  button.addEventListener("click", () => unstage(photo, item));
  return item;
}

/** @param {Photo} photo @param {HTMLElement} item its thumbnail */
function unstage(photo, item) {
  photos = photos.filter((other) => other !== photo);
  const next = (item.nextElementSibling ?? item.previousElementSibling)?.querySelector("button");
  item.remove();
  showStaged();
  (next ?? byId("choose")).focus();
}

/** Says on the button what it will do. */
function showStaged() {
  staged.hidden = !photos.length;
  const button = form.querySelector(".ask");
  button.textContent =
    photos.length > 1 ? `Ask about ${photos.length} photos` : "Ask the committee";
  button.disabled = Boolean(work);
}

/** @param {HTMLImageElement} image @param {Photo} photo */
function showPhoto(image, photo) {
  // Some formats are read by the studio and not by the browser, such as HEIC.
  image.addEventListener("error", () => image.replaceWith(textOf("p", "no preview")));
  image.src = photo.url;
}

function hover(event) {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  form.classList.add("hover");
}

function leave(event) {
  if (!event.relatedTarget) form.classList.remove("hover");
}

function drop(event) {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  form.classList.remove("hover");
  stage(event.dataTransfer.files);
}

// ---------------------------------------------------------------- choices

/** Offers the members of the chosen committee only, and shows the request as a curl line. */
function showChoices() {
  const committee = new FormData(form).get("committee");
  for (const seat of form.querySelectorAll(".seat")) {
    seat.hidden = seat.dataset.committee !== committee;
    if (seat.hidden && seat.querySelector(":checked")) {
      form.querySelector('[name="members"][value=""]').checked = true;
    }
  }
  byId("curl").textContent = `curl -F image=@photo.jpg "${address()}"`;
}

/** @returns {URL} where to ask, with the choices made */
function address() {
  const url = new URL(form.dataset.api, location.href);
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string" && value) url.searchParams.set(name, value);
  }
  return url;
}

// ---------------------------------------------------------------- asking

/** Asks about every staged photo, one at a time. */
async function ask(event) {
  event.preventDefault();
  if (work) return;
  if (!photos.length) return byId("choose").click();
  work = new AbortController();
  const url = address();
  const hung = photos.map((photo) => [photo, hang(photo)]);
  begin(hung.map(([, card]) => card));
  for (const [number, [photo, card]] of hung.entries()) {
    count(number, hung.length);
    fill(card, await answer(url, photo, work.signal));
  }
  finish(hung.length);
}

/** @param {Photo} photo @returns {HTMLElement} a card that waits for its answer */
function hang(photo) {
  const card = copyOf("triptych-template");
  const image = slot(card, "photo");
  image.alt = photo.file.name;
  showPhoto(image, photo);
  slot(card, "source").textContent = photo.file.name;
  return card;
}

/** @param {HTMLElement[]} waiting */
function begin(waiting) {
  cards.replaceChildren(...waiting);
  byId("news").replaceChildren();
  byId("progress").hidden = false;
  wall.hidden = false;
  showStaged();
  wall.scrollIntoView();
}

/** @param {number} done @param {number} all */
function count(done, all) {
  byId("bar").max = all;
  byId("bar").value = done;
  byId("count").textContent = `${done} of ${all} answered`;
}

/** @param {number} all */
function finish(all) {
  if (!work.signal.aborted) count(all, all);
  work = null;
  byId("progress").hidden = true;
  showStaged();
}

/**
 * @param {URL} url @param {Photo} photo @param {AbortSignal} signal
 * @returns {Promise<object>} an answer as the API gives it, or one with an error in its place
 */
async function answer(url, photo, signal) {
  const body = new FormData();
  body.append("image", photo.file);
  try {
    const response = await fetch(url, { method: "POST", body, signal });
    const answers = await response.json();
    return answers.results?.[0] ?? answers;
  } catch {
    const message = signal.aborted
      ? "You cancelled before this photo was answered."
      : "The studio did not answer. Is it still running?";
    return { error: { message } };
  }
}

// ---------------------------------------------------------------- filling a card

/** @param {HTMLElement} card @param {object} answer as the API gives it */
function fill(card, answer) {
  if (answer.error) {
    card.dataset.state = "failed";
    write(card, { label: "Not answered", how: answer.error.message });
  } else {
    card.dataset.state = "answered";
    fillVerdict(card, answer);
    slot(card, "panels").replaceChildren(...answer.members.map((each) => panel(each, answer)));
  }
  const name = slot(card, "source").textContent;
  byId("news").append(textOf("p", `${name}: ${textIn(card, "label")} ${textIn(card, "prob")}`));
}

/** @param {HTMLElement} card @param {object} answer */
function fillVerdict(card, answer) {
  const { verdict, timing, warning } = answer;
  write(card, {
    label: verdict.label,
    prob: percent(verdict.prob),
    how: how(answer),
    next: next(verdict.top.slice(1)),
    warning: warning ?? "",
    timing: `${ms(timing.total_ms)} in all; decoding ${ms(timing.decode_ms)}`,
  });
  const button = slot(card, "copy");
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", () => copy(button, answer));
}

/** @returns {string} which rule or member made the verdict */
function how({ members, verdict }) {
  const best = members.find((member) => member.name === verdict.surest);
  if (members.length === 1) return `${best.name} alone`;
  return (
    `${verdict.rule} of ${members.length} members; ` +
    `surest was ${best.name} with ${percent(best.top[0].prob)}`
  );
}

/** @param {object[]} guesses @returns {string} what else the committee thought of */
function next(guesses) {
  const each = guesses.map(({ label, prob }) => `${label} ${percent(prob)}`);
  return each.length ? `then ${each.join("; ")}` : "";
}

/** @param {object} member @param {object} answer @returns {HTMLElement} the member's panel */
function panel(member, { members, verdict, timing }) {
  const element = copyOf("panel-template");
  element.toggleAttribute("data-agrees", member.top[0].index === verdict.index);
  element.toggleAttribute("data-surest", members.length > 1 && member.name === verdict.surest);
  write(element, { member: member.name, spent: ms(timing.members_ms[member.name]) });
  slot(element, "guesses").replaceChildren(...member.top.map(guess));
  return element;
}

/** @param {{label: string, prob: number}} each @returns {HTMLElement} one line with its bar */
function guess({ label, prob }) {
  const line = copyOf("guess-template");
  write(line, { name: label, prob: percent(prob) });
  slot(line, "bar").setAttribute("width", percent(prob));
  return line;
}

/** @param {HTMLButtonElement} button @param {object} answer */
async function copy(button, answer) {
  await navigator.clipboard.writeText(JSON.stringify(answer, null, 2));
  button.textContent = "Copied";
}

// ---------------------------------------------------------------- small things

/** @returns {HTMLElement} a copy of the first element in a template */
function copyOf(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

function slot(element, name) {
  return element.querySelector(`[data-slot="${name}"]`);
}

/** @param {HTMLElement} element @param {Record<string, string>} texts by the slots they go to */
function write(element, texts) {
  for (const [name, text] of Object.entries(texts)) slot(element, name).textContent = text;
}

function textIn(element, name) {
  return slot(element, name).textContent;
}

function textOf(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** @param {number} prob in [0, 1] @returns {string} the only place where it becomes a percentage */
function percent(prob) {
  return `${(prob * 100).toFixed(1)}%`;
}

function ms(spent) {
  return `${Math.round(spent)} ms`;
}
