// The list of projects: folders and zips become projects, file by file.

import { classesOf, itemsOf } from "./bringing.js";
import { _ } from "./i18n.js";
import { byId, say, send, textOf } from "./projects.js";
import { Uploads } from "./uploads.js";

const form = byId("import");

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
    fill(await make(title), items);
  } catch (error) {
    form.inert = false;
    say(error.message, { wrong: true });
  }
  input.value = "";
}

async function make(title) {
  const body = new FormData();
  body.append("title", title.slice(0, 80));
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
  const link = Object.assign(textOf("a", _("Open the project")), { href: address });
  say(_("All photos in it were added."));
  byId("notice").append(link);
}
