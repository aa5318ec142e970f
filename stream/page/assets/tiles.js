// There are no pictures of these products. A tile is made of words alone: the category's colour, a figure, two letters.
import { h } from "./dom.js";

const FIGURES = ["disc", "ring", "bars", "hill", "quarter", "dots"];

/** FNV-1a: the same words have the same colour everywhere and for ever. */
function hash(text) {
  let sum = 0x811c9dc5;
  for (const letter of text) sum = Math.imul(sum ^ letter.codePointAt(0), 0x01000193) >>> 0;
  return sum;
}

export const hueOf = (category) => hash(category) % 360;

/** "Milk, store brand" is Mi, "Soft drinks" is Sd: as in the table of the elements. */
export function symbol(title) {
  const words = title.split(",")[0].match(/[\p{L}\p{N}]+/gu) ?? title.match(/[\p{L}\p{N}]+/gu) ?? ["?"];
  const [first, second] = words;
  const letters = Array.from(second && second.length > 1 ? first[0] + second[0] : first).slice(0, 2);
  return letters[0].toUpperCase() + (letters[1] ?? "").toLowerCase();
}

export function tile(product, size = "") {
  const figure = FIGURES[hash(product.title) % FIGURES.length];
  return h(
    "span",
    { class: `tile ${figure} ${size}`, hue: hueOf(product.category || product.title), "aria-hidden": "true" },
    h("span", { class: "symbol" }, symbol(product.title)),
  );
}
