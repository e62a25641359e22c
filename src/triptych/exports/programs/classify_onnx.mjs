// Print the verdict of a committee on photos.
//
// npm install onnxruntime-web sharp
// node classify.mjs PHOTO...

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import * as ort from "onnxruntime-web";
import sharp from "sharp";

const STATUSES = ["sure", "unsure", "none", null];

const beside = (name) => fileURLToPath(new URL(name, import.meta.url));
const labels = (await readFile(beside("labels.txt"), "utf8")).trimEnd().split("\n");
const network = await ort.InferenceSession.create(await readFile(beside("{file}")), {
  executionProviders: ["wasm"],
});

/** The mean of each square of so many pixels: a large JPEG is read in a smaller size, as in Triptych. */
function reduced(data, width, height, factor) {
  const [columns, rows] = [Math.ceil(width / factor), Math.ceil(height / factor)];
  const rgb = new Uint8Array(rows * columns * 3);
  for (let at = 0; at < rgb.length; at++) {
    const [top, left] = [Math.floor(at / 3 / columns), Math.floor(at / 3) % columns];
    let [sum, count] = [0, 0];
    for (let y = top * factor; y < Math.min(height, (top + 1) * factor); y++) {
      for (let x = left * factor; x < Math.min(width, (left + 1) * factor); x++, count++) {
        sum += data[3 * (y * width + x) + (at % 3)];
      }
    }
    rgb[at] = Math.round(sum / count);
  }
  return new ort.Tensor("uint8", rgb, [rows, columns, 3]);
}

for (const name of process.argv.slice(2)) {
  const photo = sharp(name, { ignoreIcc: true }); // as in Triptych
  const { format } = await photo.metadata();
  // Turned upright, on white where it is transparent.
  const { data, info } = await photo
    .rotate()
    .flatten({ background: "#fff" })
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  const enough = format === "jpeg" ? Math.min(info.width, info.height) / {enough} : 1;
  const factor = [8, 4, 2].find((scale) => scale <= Math.floor(enough)) ?? 1;
  const answer = await network.run({ image: reduced(data, info.width, info.height, factor) });
  const probs = answer.probs.data;
  const order = [...probs.keys()].sort((a, b) => probs[b] - probs[a] || a - b);
  const guess = (index) => ({ label: labels[index], prob: Number(probs[index].toFixed(4)) });
  const status = STATUSES[Number(answer.status.data[0])];
  // Of a multi-label committee, any number of classes may hold.
  const verdict = answer.holds
    ? { photo: name, status, labels: order.filter((index) => answer.holds.data[index]).map(guess) }
    : { photo: name, ...guess(order[0]), status, set: labels.filter((_, index) => answer.set.data[index]) };
  console.log(JSON.stringify(verdict));
}
