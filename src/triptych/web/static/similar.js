// The training photos that are most similar to the photo of a card, with thumbnails where the studio
// has them.

/** @param {HTMLElement} card @param {object} verdict as the API gives it */
export function compare(card, verdict) {
  const place = slot(card, "similar");
  const list = slot(place, "likes");
  place.hidden = !verdict.similar.length;
  list.replaceChildren(...verdict.similar.map(like));
}

/** @param {{digest: string, label: string}} photo @returns {HTMLElement} */
function like({ digest, label }) {
  const item = document.getElementById("like-template").content.firstElementChild.cloneNode(true);
  const image = slot(item, "thumb");
  slot(item, "name").textContent = label;
  image.addEventListener("error", () => image.remove());
  image.src = document.getElementById("ask").dataset.similar.replace("DIGEST", digest);
  return item;
}

function slot(element, name) {
  return element.querySelector(`[data-slot="${name}"]`);
}
