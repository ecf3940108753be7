// Building and changing the page. Text goes in as text only: nothing from Redis is ever parsed as HTML.

export const byId = (id) => document.getElementById(id);

// An element with properties (className, onclick, ...), attributes (names with a dash, role, title) and children.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "role" || name === "scope") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Change a text only where it differs, so that screen readers and selections are left in peace.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, visible) {
  element.hidden = !visible;
}

// Make a container hold one element for each row, in order. Elements are kept by key: focus and open details stay.
export function fill(container, rows, keyOf, create, update) {
  const known = new Map([...container.children].map((child) => [child.dataset.key, child]));
  let place = container.firstElementChild;
  for (const row of rows) {
    const key = keyOf(row);
    let element = known.get(key);
    known.delete(key);
    if (!element) {
      element = create(row);
      element.dataset.key = key;
    }
    update(element, row);
    if (element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
  }
  for (const gone of known.values()) gone.remove();
}
