// Follows an import: shows its lines, and loads the page anew when it has ended.

import { byId, pause, send, slot, textOf } from "./projects.js";

const EVERY_MS = 700;

const job = byId("job");
if (job.dataset.state === "running") follow();

async function follow() {
  for (;;) {
    await pause(EVERY_MS);
    const found = await send(job.dataset.address, { quiet: true }).catch(() => null);
    if (!found) continue;
    if (found.state !== "running") return location.reload();
    slot(job, "lines").replaceChildren(...found.lines.map((line) => textOf("li", line)));
  }
}
