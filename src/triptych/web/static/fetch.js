// Fetching the weights of a committee: its button, its progress, and what went wrong.

import { LANGUAGE, _ } from "./i18n.js";

const POLL_MS = 500;
const MB = 1e6;

for (const element of document.querySelectorAll("[data-fetch]")) {
  for (const name of ["start", "stop"]) {
    slot(element, name).addEventListener("click", (event) => press(event, element));
  }
  if (!slot(element, "stop").hidden) follow(element);
}

function slot(element, name) {
  return element.querySelector(`[data-slot="${name}"]`);
}

async function press(event, element) {
  event.preventDefault();
  const state = await ask(element, event.target.formAction, { method: "POST" });
  if (!state) return;
  show(element, state);
  if (event.target === slot(element, "start")) follow(element);
}

/** @returns {Promise<object | undefined>} the state of the download, if the studio gave it */
async function ask(element, address, options = {}) {
  try {
    const response = await fetch(address, { headers: { Accept: "application/json", ...LANGUAGE }, ...options });
    const answer = await response.json();
    if (response.ok) return answer;
    slot(element, "state").textContent = answer.error.message;
  } catch {
    slot(element, "state").textContent = _("The studio did not answer. Is it still running?");
  }
}

async function follow(element) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const state = await ask(element, element.dataset.fetch);
    if (!state) return;
    show(element, state);
    if (state.state !== "running") return;
  }
}

/** @param {HTMLElement} element @param {object} state as the studio gives it */
function show(element, { state, member, done_bytes: done, total_bytes: total, error }) {
  const running = state === "running";
  slot(element, "state").textContent = {
    running: _("Fetching {network}: {done} of {total} MB.", {
      network: member, done: Math.round(done / MB), total: Math.round(total / MB),
    }),
    done: _("It is here. Reload this page to use it."),
    stopped: _("Stopped. What has come stays here for the next time."),
    failed: error,
  }[state];
  slot(element, "bar").value = total ? Math.min(1, done / total) : 0;
  slot(element, "bar").hidden = !running;
  slot(element, "start").hidden = running || state === "done";
  slot(element, "stop").hidden = !running;
  const photos = document.getElementById("cards").children.length;
  if (state === "done" && !photos) location.reload();
}
