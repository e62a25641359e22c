// The studio's script: it only improves the form. Photos are classified as soon as they arrive, one
// at a time, so that each card is filled when its answer comes.

import { LANGUAGE, _, duration, ngettext, percent } from "./i18n.js";
import { keep, kept } from "./kept_photos.js";
import { Live } from "./live.js";
import { compare } from "./similar.js";
import { offer } from "./why.js";

/** @typedef {{file: File, url: string}} Photo */
/** @typedef {{photo: Photo, card: HTMLElement, url: URL}} Request a card waits for its answer */

const OPTIONS = "triptych: options";
const CANCELLED = { error: { message: _("You cancelled before this photo was answered.") } };
const form = byId("ask");
const wall = byId("wall");
const cards = byId("cards");

/** @type {Photo[]} the photos on the wall, the newest first */
let photos = [];
/** @type {Request[]} */
let waiting = [];
/** @type {AbortController | null} */
let work = null;
let answered = 0;

document.documentElement.classList.add("js");
form.addEventListener("submit", askAgain);
form.addEventListener("change", changeOptions);
byId("cancel").addEventListener("click", cancel);
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", hover);
document.addEventListener("dragleave", leave);
document.addEventListener("drop", drop);
document.querySelector("form.languages")?.addEventListener("submit", keepPhotos);
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => takeExample(button.dataset));
}
new Live({ address, take });
restoreOptions();
showOptions();
showAgain(false);
for (const id of ["choose", "camera"]) {
  byId(id).addEventListener("change", (event) => takeChosen(event.target));
  takeChosen(byId(id)); // chosen while this file was on its way
}
kept().then(take);

/** @param {string} id @returns {any} the element with this id */
function byId(id) {
  return document.getElementById(id);
}

// ---------------------------------------------------------------- photos

/** Takes the files of an input, and empties it, so that the same file can be chosen again. */
function takeChosen(input) {
  take(input.files);
  input.value = "";
}

async function takeExample({ example, name }) {
  const response = await fetch(example);
  take([new File([await response.blob()], name)]);
}

/** @param {Iterable<File>} files are classified, above those that are there */
function take(files) {
  const fresh = [...files].map((file) => ({ file, url: URL.createObjectURL(file) }));
  if (!fresh.length) return;
  const requests = requestsFor(fresh);
  if (!photos.length) cards.replaceChildren(); // those of the page that came without a script
  photos = [...fresh, ...photos];
  cards.prepend(...requests.map(({ card }) => card));
  wall.hidden = false;
  (fresh.length > 1 ? wall : requests[0].card).scrollIntoView();
  answerAll([...waiting, ...requests]);
}

/** Another language loads the page anew: its photos are classified again there. */
async function keepPhotos(event) {
  if (!photos.length) return;
  event.preventDefault();
  try {
    await keep(photos.map(({ file }) => file));
  } catch (error) {
    console.warn(error); // too many for the browser: the language changes all the same
  }
  event.target.removeEventListener("submit", keepPhotos);
  event.target.requestSubmit(event.submitter);
}

/** @param {HTMLImageElement} image @param {Photo} photo */
function showPhoto(image, photo) {
  // Some formats are read by the studio and not by the browser, such as HEIC.
  image.addEventListener("error", () => image.replaceWith(textOf("p", _("no preview"))));
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
  take(event.dataTransfer.files);
}

// ---------------------------------------------------------------- options

/** Photos that were classified in another way can be classified again. */
function changeOptions(event) {
  if (event.target.type === "file") return;
  showOptions();
  showAgain(photos.length > 0);
  localStorage.setItem(OPTIONS, JSON.stringify(options()));
}

/** @returns {Record<string, string>} what is selected, by field */
function options() {
  return Object.fromEntries([...new FormData(form)].filter(([, value]) => typeof value === "string"));
}

/** Selects what was selected the last time, where it is still on offer. */
function restoreOptions() {
  if (!byId("options") || location.search || cards.children.length) return;
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(OPTIONS)) ?? {};
  } catch {
    // Somebody else's, or damaged: the page's own are selected.
  }
  const committee = inputOf("committee", kept.committee);
  // Its members and rules may differ from those of the committee that is on offer now.
  if (!committee || committee.disabled) return;
  for (const [name, value] of Object.entries(kept)) {
    const input = inputOf(name, value);
    if (input && !input.disabled) input.checked = true;
    const list = form.querySelector(`select[name="${CSS.escape(name)}"]`);
    if (list && [...list.options].some((each) => each.value === value)) list.value = value;
  }
}

function inputOf(name, value) {
  const named = `input[type="radio"][name="${CSS.escape(name)}"]`;
  return form.querySelector(`${named}[value="${CSS.escape(value ?? "")}"]`);
}

/** Offers the members of the selected committee only, and shows the request as a curl line. */
function showOptions() {
  const { committee } = options();
  for (const members of form.querySelectorAll(".member-options")) {
    members.hidden = members.dataset.committee !== committee;
    if (members.hidden && members.querySelector(":checked")) {
      inputOf("members", "").checked = true;
    }
  }
  const { members, rule, fit } = options();
  const ruleUsed = isMultilabel(committee) ? "" : rule;
  const present = [committee, members || _("the whole committee"), ruleUsed, fit].filter(Boolean);
  if (byId("present")) byId("present").textContent = present.join(", ");
  const curl = byId("curl");
  if (curl) curl.textContent = `${curl.dataset.command} "${address()}"`;
}

/** @param {boolean} useful whether the answers on the wall were given with other options */
function showAgain(useful) {
  form.querySelector(".go").hidden = !useful;
  const again = ngettext("Ask again", "Ask again about {n} photos", Math.max(1, photos.length));
  form.querySelector(".ask").textContent = again;
}

/** @param {object} others options in place of those of the form
 * @returns {URL} the address of the request, with the options of the form */
function address(others = {}) {
  const url = new URL(form.dataset.api, location.href);
  const chosen = { ...options(), ...others };
  // Rules and prediction sets choose one class.
  const forOne = isMultilabel(chosen.committee) ? ["rule", "coverage"] : [];
  for (const [name, value] of Object.entries(chosen)) {
    if (value && !forOne.includes(name)) url.searchParams.set(name, value);
  }
  return url;
}

/** @returns {boolean} whether a committee answers any number of classes */
function isMultilabel(committee) {
  return Boolean(form.querySelector(`[data-multilabel][data-committee="${CSS.escape(committee ?? "")}"]`));
}

// ---------------------------------------------------------------- classifying

/** @param {Photo[]} some @returns {Request[]} with the present options */
function requestsFor(some) {
  const url = address();
  url.searchParams.set("similar", form.dataset.most);
  return some.map((photo) => ({ photo, card: cardOf(photo), url }));
}

/** Classifies all photos on the wall once more. */
function askAgain(event) {
  event.preventDefault();
  if (!photos.length) return byId("choose").click();
  work?.abort();
  work = null;
  const requests = requestsFor(photos);
  cards.replaceChildren(...requests.map(({ card }) => card));
  byId("news").replaceChildren();
  showAgain(false);
  wall.scrollIntoView();
  answerAll(requests);
}

/** Those that wait are not classified, and nor is the one under way. */
function cancel() {
  work?.abort();
  for (const { card } of waiting.splice(1)) fill(card, CANCELLED, {});
}

/** @param {Request[]} requests all that wait; one loop answers them all */
async function answerAll(requests) {
  waiting = requests;
  if (work) return showProgress();
  const mine = (work = new AbortController());
  answered = 0;
  while (work === mine && waiting.length) {
    const { photo, card, url } = waiting[0];
    showProgress();
    const reply = await answer(url, photo, mine.signal);
    if (work !== mine) return; // all are asked again
    waiting.shift();
    answered += 1;
    fill(card, reply, { url, photo });
  }
  if (work !== mine) return;
  work = null;
  showProgress();
}

function showProgress() {
  const all = answered + waiting.length;
  byId("progress").hidden = !work;
  byId("bar").max = Math.max(all, 1);
  byId("bar").value = answered;
  byId("count").textContent = _("{answered} of {all} answered", { answered, all });
}

/** @param {Photo} photo @returns {HTMLElement} a card that waits for its answer */
function cardOf(photo) {
  const card = copyOf("triptych-template");
  const image = slot(card, "photo");
  image.alt = photo.file.name;
  showPhoto(image, photo);
  slot(card, "source").textContent = photo.file.name;
  return card;
}

/**
 * @param {URL} url @param {Photo} photo @param {AbortSignal} signal
 * @returns {Promise<object>} an answer as the API gives it, or one with an error in its place
 */
async function answer(url, photo, signal) {
  const body = new FormData();
  body.append("image", photo.file);
  try {
    const response = await fetch(url, { method: "POST", headers: LANGUAGE, body, signal });
    const answers = await response.json();
    return answers.results?.[0] ?? answers;
  } catch {
    if (signal.aborted) return CANCELLED;
    return { error: { message: _("The studio did not answer. Is it still running?") } };
  }
}

// ---------------------------------------------------------------- filling a card

/**
 * @param {HTMLElement} card @param {object} answer as the API gives it
 * @param {{url: URL, photo: Photo}} request what it is the answer to
 */
function fill(card, answer, request) {
  if (answer.error) {
    card.dataset.state = "failed";
    write(card, { label: _("Not answered"), how: answer.error.message });
  } else {
    card.dataset.state = "answered";
    fillVerdict(card, answer);
    slot(card, "panels").replaceChildren(...panels(card, answer, request));
    compare(card, answer.verdict);
    offer(card, answer, request);
  }
  const name = slot(card, "source").textContent;
  const said = ["label", "prob", "status"].map((part) => textIn(card, part).trim());
  byId("news").append(textOf("p", `${name}: ${said.join(" ")}`));
}

/** @param {HTMLElement} card @param {object} answer */
function fillVerdict(card, answer) {
  const { verdict, timing, warning } = answer;
  const refused = verdict.status === "none";
  card.dataset.status = verdict.status ?? "";
  const holding = verdict.labels?.map(({ label }) => label);
  const named = holding ? holding.join(", ") || _("None of the classes") : verdict.label;
  slot(card, "label").translate = refused || holding?.length === 0;
  write(card, {
    label: refused ? _("None of these") : named,
    prob: refused || holding ? "" : percent(verdict.prob),
    how: how(answer),
    next: next(verdict),
    warning: warning ?? "",
    timing: _("{total} in all, decoding {decoding}", {
      total: duration(timing.total_ms), decoding: duration(timing.decode_ms),
    }),
  });
  const kind = verdict.status_reason ? "unpromised" : verdict.status;
  const status = kind ? copyOf(`${kind}-template`) : null;
  if (verdict.status_reason) write(status, { promise: verdict.status_reason.message });
  slot(card, "status").replaceChildren(...(status?.childNodes ?? []));
  const set = verdict.labels?.length ? [allHolding(verdict.labels)] : predictionSet(verdict.set);
  slot(card, "set").replaceChildren(...set);
  const button = slot(card, "copy");
  button.hidden = !navigator.clipboard;
  button.textContent = _("Copy as JSON");
  button.onclick = () => copy(button, answer);
}

/** @returns {string} which rule or member made the verdict */
function how({ members, skipped, verdict }) {
  const best = members.find((member) => member.name === verdict.surest);
  const ran = members.length;
  const { rule } = verdict;
  const all = ran + skipped.length;
  if (verdict.labels && ran > 1) return _("{rule} of {all} networks", { rule, all });
  if (ran === 1) {
    if (!skipped.length) return _("{network} alone", { network: best.name });
    return _("{rule} of {all} networks; one was enough", { rule, all });
  }
  const values = { rule, all, ran, best: best.name, prob: percent(best.top[0].prob) };
  return skipped.length
    ? _("{rule} of {all} networks; {ran} were enough; surest was {best} with {prob}", values)
    : _("{rule} of {all} networks; surest was {best} with {prob}", values);
}

/** @returns {string} the next most probable classes, or all where none is the answer */
function next({ status, top, labels }) {
  const names = labels?.map(({ label }) => label);
  const others = names ? top.filter(({ label }) => !names.includes(label)) : top.slice(1);
  const shown = status === "none" ? top : others;
  const guesses = shown.map(({ label, prob }) => `${label} ${percent(prob)}`).join("; ");
  if (!guesses) return "";
  if (names && status !== "none") return _("below their thresholds: {guesses}", { guesses });
  return status === "none" ? _("at best {guesses}", { guesses }) : _("then {guesses}", { guesses });
}

/** @param {object[]} labels @returns {HTMLElement} all classes that hold, with their thresholds */
function allHolding(labels) {
  const list = Object.assign(document.createElement("ol"), { className: "guesses holding" });
  for (const { label, prob, threshold } of labels) {
    const line = copyOf("holding-template");
    write(line, { name: label, prob: percent(prob), threshold: percent(threshold) });
    slot(line, "bar").setAttribute("width", `${(prob * 100).toFixed(1)}%`);
    list.append(line);
  }
  return list;
}

/** @param {object | null} set @returns {Iterable<Node>} its classes and what it promises */
function predictionSet(set) {
  // A set of one class adds nothing to the label.
  if (!set || set.labels.length === 1) return [];
  const labels = set.labels.map(({ label }) => label);
  const most = Number(byId("set-template").dataset.most);
  const parts = copyOf("set-template");
  write(parts, { named: labels.slice(0, most).join(", "), odds: odds(set.coverage) });
  if (labels.length > most) {
    const rest = copyOf("rest-template");
    write(rest, { more: labels.length - most, others: labels.slice(most).join(", ") });
    slot(parts, "rest").append(rest);
  }
  return parts.childNodes;
}

/** @returns {HTMLElement[]} a panel for each member, run or not, in the committee's order */
function panels(card, answer, request) {
  const committee = request.url.searchParams.get("committee");
  const inputs = [...form.querySelectorAll(`.member-options[data-committee="${committee}"] input`)];
  const order = inputs.map((input) => input.value);
  const named = [
    ...answer.members.map((each) => [each.name, panel(each, answer)]),
    ...answer.skipped.map((name) => [name, skippedPanel(name, card, answer, request)]),
  ];
  return named.sort(([a], [b]) => order.indexOf(a) - order.indexOf(b)).map(([, each]) => each);
}

/** @param {object} member @param {object} answer @returns {HTMLElement} the member's panel */
function panel(member, { members, verdict, timing }) {
  const element = copyOf("panel-template");
  const agrees = verdict.status !== "none" && member.top[0].index === verdict.index;
  const isSurest = members.length > 1 && member.name === verdict.surest;
  element.toggleAttribute("data-agrees", agrees && !verdict.labels);
  element.toggleAttribute("data-surest", isSurest && !verdict.labels);
  write(element, { member: member.name, spent: duration(timing.members_ms[member.name]) });
  slot(element, "guesses").replaceChildren(...member.top.map(guess));
  return element;
}

/** @returns {HTMLElement} the panel of a member that was not needed, with a button to run it */
function skippedPanel(name, card, { source, reason }, request) {
  const element = copyOf("skipped-template");
  write(element, { member: name, reason });
  const button = slot(element, "ask");
  button.hidden = false;
  button.setAttribute("aria-label", _("Ask {name} about {source}", { name, source }));
  button.addEventListener("click", () => askAll(element, card, request));
  return element;
}

/** Runs every network on the photo of a card, which keeps its content until they have answered. */
async function askAll(skipped, card, { url, photo }) {
  const all = new URL(url);
  all.searchParams.set("rule", "weighted");
  const place = [...skipped.parentElement.children].indexOf(skipped);
  markBusy(card, true);
  const answered = await answer(all, photo, new AbortController().signal);
  markBusy(card, false);
  if (!card.isConnected) return;
  if (answered.error) return complain(skipped, answered.error.message);
  const stayed = [document.body, slot(skipped, "ask")].includes(document.activeElement);
  fill(card, answered, { url: all, photo });
  const panel = slot(card, "panels").children[place];
  panel.tabIndex = -1;
  if (stayed) panel.focus();
}

/** @param {HTMLElement} card @param {boolean} busy whether its networks that were not needed are running */
function markBusy(card, busy) {
  card.toggleAttribute("data-asking", busy);
  for (const button of card.querySelectorAll('[data-slot="ask"]')) button.disabled = busy;
  for (const line of card.querySelectorAll('[data-slot="skipped"]')) {
    line.textContent = busy ? _("asking") : _("not needed");
  }
}

/** @param {HTMLElement} skipped a panel @param {string} message why it did not answer */
function complain(skipped, message) {
  write(skipped, { reason: message });
  byId("news").append(textOf("p", `${textIn(skipped, "member")}: ${message}`));
}

/** @param {{label: string, prob: number}} each @returns {HTMLElement} one line with its bar */
function guess({ label, prob }) {
  const line = copyOf("guess-template");
  write(line, { name: label, prob: percent(prob) });
  slot(line, "bar").setAttribute("width", `${(prob * 100).toFixed(1)}%`);
  return line;
}

/** @param {HTMLButtonElement} button @param {object} answer */
async function copy(button, answer) {
  await navigator.clipboard.writeText(JSON.stringify(answer, null, 2));
  button.textContent = _("Copied");
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

/** @param {number} share in (0, 1) @returns {string} how often that is */
function odds(share) {
  const [times, all] = [Math.round(share * 1000), 1000];
  const most = divisor(times, all);
  return _("{times} times in {all}", { times: times / most, all: all / most });
}

/** @returns {number} the greatest number that divides both */
function divisor(a, b) {
  return b ? divisor(b, a % b) : a;
}
