// The photos of a project: adding them by drop, paste, folder, zip or webcam, selecting and deciding.
// The server renders the page; after each change the parts that changed are fetched again.

import { classesOf, documentIn, dropped, itemsOf, refuseUnread } from "./bringing.js";
import { Camera } from "./camera.js";
import { _, ngettext } from "./i18n.js";
import { byId, pause, photoCount, say, send, slot } from "./projects.js";
import { Uploads } from "./uploads.js";

const PARTS = ["findings", "classes", "wall", "filters", "homes", "standing"];
// How often the page follows an upload.
const FOLLOW_MS = 2000;

const { address, classes, most } = byId("classes").dataset;
const uploads = new Uploads({ address, most: Number(most), arrived });
const camera = new Camera((file) => bring([file], cameraHome));
let cameraHome = "";
let lastHome = "";
let following = false;
// Answers may overtake each other where the way to the studio is slow.
let requests = 0;
let shown = 0;

document.addEventListener("change", changed);
document.addEventListener("click", clicked);
document.addEventListener("submit", submitted);
document.addEventListener("keydown", moved);
document.addEventListener("focusin", focused);
document.addEventListener("paste", pasted);
document.addEventListener("dragover", hovered);
document.addEventListener("dragleave", hovered);
document.addEventListener("drop", landed);
byId("unchoose").addEventListener("click", () => choose(selected(), false));
showChosen();
roveAll();
for (const input of document.querySelectorAll("#classes input[type=file]")) {
  if (input.files.length) take(input); // chosen while this file was on its way
}

// ---------------------------------------------------------------- bringing photos

/** @returns {string | undefined} the class that an element is in */
function homeOf(element) {
  return element.closest?.("[data-class]")?.dataset.class;
}

function focused({ target }) {
  lastHome = homeOf(target) ?? lastHome;
  if (target.name === "digest") rove(target.closest(".photos"), target);
}

async function changed(event) {
  const input = event.target;
  if (input.type === "checkbox") return showChosen();
  if (input.type === "file") await take(input);
}

/** Takes the files of an input, and empties it, so that the same can be chosen again. */
async function take(input) {
  const files = [...input.files];
  input.value = "";
  await bring(files, homeOf(input));
}

/** Photos are not lost where an input is replaced while the system's window is open for it.
 * @param {Element} part what is replaced */
function takeLate(part) {
  for (const input of part.querySelectorAll("input[type=file]")) {
    const home = homeOf(input);
    input.addEventListener("change", () => bring([...input.files], home), { once: true });
  }
}

/** @param {Iterable<File>} files @param {string} home the class they belong to */
async function bring(files, home) {
  await load(itemsOf(files), () => () => home);
}

/** @param {Promise<object[]>} coming items
 * @param {(items: object[]) => any} homeFor gives what tells the class of an item */
async function load(coming, homeFor) {
  try {
    const items = await coming;
    if (!items.length) return say(_("There are no photos in it."), { wrong: true });
    const { name } = (await documentIn(items)) ?? {};
    if (name) throw new Error(_("{name} says what the photos show, and is read on the page of all projects only: import it there as a project of its own.", { name }));
    const homeOfItem = await homeFor(items);
    uploads.add(items.map((item) => ({ item, home: homeOfItem(item) })));
  } catch (error) {
    say(error.message, { wrong: true });
  }
}

function pasted(event) {
  const { files } = event.clipboardData;
  if (!files.length) return;
  const home = homeOf(event.target) ?? lastHome;
  if (!home) return say(_("Choose a class first: click into it, then paste."), { wrong: true });
  bring(files, home);
}

function hovered(event) {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  const over = event.type === "dragover" ? event.target.closest?.("[data-class]") : null;
  for (const section of document.querySelectorAll(".class.hover")) {
    if (section !== over) section.classList.remove("hover");
  }
  over?.classList.add("hover");
}

/** On a class photos become its own; beside them folders become classes. */
function landed(event) {
  if (!event.dataTransfer.types.includes("Files")) return;
  hovered(event);
  const home = homeOf(event.target);
  const known = new Map(
    [...document.querySelectorAll("[data-class]")].map(({ dataset }) => [dataset.name, dataset.class]),
  );
  const ofFolders = (items) => refuseUnread(items).then(() => classesOf(classes, items, known));
  load(dropped(event.dataTransfer), home ? () => () => home : ofFolders);
}

/** Shows what has arrived, now and then and at the end. */
async function arrived(done) {
  if (done) return refresh();
  if (following) return;
  following = true;
  await pause(FOLLOW_MS);
  following = false;
  await refresh();
}

// ---------------------------------------------------------------- choosing and deciding

/** @returns {HTMLInputElement[]} the boxes that are checked */
function selected() {
  return [...document.querySelectorAll('input[name="digest"]:checked')];
}

/** @param {Iterable<HTMLInputElement>} boxes @param {boolean} how */
function choose(boxes, how) {
  for (const box of boxes) box.checked = how;
  showChosen();
}

/** @returns {number} how many photos are chosen; one may be shown twice */
function chosenCount() {
  return new Set(selected().map((box) => box.value)).size;
}

function showChosen() {
  const count = chosenCount();
  byId("chosen").textContent = ngettext("{n} photo chosen", "{n} photos chosen", count);
  byId("decide").hidden = !count;
}

function clicked(event) {
  const { target } = event;
  const button = target.closest?.("[data-camera], [data-chooses], .more");
  if (target.name === "digest") return extend(event);
  if (!button) return;
  const { camera: home, chooses, show } = button.dataset;
  if (home) open(home);
  else if (chooses) choose(boxesIn(byId(chooses)), true);
  else showMore(event, show);
}

function open(home) {
  cameraHome = home;
  camera.open(byId(`class-${home}`).dataset.name);
}

function boxesIn(element) {
  return element.querySelectorAll('input[name="digest"]');
}

let anchor = null;

/** With the shift key all photos from the last one on are selected. */
function extend(event) {
  const box = event.target;
  const boxes = [...boxesIn(box.closest(".photos"))];
  const [from, to] = [boxes.indexOf(anchor), boxes.indexOf(box)].sort((a, b) => a - b);
  if (event.shiftKey && from >= 0) choose(boxes.slice(from, to + 1), box.checked);
  anchor = box;
}

/** Arrow keys go from photo to photo, Enter opens one, Ctrl and A choose all that are shown. */
function moved(event) {
  const box = event.target;
  if (box.name !== "digest") return;
  const boxes = [...boxesIn(box.closest(".photos"))];
  if (event.key === "Enter") box.closest("li").querySelector(".full-size").click();
  else if (box.closest("#wall") && pressed(event, box)) event.preventDefault();
  else if (event.key === "a" && (event.ctrlKey || event.metaKey)) choose(boxes, true);
  else if (!step(boxes, box, event.key)) return;
  event.preventDefault();
}

/** @returns {boolean} whether there was a photo to go to */
function step(boxes, box, key) {
  const row = columns(boxes);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row };
  const next = boxes[boxes.indexOf(box) + steps[key]];
  next?.focus();
  return Boolean(next);
}

/** Of all photos of a list the Tab key stops at one only, and at the classes of that one. */
function rove(list, box = list.querySelector(":focus") ?? list.querySelector("input")) {
  for (const each of list.querySelectorAll("input, .full-size, .tick")) {
    const ofBox = each.matches(".tick") && each.closest("li") === box?.closest("li");
    each.tabIndex = each === box || ofBox ? 0 : -1;
  }
}

function roveAll() {
  for (const list of document.querySelectorAll(".photos")) rove(list);
}

/** @returns {number} how many photos lie in a row */
function columns(boxes) {
  const top = (box) => box.closest("li").offsetTop;
  const second = boxes.findIndex((box) => top(box) !== top(boxes[0]));
  return second < 0 ? boxes.length : second;
}

async function submitted(event) {
  const form = event.target;
  if (!form.matches("[data-refresh]")) return;
  event.preventDefault();
  const button = event.submitter;
  if (button?.matches(".tick")) return tick(button.value.split(" ")[1], [button.value.split(" ")[0]]);
  if (button?.id === "erase" && !(await isSure())) return;
  await carryOut(form, button);
}

/** Sends a form, and shows what became of it. */
async function carryOut(form, button) {
  const action = button?.hasAttribute("formaction") ? button.formAction : form.action;
  const body = new FormData(form, button);
  try {
    const answer = await send(action, { method: "POST", body });
    if (form.id === "add-class") byId("new-class").value = "";
    if (form.matches("[data-reload]")) return location.reload();
    if (form.id === "decide") choose(selected(), false);
    await refresh();
    if (form.id === "decide") byId("undo")?.focus();
    say(summary(button, answer));
  } catch {
    // `send` has shown why; others may have decided since, and then another decision is the last.
    if (button?.id === "undo") await refresh();
  }
}

/** @returns {string} what was done, where the page does not show it by itself */
function summary(button, { undoable, erased }) {
  if (button?.id === "undo") return _("Undone.");
  if (erased) return ngettext("{n} photo deleted.", "{n} photos deleted.", erased);
  return button?.name === "do" ? undoable ?? "" : "";
}

function isSure() {
  const dialog = byId("sure");
  slot(dialog, "count").textContent = photoCount(chosenCount());
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// ---------------------------------------------------------------- the classes of a photo

/** The keys of the wall: a class is added where a photo lacks it, else removed.
 * @returns {boolean} whether it was such a key */
function pressed({ key, ctrlKey, metaKey, altKey }, box) {
  if (ctrlKey || metaKey || altKey) return false;
  if (key === "u") {
    undoInTurn();
    return true;
  }
  const boxes = selected().length ? selected() : [box];
  const place = key === "0" ? '[data-tick="0"]' : `:not([data-tick="0"]):nth-child(${Number(key)})`;
  if (!/^\d$/.test(key) || !box.closest("li").querySelector(`.tick${place}`)) return false;
  const ticks = boxes.map((each) => each.closest("li").querySelector(`.tick${place}`)).filter(Boolean);
  const verbs = ticks.map(({ value }) => value.split(" ")[1]);
  // Those that lack it get it; only where all have it, it is taken from all.
  const verb = verbs.find((each) => /^(add|no-class)/.test(each)) ?? verbs[0];
  tick(verb, boxes.map(({ value }) => value));
  return true;
}

let ticking = Promise.resolve();
let ticks = 0;
/** What the studio has said of photos since all ticks were there. @type {Map<string, number[] | null>} */
const answered = new Map();

/** One class more or less; the other classes of the photos stay, whoever gave them. The photos stay
 * in sight, too, so that they can get other classes. */
function tick(what, digests) {
  const body = new FormData();
  body.append("do", what);
  for (const digest of new Set(digests)) {
    body.append("digest", digest);
    showLabels(digest, labelsAfter(what, digest)); // at once, so that the next key knows
  }
  // One after the other: a class that is added and then removed must not stay.
  ticks++;
  ticking = ticking.then(() => sendTick(body));
  return ticking;
}

async function sendTick(body) {
  try {
    const { labels, undoable } = await send(byId("decide").action, { method: "POST", body });
    for (const [digest, classes] of Object.entries(labels)) answered.set(digest, classes);
    if (--ticks) return; // what is pressed meanwhile goes by what is shown
    for (const [digest, classes] of answered) showLabels(digest, classes);
    answered.clear();
    await refresh(PARTS.filter((part) => part !== "wall"));
    if (!ticks) say(undoable ?? "");
  } catch {
    ticks--;
    await refresh(); // `send` has shown why
  }
}

/** Undoes what was decided before, also where its answer is still on its way. */
function undoInTurn() {
  ticking = ticking.then(async () => {
    const button = byId("undo");
    if (button) await carryOut(button.form, button);
  });
}

/** @returns {number[] | null} the classes of a photo after a decision that is on its way */
function labelsAfter(what, digest) {
  const [verb, id] = what.split(":");
  const ticked = document.querySelectorAll(`#wall [data-photo="${digest}"] .tick[aria-checked="true"]`);
  const classes = new Set([...ticked].map((button) => Number(button.dataset.tick)).filter(Boolean));
  if (verb === "no-class") return [];
  if (verb === "move") return null;
  if (verb === "add") classes.add(Number(id));
  else classes.delete(Number(id));
  return classes.size ? [...classes] : null;
}

/** @param {number[] | null} classes nothing where the photo is to be reviewed */
function showLabels(digest, classes) {
  for (const button of document.querySelectorAll(`[data-photo="${digest}"] .tick`)) {
    const id = Number(button.dataset.tick);
    const ticked = id ? Boolean(classes?.includes(id)) : classes?.length === 0;
    const verb = id ? `${ticked ? "remove" : "add"}:${id}` : ticked ? "move:0" : "no-class";
    button.setAttribute("aria-checked", String(ticked));
    button.value = `${digest} ${verb}`;
  }
}

// ---------------------------------------------------------------- refreshing the page

function showMore(event, show) {
  event.preventDefault();
  const url = new URL(location.href);
  const others = url.searchParams.getAll("show").filter((each) => !each.startsWith(`${show.split(":")[0]}:`));
  url.searchParams.delete("show");
  for (const each of [...others, show]) url.searchParams.append("show", each);
  history.replaceState(null, "", url);
  refresh();
}

/** Fetches the parts that change; what is selected, open or typed stays so. */
async function refresh(parts = PARTS) {
  const options = { headers: { Accept: "text/html" } };
  const number = ++requests;
  const text = await send(location.href, options).catch(() => null); // it has shown why
  if (text === null || number < shown) return;
  shown = number;
  const page = new DOMParser().parseFromString(text, "text/html");
  const kept = keep();
  for (const id of parts) {
    const fresh = page.getElementById(id);
    if (!fresh) continue; // not on this page, or replaced with what is around it
    document.adoptNode(fresh);
    reuse(byId(id), fresh);
    takeLate(byId(id));
    byId(id).replaceWith(fresh);
  }
  restore(kept);
  roveAll();
  showChosen();
}

/** Photos that stay keep their elements, and so their selection, and do not flicker. */
function reuse(old, fresh) {
  const place = (photo) => `${photo.closest("[id]").id} ${photo.dataset.photo}`;
  const olds = new Map([...old.querySelectorAll(".photo")].map((photo) => [place(photo), photo]));
  for (const photo of fresh.querySelectorAll(".photo")) {
    const same = olds.get(place(photo));
    if (same?.textContent !== photo.textContent) continue;
    photo.replaceWith(same);
    const ticks = photo.querySelectorAll(".tick");
    for (const [index, old] of same.querySelectorAll(".tick").entries()) {
      old.value = ticks[index].value;
      old.setAttribute("aria-checked", ticks[index].getAttribute("aria-checked"));
    }
  }
}

function keep() {
  const element = document.activeElement;
  const opened = [...document.querySelectorAll("details[id][open]")].map(({ id }) => id);
  return { element, id: element.id, value: element.value, opened };
}

function restore({ element, id, value, opened }) {
  for (const each of opened) byId(each)?.setAttribute("open", "");
  const same = element.isConnected ? element : id && byId(id);
  if (!same || same === document.activeElement) return;
  if (same.matches?.(".entry")) same.value = value;
  same.focus({ preventScroll: true });
}
