// Runs the committee by onnxruntime-web, beside the page, which stays responsive.
"use strict";

let ort, session;

async function load({ runtime, wasm, model }) {
  ort = await import(URL.createObjectURL(new Blob([runtime], { type: "text/javascript" })));
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1; // more need a server that isolates the page
  ort.env.wasm.wasmBinary = wasm;
  session = await ort.InferenceSession.create(new Uint8Array(model), {
    executionProviders: ["wasm"],
    logSeverityLevel: 3, // errors: that an optimization does not apply is of no use here
  });
}

/** RGB of RGBA; each pixel the mean of a square of `factor` by `factor`, as JPEGs are reduced. */
function pixelsOf({ pixels, width, height, factor }) {
  const rgba = new Uint8Array(pixels);
  const [columns, rows] = [Math.ceil(width / factor), Math.ceil(height / factor)];
  const rgb = new Uint8Array(rows * columns * 3);
  for (let row = 0, at = 0; row < rows; row++) {
    const bottom = Math.min(height, (row + 1) * factor);
    for (let column = 0; column < columns; column++, at += 3) {
      const right = Math.min(width, (column + 1) * factor);
      let [red, green, blue, count] = [0, 0, 0, 0];
      for (let y = row * factor; y < bottom; y++) {
        for (let x = column * factor; x < right; x++, count++) {
          const from = 4 * (y * width + x);
          red += rgba[from];
          green += rgba[from + 1];
          blue += rgba[from + 2];
        }
      }
      rgb[at] = Math.round(red / count);
      rgb[at + 1] = Math.round(green / count);
      rgb[at + 2] = Math.round(blue / count);
    }
  }
  return new ort.Tensor("uint8", rgb, [rows, columns, 3]);
}

async function classify(photo) {
  const answer = await session.run({ image: pixelsOf(photo) });
  return {
    probs: answer.probs.data,
    status: Number(answer.status.data[0]),
    inSet: answer.set?.data,
    holds: answer.holds?.data,
    novelty: answer.novelty ? answer.novelty.data[0] : null,
  };
}

self.onmessage = async ({ data: { number, ...message } }) => {
  try {
    self.postMessage({ number, ...(message.photo ? await classify(message.photo) : await load(message)) });
  } catch (error) {
    self.postMessage({ number, error: String(error?.message ?? error) });
  }
};
