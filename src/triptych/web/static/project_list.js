// The list of projects: folders and zips become projects, file by file.

import { classesOf, documentIn, itemsOf, refuseUnread } from "./bringing.js";
import { _ } from "./i18n.js";
import { byId, say, send, textOf } from "./projects.js";
import { Uploads } from "./uploads.js";

const form = byId("import");
// Files that are named of each finding.
const MOST_LISTED = 5;

for (const id of ["import-folder", "import-zip"]) {
  byId(id).addEventListener("change", (event) => bring(event.target));
  bring(byId(id)); // chosen while this file was on its way
}

async function bring(input) {
  const [file] = input.files;
  if (!file) return;
  const title = (file.webkitRelativePath || file.name).split("/")[0].replace(/\.zip$/i, "");
  try {
    const items = await itemsOf(input.files);
    if (!items.length) throw new Error(_("There are no photos in it."));
    form.inert = true; // one at a time
    const document = await documentIn(items);
    if (document) await importWhole(file, title, document.name);
    else {
      await refuseUnread(items);
      fill(await make(title), items);
    }
  } catch (error) {
    form.inert = false;
    say(error.message, { wrong: true });
  }
  input.value = "";
}

/** Lets the studio read a zip with a document that says what its photos show. */
async function importWhole(file, title, name) {
  if (file.webkitRelativePath) {
    throw new Error(_("{name} says what the photos show, and is read in a zip only: pack the folder as a zip, and choose that.", { name }));
  }
  say(_("Reading the photos as {name} says …", { name }));
  const body = new FormData();
  body.append("title", title.slice(0, 80));
  body.append("zip", file);
  if (form.elements.kind.checked) body.append("kind", form.elements.kind.value);
  const { address, findings } = await send(form.action, { method: "POST", body });
  if (!findings.length) return location.assign(address);
  const list = document.createElement("ul");
  for (const { message, sources } of findings) list.append(lineOf(message, sources));
  say(_("The project was made. What was found on the way:"));
  byId("notice").append(list, linkTo(address));
}

function lineOf(message, sources) {
  const line = textOf("li", message);
  const names = sources.slice(0, MOST_LISTED).join(", ") + (sources.length > MOST_LISTED ? ", …" : "");
  if (names) line.append(" ", Object.assign(textOf("bdi", names), { translate: false }));
  return line;
}

async function make(title) {
  const body = new FormData();
  body.append("title", title.slice(0, 80));
  if (form.elements.kind.checked) body.append("kind", form.elements.kind.value);
  return (await send(form.dataset.make, { method: "POST", body })).address;
}

/** Brings the photos, and opens the project when all have arrived. */
async function fill(address, items) {
  const homeOf = await classesOf(`${address}/classes`, items);
  const uploads = new Uploads({
    address: `${address}/photos`,
    most: Number(form.dataset.most),
    arrived: (done) => done && !uploads.left && open(address, uploads.refused),
  });
  uploads.add(items.map((item) => ({ item, home: homeOf(item) })));
}

/** Stays where something was refused, so that it can be read. */
function open(address, refused) {
  if (!refused) return location.assign(address);
  say(_("All photos in it were added."));
  byId("notice").append(linkTo(address));
}

function linkTo(address) {
  return Object.assign(textOf("a", _("Open the project")), { href: address });
}
