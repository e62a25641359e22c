// Keeps what a person has typed or ticked on a page while its language changes, which loads it anew.

const KEY = "triptych-typed";
// What no script may set, and what is nobody's to keep.
const LEFT_OUT = ["hidden", "file", "password"];

restore();
document.querySelector("form.languages")?.addEventListener("submit", keep);

/** @returns {[string, any][]} the fields of the page's forms, each with a name that is its own */
function fields() {
  const counts = {};
  return [...document.querySelectorAll("main :is(input, textarea, select)")]
    .filter(({ name, type }) => name && !LEFT_OUT.includes(type))
    .map((field) => {
      const name = `${field.form?.getAttribute("action")} ${field.name}`;
      counts[name] = (counts[name] ?? 0) + 1;
      return [`${name} ${counts[name]}`, field];
    });
}

function keep() {
  const changed = fields().filter(([, field]) => field.value !== field.defaultValue || field.checked !== field.defaultChecked);
  const states = changed.map(([name, { value, checked }]) => [name, [value, checked]]);
  sessionStorage.setItem(KEY, JSON.stringify([here(), Object.fromEntries(states)]));
}

function restore() {
  const [address, states] = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
  sessionStorage.removeItem(KEY);
  if (address !== here()) return;
  for (const [name, field] of fields()) {
    const [value, checked] = states[name] ?? [];
    if (value === undefined) continue;
    if (field.type !== "checkbox" && field.type !== "radio") field.value = value;
    else if (field.value === value) field.checked = checked;
  }
}

function here() {
  return location.pathname + location.search;
}
