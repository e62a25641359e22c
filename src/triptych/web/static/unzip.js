// Reads zips in the browser, one file at a time, so that photos in them are uploaded like others.
//
// Source: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", 4.3 and 4.4.

import { _ } from "./i18n.js";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const END_BYTES = 22;
const LONGEST_NOTE = 65535;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const STORED = 0;
const DEFLATED = 8;
const LOCKED = 1;
const TOO_LARGE = 0xffffffff;

/** @typedef {{path: string, size: number, open: () => Promise<Blob>}} Entry a file in a zip */

/**
 * @param {File} zip
 * @returns {Promise<Entry[]>} its files; what is in them is read when they are opened
 * @throws {Error} with a message for people
 */
export async function entriesOf(zip) {
  const tail = await viewOf(zip.slice(Math.max(0, zip.size - END_BYTES - LONGEST_NOTE)));
  const end = endIn(tail);
  if (end < 0) throw new Error(_("{name} is no zip, or ends too early.", { name: zip.name }));
  const [size, start] = [tail.getUint32(end + 12, true), tail.getUint32(end + 16, true)];
  if (start === TOO_LARGE || start + size > zip.size) {
    throw new Error(_("{name} is damaged, or too large to be read here. Unpack it first.", { name: zip.name }));
  }
  return [...listed(zip, await viewOf(zip.slice(start, start + size)))];
}

function endIn(view) {
  for (let at = view.byteLength - END_BYTES; at >= 0; at--) {
    if (view.getUint32(at, true) === END) return at;
  }
  return -1;
}

function* listed(zip, view) {
  const text = new TextDecoder();
  let at = 0;
  while (at + ENTRY_BYTES <= view.byteLength && view.getUint32(at, true) === ENTRY) {
    const entry = entryAt(view, at);
    const path = text.decode(new Uint8Array(view.buffer, at + ENTRY_BYTES, entry.nameBytes));
    at += ENTRY_BYTES + entry.nameBytes + entry.moreBytes;
    if (!path.endsWith("/")) {
      yield { path, size: entry.size, open: () => unpacked(zip, path, entry) };
    }
  }
}

function entryAt(view, at) {
  return {
    locked: Boolean(view.getUint16(at + 8, true) & LOCKED),
    method: view.getUint16(at + 10, true),
    packed: view.getUint32(at + 20, true),
    size: view.getUint32(at + 24, true),
    nameBytes: view.getUint16(at + 28, true),
    moreBytes: view.getUint16(at + 30, true) + view.getUint16(at + 32, true),
    start: view.getUint32(at + 42, true),
  };
}

async function unpacked(zip, path, { locked, method, packed, start }) {
  if (locked) throw new Error(_("{path} is locked with a password.", { path }));
  const head = await viewOf(zip.slice(start, start + LOCAL_BYTES));
  if (head.byteLength < LOCAL_BYTES) throw new Error(_("{path} is cut off in its zip.", { path }));
  // Both lengths stand here again, since the second can be another.
  const first = start + LOCAL_BYTES + head.getUint16(26, true) + head.getUint16(28, true);
  const data = zip.slice(first, first + packed);
  if (method === STORED) return data;
  if (method !== DEFLATED) throw new Error(_("{path} is packed in a way that is not read here.", { path }));
  const stream = data.stream().pipeThrough(new DecompressionStream("deflate-raw"));
  try {
    return await new Response(stream).blob();
  } catch {
    throw new Error(_("{path} is damaged in its zip.", { path }));
  }
}

async function viewOf(blob) {
  return new DataView(await blob.arrayBuffer());
}
