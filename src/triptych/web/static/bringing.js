// Files that people select, drop or paste, folders and zips included, as one list of photos.

import { _ } from "./i18n.js";
import { send } from "./projects.js";
import { entriesOf } from "./unzip.js";

// Files that operating systems put beside photos.
const JUNK = /^(\..*|__MACOSX|Thumbs\.db|desktop\.ini)$/i;
const ZIP = /\.zip$/i;
// Folders of photos to train on and to evaluate on.
const SIDE = /^(train|training|val|valid|validation|test)$/i;
// Files that may say what photos show, of which the studio reads these kinds.
const DOCUMENT = /\.(csv|tsv|json)$/i;
const TABLE = /\.(csv|tsv)$/i;
const METADATA = /^metadata\.(csv|jsonl|parquet)$/i;
const MOST_DOCUMENTS = 20;
const LONGEST_LINE = 80;
const LARGE = 64 * 1024 * 1024;
// How spreadsheets begin text in UTF-16.
const UTF16 = { "255,254": "utf-16le", "254,255": "utf-16be" };

/**
 * @typedef {object} Item
 * @property {string} name of the file
 * @property {string} folder the name of the folder of its class; empty where there was none
 * @property {number} size in bytes
 * @property {() => Promise<Blob>} open gives its bytes
 */

/** @param {Iterable<File>} files of an input or a paste @returns {Promise<Item[]>} */
export function itemsOf(files) {
  return collect([...files].map((file) => [file.webkitRelativePath || file.name, file]));
}

/** @param {DataTransfer} transfer of a drop @returns {Promise<Item[]>} */
export async function dropped(transfer) {
  // All before the first wait: after it the transfer is empty.
  const files = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return itemsOf(files);
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return collect(found);
}

async function walk(entry, found) {
  if (entry.isFile) {
    found.push([entry.fullPath, await new Promise((...done) => entry.file(...done))]);
    return;
  }
  const reader = entry.createReader();
  // It gives a hundred at a time, and nothing at the end.
  for (;;) {
    const some = await new Promise((...done) => reader.readEntries(...done));
    if (!some.length) return;
    for (const inner of some) await walk(inner, found);
  }
}

/** @param {[string, File][]} found paths and files */
async function collect(found) {
  const [items, loose] = [[], []];
  for (const [path, file] of found) {
    if (ZIP.test(file.name)) items.push(...(await unzipped(file)));
    else loose.push(item(path, file.size, async () => file));
  }
  return [...items, ...placed(loose)];
}

/**
 * The file among others that says what the photos show, so that their folders do not.
 *
 * @param {Item[]} items
 * @returns {Promise<Item | undefined>} of COCO, Label Studio, imagefolder, or a list of paths
 */
export async function documentIn(items) {
  const documents = items.filter(({ name }) => DOCUMENT.test(name) || METADATA.test(name));
  if (documents.length > MOST_DOCUMENTS) return undefined; // one beside each photo
  for (const document of documents) if (await describes(document)) return document;
  return undefined;
}

async function describes(document) {
  if (METADATA.test(document.name) || document.size > LARGE) return true;
  const text = await textOf(document);
  if (!TABLE.test(document.name)) return /"(annotations|annotation_id)"\s*:/.test(text);
  const columns = lineOf(text).toLowerCase().split(/[,;\t]/).map((each) => each.replace(/["\s]/g, ""));
  return columns.includes("path") && columns.includes("label");
}

/**
 * Refuses photos without folders of classes beside a table that does not say what they show: it
 * was meant to, most likely. The studio does the same for zips that it reads itself.
 *
 * @param {Item[]} items without a document that is read
 * @throws {Error} with a message for people
 */
export async function refuseUnread(items) {
  const tables = items.filter(({ name }) => TABLE.test(name));
  const folders = new Set(items.filter((each) => !DOCUMENT.test(each.name)).map(({ folder }) => folder));
  if (!tables.length || tables.length > MOST_DOCUMENTS || folders.size > 1) return;
  const [table, [folder]] = [tables[0], folders];
  const values = { name: table.name, line: lineOf(await textOf(table)).trim().slice(0, LONGEST_LINE) };
  const what = _("{name} begins with “{line}”, and so does not say what the photos show. Expected a first line such as path,label or path,label,split, and a photo in each line below.", values);
  const mend = folder
    ? _("Mend it, or leave it out if all of the photos are of one class, {folder}.", { folder })
    : _("Mend it, or leave it out to bring the photos without classes.");
  throw new Error(`${what} ${mend}`);
}

/** @param {Item} document */
async function textOf({ open }) {
  const bytes = new Uint8Array(await (await open()).arrayBuffer());
  return new TextDecoder(UTF16[`${bytes.subarray(0, 2)}`]).decode(bytes);
}

function lineOf(text) {
  return text.split(/\r?\n/, 1)[0];
}

async function unzipped(zip) {
  const own = zip.name.replace(ZIP, "");
  return placed((await entriesOf(zip)).map(({ path, size, open }) => item(`${own}/${path}`, size, open)));
}

/** @returns {Item | null} nothing for what systems put beside photos */
function item(path, size, open) {
  const parts = path.split(/[/\\]/).filter(Boolean);
  if (parts.some((part) => JUNK.test(part))) return null;
  return { name: parts.at(-1), folders: parts.slice(0, -1), size, open };
}

/**
 * Says which of the folders around each photo is that of its class, as the studio does for zips:
 * the outermost but for those around everything and for train/ and val/. So what is in cats/2025/
 * and dogs/2025/ are cats and dogs.
 *
 * @param {(object | null)[]} found from `item`
 * @returns {Item[]}
 */
function placed(found) {
  const items = found.filter(Boolean);
  if (!items.length) return [];
  const inAll = (depth) => items.every(({ folders }) => folders[depth] && folders[depth] === items[0].folders[depth]);
  let depth = 0;
  while (inAll(depth) && !SIDE.test(items[0].folders[depth]) && items.some(({ folders }) => folders.length > depth + 1)) depth++;
  if (items.every(({ folders }) => SIDE.test(folders[depth]) && folders.length > depth + 1)) depth++;
  return items.map(({ folders, ...rest }) => ({ ...rest, folder: folders[depth] ?? folders.at(-1) ?? "" }));
}

/**
 * Makes classes of the folders that photos were in.
 *
 * @param {string} address where classes are added
 * @param {Item[]} items
 * @param {Iterable<[string, string]>} known names and numbers of the classes that are there
 * @returns {Promise<(item: Item) => string>} gives the class of an item; none where it could not
 *   be added
 */
export async function classesOf(address, items, known = []) {
  const homes = new Map([["", ""], ...[...known].map(([name, home]) => [folded(name), home])]);
  for (const { folder } of items) {
    if (!homes.has(folded(folder))) homes.set(folded(folder), await addClass(address, folder));
  }
  return ({ folder }) => homes.get(folded(folder));
}

/** The form in which names are compared. */
function folded(name) {
  return name.normalize("NFC").toLowerCase();
}

async function addClass(address, name) {
  const body = new FormData();
  body.append("name", name);
  body.append("of_folder", "true"); // any name will do
  try {
    return String((await send(address, { method: "POST", body })).id);
  } catch {
    return ""; // `send` has shown why
  }
}
