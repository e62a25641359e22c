// A grid of photos by keyboard: arrows move the focus, space selects, and single keys decide about
// the selected photos, or else about the one in focus.

/**
 * Listens to keys on photos, and on nothing else of the page.
 *
 * @param {HTMLElement} field holds the photos, each an element with `data-photo`
 * @param {(key: string, photos: HTMLElement[]) => boolean} decide says whether it took the key
 */
export function listen(field, decide) {
  field.addEventListener("keydown", (event) => {
    const item = event.target.closest("[data-photo]");
    if (!item || event.altKey || event.ctrlKey || event.metaKey) return;
    if (isWriting(event.target)) return;
    const taken = move(field, item, event.key) || decide(event.key, meant(field, item));
    if (taken) event.preventDefault();
  });
  chooseRanges(field);
}

/** With the shift key, a click chooses all photos from the last one that was clicked to this. */
function chooseRanges(field) {
  let last = null;
  field.addEventListener("click", (event) => {
    if (!event.target.matches("[data-photo] input[type=checkbox]")) return;
    const boxes = [...field.querySelectorAll("[data-photo] input[type=checkbox]:not(:disabled)")];
    const ends = [boxes.indexOf(last), boxes.indexOf(event.target)].sort((a, b) => a - b);
    if (event.shiftKey && ends[0] >= 0) {
      for (const box of boxes.slice(ends[0], ends[1] + 1)) box.checked = event.target.checked;
    }
    last = event.target;
  });
}

function isWriting(target) {
  return target.matches("select, textarea, input:not([type=checkbox])");
}

/** @returns {HTMLElement[]} the photos that a key is for */
function meant(field, item) {
  const ticked = selected(field);
  return ticked.length ? ticked : [item];
}

/** @returns {HTMLElement[]} the photos that are selected */
export function selected(field) {
  return [...field.querySelectorAll("[data-photo]")].filter((item) => item.querySelector(":checked"));
}

/** Goes to another photo. @returns {boolean} whether the key was one that goes */
function move(field, item, key) {
  const items = [...field.querySelectorAll("[data-photo]")].filter(handleOf);
  const here = items.indexOf(item);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(items), ArrowDown: columns(items) };
  const places = { Home: 0, End: items.length - 1 };
  const place = key in steps ? here + steps[key] : places[key];
  if (place === undefined) return false;
  if (items[place]) handleOf(items[place]).focus();
  return true;
}

/** @returns {number} how many photos are beside each other in the first row */
function columns(items) {
  return Math.max(1, items.filter((item) => item.offsetTop === items[0].offsetTop).length);
}

/** @returns {HTMLElement | null} what a photo is reached by */
function handleOf(item) {
  return item.querySelector("input[type=checkbox]:not(:disabled)") ?? item.querySelector("a[href]");
}

/**
 * Goes on to the first photo that is still to be decided about, after one or else before it.
 *
 * @param {HTMLElement} field @param {HTMLElement} item
 */
export function goOn(field, item) {
  const items = [...field.querySelectorAll("[data-photo]")];
  const here = items.indexOf(item);
  const order = [...items.slice(here + 1), ...items.slice(0, here).reverse(), item];
  const next = order.find((each) => each.dataset.done === undefined && handleOf(each)) ?? item;
  handleOf(next)?.focus();
}
