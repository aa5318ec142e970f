// As the system sees you: the window's lines, what the interest vector is near to, the versions.
import { takenIn } from "./acts.js";
import { byId, h } from "./dom.js";
import { hueOf } from "./tiles.js";

export function takeSystem(system) {
  takenIn(system.taken_in);
  byId("panel-system").replaceChildren(
    h("h2", {}, "As the system sees you"),
    ...vector(system),
    h("h2", {}, "Your window, newest first"),
    system.lines.length
      ? h("ol", { class: "lines" }, system.lines.map(line))
      : h("p", { class: "small" }, "No event of yours has been taken in yet."),
    h("h2", {}, "Versions"),
    h("dl", {}, [["user id", system.user_id], ...system.versions].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value || "–")])),
  );
}

function vector(system) {
  const about = system.vector;
  if (!about) return [h("p", { class: "small" }, "None yet: it comes with the first list.")];
  const told = h("p", { class: "small" }, `Your interest vector: ${about.dim} numbers, by ${about.model}`);
  if (!about.comparable) return [told, h("p", { class: "small" }, "Another model's than this page has: vectors of two models cannot be compared. Give the page the worker's --bundle.")];
  if (system.products.length === 0) return [told, h("p", { class: "small" }, "All zeros: nothing that you want is known.")];
  return [told, h("h3", {}, "Nearest categories"), bars(system.categories), h("h3", {}, "Nearest products"), bars(system.products)];
}

const bars = (facets) =>
  h("ul", { class: "bars" }, facets.map((facet) => {
    const bar = h("span", { class: "bar", "aria-hidden": "true", hue: hueOf(facet.name) });
    bar.style.setProperty("--share", Math.max(0, facet.cosine));
    return h("li", {}, bar, h("span", {}, facet.name), h("span", { class: "small" }, facet.cosine.toFixed(2)));
  }));

const line = (each) =>
  h("li", {}, h("span", { class: "kind" }, each.kind), h("span", {}, each.told, each.detail ? h("span", { class: "small" }, ` ${each.detail}`) : null));
