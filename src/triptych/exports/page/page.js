// A photo's pixels are read here, its verdict is computed by the worker. All names are set as text.
"use strict";

const MOST_NAMED = 6;
const TOP = 5;
// Canvases of phones have no more pixels.
const MOST_PIXELS = 16_000_000;
const about = JSON.parse(text("metadata"));
const labels = about.labels.map((label) => label.name);
let latest = 0;

function $(id) {
  return document.getElementById(id);
}

function text(id) {
  return $(id).textContent;
}

/** @returns {Promise<ArrayBuffer>} what is in the page as gzip in base64 */
async function unpacked(id) {
  const letters = atob(text(id));
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < bytes.length; at++) {
    bytes[at] = letters.charCodeAt(at);
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function percent(prob) {
  return `${(prob * 100).toFixed(1)}\u00a0%`;
}

// ------------------------------------------------------------------ the worker

const replies = new Map();
const worker = new Worker(
  URL.createObjectURL(new Blob([text("worker")], { type: "text/javascript" })),
);

worker.onmessage = ({ data }) => {
  replies.get(data.number)?.(data);
  replies.delete(data.number);
};

function ask(message, transfer) {
  const number = ++latest;
  worker.postMessage({ ...message, number }, transfer);
  return new Promise((resolve, reject) => {
    replies.set(number, (reply) => (reply.error ? reject(new Error(reply.error)) : resolve(reply)));
    worker.onerror = (event) => reject(new Error(event.message || "the script does not start"));
  });
}

async function load() {
  const runtime = new TextDecoder().decode(await unpacked("runtime"));
  const [wasm, model] = [await unpacked("wasm"), await unpacked("model")];
  await ask({ runtime, wasm, model }, [wasm, model]);
}

const ready = load();
ready.then(
  () => {
    $("state").textContent = "Ready.";
    document.documentElement.dataset.ready = "true";
  },
  (error) => {
    $("state").textContent = `This browser cannot run the networks: ${error.message}. Try a newer one.`;
    $("state").className = "alarm";
  },
);

// ------------------------------------------------------------------ a photo

/** The pixels of a photo, turned upright, on white where it is transparent. */
async function decode(file) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none" };
  let bitmap = await createImageBitmap(file, options);
  // As the studio does, a JPEG is read at a reduced scale if it is much larger than needed.
  let factor = 1;
  const shorter = Math.floor(Math.min(bitmap.width, bitmap.height) / about.enough_px);
  if (file.type === "image/jpeg") {
    factor = [8, 4, 2, 1].find((scale) => scale <= Math.max(1, shorter));
  }
  let shrink = 1;
  while (bitmap.width * bitmap.height > MOST_PIXELS * shrink ** 2) {
    shrink *= 2;
  }
  if (shrink > 1) {
    const resizeWidth = Math.ceil(bitmap.width / shrink);
    bitmap.close();
    bitmap = await createImageBitmap(file, { ...options, resizeWidth, resizeQuality: "high" });
    factor = Math.max(1, factor / shrink);
  }
  const { width, height } = bitmap;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = context.getImageData(0, 0, width, height).data.buffer;
  return { pixels, width, height, factor };
}

let shown = 0;

async function classify(file) {
  const number = ++shown;
  const name = file.name || "the photo";
  show({ state: "waiting", label: "Looking…" });
  URL.revokeObjectURL($("photo").src);
  $("photo").src = URL.createObjectURL(file);
  $("photo").alt = name;
  $("source").textContent = name;
  $("answer").hidden = false;
  try {
    await ready;
    const began = performance.now();
    const photo = await decode(file).catch(() => {
      throw new Error(`this browser cannot read ${name} as a photo; choose a JPEG or PNG`);
    });
    const answer = await ask({ photo }, [photo.pixels]);
    if (number === shown) {
      showAnswer(answer, performance.now() - began);
      $("answer").scrollIntoView({ block: "nearest" });
    }
  } catch (error) {
    if (number === shown) {
      show({ state: "failed", label: "Not answered" });
      $("timing").textContent = `${error.message}.`;
    }
  }
}

// ------------------------------------------------------------------ the verdict

const WORDS = {
  sure: "Sure: answers this probable are rarely wrong.",
  unsure: "Unsure: it may well be another class.",
  none: "Unlike all training photos.",
};

function show({ state, label, prob = "", status = "" }) {
  $("answer").dataset.state = state;
  $("answer").dataset.status = status;
  $("label").textContent = label;
  $("prob").textContent = prob;
  $("status").hidden = !status;
  $("set").hidden = true;
  $("bars").replaceChildren();
  $("timing").textContent = "";
}

function showAnswer({ probs, status, inSet, holds, novelty }, ms) {
  const kind = about.statuses[status] ?? "";
  const order = [...probs.keys()].sort((a, b) => probs[b] - probs[a] || a - b);
  const best = order[0];
  const refused = kind === "none";
  const holding = holds && order.filter((index) => holds[index]);
  const label = refused ? "None of these"
    : holding ? holding.map((index) => labels[index]).join(", ") || "None of the classes"
    : labels[best];
  const prob = holding ? holding.map((index) => percent(probs[index])).join(", ") : percent(probs[best]);
  show({ state: "answered", label, prob: refused ? "" : prob, status: kind });
  const promised = kind === "unsure" && about.status_reason;
  $("words").textContent = promised
    ? `Nothing promised yet. ${about.status_reason}`
    : (WORDS[kind] ?? "");
  showSet(order.filter((index) => inSet?.[index]));
  const most = Math.max(TOP, holding?.length ?? 0);
  const bars = order.slice(0, most).map((index) => {
    const row = bar(labels[index], probs[index], about.thresholds?.[index]);
    row.classList.toggle("answer", Boolean(holds ? holds[index] && !refused : index === best));
    return row;
  });
  $("bars").append(...bars);
  const unusual = novelty === null ? "" : ` ${percent(novelty)} of the training photos are at least as unusual.`;
  $("timing").textContent = `${(ms / 1000).toFixed(2)} s in this browser.${unusual}`;
}

/** A set of one class adds nothing to the label. */
function showSet(indices) {
  if (indices.length < 2 || !about.odds) {
    return;
  }
  const names = indices.map((index) => labels[index]);
  const rest = names.slice(MOST_NAMED);
  $("set").hidden = false;
  $("named").textContent = names.slice(0, MOST_NAMED).join(", ");
  $("odds").textContent = about.odds;
  $("rest").hidden = !rest.length;
  $("rest").firstElementChild.textContent = `and ${rest.length} more`;
  $("rest").lastElementChild.textContent = rest.join(", ");
}

/** @param {{value: number} | undefined} threshold of a class that may hold beside others */
function bar(name, prob, threshold) {
  const row = document.createElement("li");
  const [label, share] = [document.createElement("span"), document.createElement("span")];
  label.textContent = name;
  share.textContent = percent(prob);
  if (threshold) {
    const from = threshold.value > 1 ? "never answered" : `holds from ${percent(threshold.value)}`;
    share.textContent += ` (${from})`;
  }
  share.className = "share";
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  svg.setAttribute("class", "bar");
  svg.setAttribute("aria-hidden", "true");
  rect.setAttribute("width", `${(prob * 100).toFixed(1)}%`);
  rect.setAttribute("height", "100%");
  svg.append(rect);
  row.append(label, share, svg);
  return row;
}

// ------------------------------------------------------------------ how photos come in

if (about.warning) {
  $("warning").textContent = about.warning;
  $("warning").hidden = false;
}
$("classes").textContent = labels.join(", ");

for (const input of [$("choose"), $("camera")]) {
  input.addEventListener("change", () => {
    if (input.files.length) {
      classify(input.files[0]);
      input.value = ""; // so that the same photo can be chosen again
    }
  });
}

function photoOf(transfer) {
  return [...transfer.files].find((file) => file.type.startsWith("image/")) ?? transfer.files[0];
}

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("hover");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) {
    document.body.classList.remove("hover");
  }
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("hover");
  const file = photoOf(event.dataTransfer);
  if (file) {
    classify(file);
  }
});
document.addEventListener("paste", (event) => {
  const file = photoOf(event.clipboardData);
  if (file) {
    classify(file);
  }
});
