// Elements from code. Whatever is shown becomes a text node: nothing that anybody typed is ever markup.

/** An element. `on…` properties are listeners; `hue` colours it; null, undefined and false are left out. */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "hue") node.style.setProperty("--hue", value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** A price of the shop's one currency; the contract has no name for it. */
export const money = (price) => (price === null || price === undefined ? "" : price.toFixed(2));

export const href = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

let fade = 0;

/** Says something short, for some seconds. */
export function notice(text) {
  const place = byId("notice");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(fade);
  fade = setTimeout(() => place.classList.remove("shown"), 4000);
}
