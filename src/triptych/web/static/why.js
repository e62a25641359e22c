// Why: a heat map over the photo of a card, for the verdict or for one member, fetched when its
// button is pressed. The studio says which method made it.

import { LANGUAGE, _ } from "./i18n.js";

/** @typedef {{url: URL, photo: {file: File}}} ClassifyRequest what a card is the answer to */
/** @typedef {{label: string, id: string, member: string}} Why whose answer; no member: the verdict */

/**
 * Offers the maps of a card that was just filled.
 * @param {HTMLElement} card @param {object} answer as the API gives it @param {ClassifyRequest} request
 */
export function offer(card, answer, request) {
  hide(card);
  const alone = request.url.searchParams.get("members") ?? "";
  const { label, id } = answer.verdict;
  equip(card, slot(card, "why-verdict"), { label, id, member: alone }, request);
  // Each class that holds has its own.
  slot(card, "why-verdict").hidden = Boolean(answer.verdict.labels?.length);
  const ofLabels = card.querySelectorAll('[data-slot="why-label"]');
  answer.verdict.labels?.forEach((each, index) => {
    if (ofLabels[index]) equip(card, ofLabels[index], { ...each, member: alone }, request);
  });
  for (const { name, top } of answer.members) {
    const panels = [...card.querySelectorAll(".panel:not([data-skipped])")];
    const panel = panels.find((each) => slot(each, "member").textContent === name);
    equip(card, slot(panel, "why"), { label: top[0].label, id: top[0].id, member: name }, request);
  }
  slot(card, "strength").oninput = (event) => fade(card, event.target.value);
  slot(card, "hide").onclick = () => {
    const button = card.querySelector('[aria-pressed="true"]');
    hide(card);
    button?.focus();
  };
}

/** @param {HTMLElement} card @param {HTMLButtonElement} button @param {Why} why @param {ClassifyRequest} request */
function equip(card, button, why, request) {
  button.hidden = false;
  button.setAttribute("aria-pressed", "false");
  // Begins with the visible text, so that it can be called by that.
  const text = button.textContent.trim();
  const evidence = _("Evidence for {label} according to {whose}", { label: why.label, whose: whose(why) });
  button.setAttribute("aria-label", `${text} ${evidence}`);
  button.onclick = () => toggle(card, button, why, request);
}

/** Shows the map of a button, or hides it if it is there. */
async function toggle(card, button, why, request) {
  const shown = button.getAttribute("aria-pressed") === "true";
  hide(card);
  if (shown) return;
  button.setAttribute("aria-pressed", "true");
  say(card, _("Computing the evidence for {label} …", { label: why.label }));
  const explanation = await ask(why, request);
  // Another map may have been requested meanwhile, or another photo.
  if (!button.isConnected || button.getAttribute("aria-pressed") !== "true") return;
  if (explanation.error) {
    say(card, explanation.error.message);
  } else {
    show(card, explanation, why);
  }
}

/** @param {Why} why @param {ClassifyRequest} request @returns {Promise<object>} as the API gives it */
async function ask(why, { url, photo }) {
  const address = new URL(document.getElementById("ask").dataset.why, location.href);
  for (const name of ["committee", "rule", "fit"]) {
    const value = url.searchParams.get(name);
    if (value) address.searchParams.set(name, value);
  }
  if (why.member) address.searchParams.set("member", why.member);
  address.searchParams.set("label", why.id);
  const body = new FormData();
  body.append("image", photo.file);
  try {
    return await (await fetch(address, { method: "POST", headers: LANGUAGE, body })).json();
  } catch {
    return { error: { message: _("The studio did not answer. Is it still running?") } };
  }
}

/** @param {HTMLElement} card @param {object} explanation as the API gives it @param {Why} why */
function show(card, explanation, why) {
  const heat = slot(card, "heat");
  const most = place(explanation.heat, explanation.box);
  const partly = explanation.box.some((side, n) => Math.abs(side - (n > 1)) > 0.001);
  const cropped = partly ? ` ${_("What is outside of the frame was cropped off.")}` : "";
  heat.src = `data:image/png;base64,${explanation.overlay}`;
  heat.alt = _("Heat map: most of the evidence for {label} is {place}.", { label: why.label, place: most });
  heat.hidden = false;
  slot(card, "tools").hidden = false;
  fade(card, slot(card, "strength").value);
  const values = { label: why.label, whose: whose(why), method: explanation.method, place: most };
  say(card, _("Evidence for {label} according to {whose}, by {method}: most is {place}.", values) + cropped);
}

/** @param {HTMLElement} card */
function hide(card) {
  slot(card, "heat-map").hidden = true;
  slot(card, "tools").hidden = true;
  slot(card, "heat").hidden = true;
  slot(card, "heat").removeAttribute("src");
  for (const button of card.querySelectorAll('[aria-pressed="true"]')) {
    button.setAttribute("aria-pressed", "false");
  }
}

/** @param {HTMLElement} card @param {string} text for the line under the photo */
function say(card, text) {
  slot(card, "heat-map").hidden = false;
  slot(card, "explained").textContent = text;
}

/** @param {HTMLElement} card @param {string} strength from 0 to 100 */
function fade(card, strength) {
  slot(card, "heat").style.opacity = Number(strength) / 100;
}

/**
 * @param {number[][]} heat @param {number[]} box the part of the photo under it
 * @returns {string} where in the photo it is greatest, in words
 */
function place(heat, [left, top, right, bottom]) {
  const peak = Math.max(...heat.flat());
  const row = heat.findIndex((each) => each.includes(peak));
  const column = heat[row].indexOf(peak);
  const y = top + ((row + 0.5) / heat.length) * (bottom - top);
  const x = left + ((column + 0.5) / heat[row].length) * (right - left);
  const rows = [
    [_("at the top left"), _("at the top"), _("at the top right")],
    [_("on the left"), _("in the middle"), _("on the right")],
    [_("at the bottom left"), _("at the bottom"), _("at the bottom right")],
  ];
  return rows[Math.min(2, Math.floor(3 * y))][Math.min(2, Math.floor(3 * x))];
}

/** @param {Why} why @returns {string} */
function whose({ member }) {
  return member || _("the committee");
}

function slot(element, name) {
  return element.querySelector(`[data-slot="${name}"]`);
}
