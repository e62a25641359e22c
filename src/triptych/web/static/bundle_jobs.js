// Follows the jobs of a committee's page, exports and int8 networks: says each second what they do.

import { pause, send, slot, write } from "./projects.js";

const EVERY_MS = 1000;

for (const job of document.querySelectorAll(".job[data-state=running]")) follow(job);

/** Polls a job until it has ended, then loads the page anew. */
async function follow(job) {
  const showError = (error) => (slot(job, "said").textContent = error.message);
  for (;;) {
    await pause(EVERY_MS);
    const state = await send(job.dataset.address, { quiet: true }).catch(showError);
    if (!state?.title) continue;
    if (!state.under_way) return location.reload();
    write(job, { title: state.title, said: state.said });
  }
}
