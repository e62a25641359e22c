// Follows a training job: updates the page each second.

import { _ } from "./i18n.js";
import { byId, pause, send, slot, textOf, write } from "./projects.js";

const EVERY_MS = 1000;
const UNDER_WAY = ["waiting", "running"];
const SVG = "http://www.w3.org/2000/svg";
const BOX = { viewBox: "-4 -8 108 116", preserveAspectRatio: "none", "aria-hidden": "true" };

const job = byId("job");
if (job && UNDER_WAY.includes(job.dataset.state)) follow();

/** Polls the job until it has ended, then opens the page on which its version is tried out. */
async function follow() {
  for (;;) {
    await pause(EVERY_MS);
    const state = await send(job.dataset.address, { quiet: true }).catch(showError);
    if (!state) continue;
    if (state.state === "done") return location.assign(job.dataset.try);
    if (!UNDER_WAY.includes(state.state)) return location.reload();
    show(state);
  }
}

function showError(error) {
  slot(job, "said").textContent = error.message;
}

function show({ state, title, said, progress, left, stages, news, stop, kept, tuned }) {
  job.dataset.state = state;
  write(job, { title, said, left, stop, kept });
  const bar = slot(job, "bar");
  if (progress === null) bar.removeAttribute("value");
  else bar.value = progress;
  slot(job, "stages").replaceChildren(...stages.map(stage));
  slot(job, "tuned").replaceChildren(...tuned.map(curve));
  slot(job, "tuning").hidden = !tuned.length;
  slot(job, "news").replaceChildren(...news.map(row));
  slot(job, "scores").hidden = !news.length;
}

function stage({ name, state }) {
  const item = textOf("li", name);
  item.dataset.state = state;
  if (state === "now") item.setAttribute("aria-current", "step");
  return item;
}

function curve({ member, said, line }) {
  const item = document.createElement("li");
  const svg = document.createElementNS(SVG, "svg");
  const drawn = document.createElementNS(SVG, "polyline");
  for (const [name, value] of Object.entries(BOX)) svg.setAttribute(name, value);
  drawn.setAttribute("points", line);
  svg.append(drawn);
  const text = document.createElement("span");
  text.append(textOf("strong", member), " ", textOf("span", said));
  item.append(svg, text);
  return item;
}

function row({ member, right }) {
  const line = document.createElement("tr");
  const name = textOf("th", member === "committee" ? _("The committee") : member);
  name.scope = "row";
  line.append(name, textOf("td", right));
  return line;
}
