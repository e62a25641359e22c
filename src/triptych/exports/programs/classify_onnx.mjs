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

for (const name of process.argv.slice(2)) {
  // Turned upright, on white where it is transparent.
  const { data, info } = await sharp(name)
    .rotate()
    .flatten({ background: "#fff" })
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  const image = new ort.Tensor("uint8", new Uint8Array(data), [info.height, info.width, 3]);
  const answer = await network.run({ image });
  const probs = answer.probs.data;
  const best = probs.indexOf(Math.max(...probs));
  const verdict = {
    photo: name,
    label: labels[best],
    prob: Number(probs[best].toFixed(4)),
    status: STATUSES[Number(answer.status.data[0])],
    set: labels.filter((_, index) => answer.set.data[index]),
  };
  console.log(JSON.stringify(verdict));
}
