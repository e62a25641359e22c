// Follows an export: says each second what it does.

import { byId, pause, send, slot, write } from "./projects.js";

const EVERY_MS = 1000;

const job = byId("export-job");
if (job && job.dataset.state === "running") follow();

/** Polls the export until it has ended, then loads the page anew. */
async function follow() {
  for (;;) {
    await pause(EVERY_MS);
    const state = await send(job.dataset.address, { quiet: true }).catch(showError);
    if (!state) continue;
    if (!state.under_way) return location.reload();
    write(job, { title: state.title, said: state.said });
  }
}

function showError(error) {
  slot(job, "said").textContent = error.message;
}
