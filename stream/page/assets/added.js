// Products that nobody has touched: put on the shelf here, and whose lists they are in now.
import { post } from "./api.js";
import { byId, h, money, notice } from "./dom.js";
import { linkTo } from "./shop.js";
import { tile } from "./tiles.js";

export function wireForm() {
  byId("add").addEventListener("submit", async (event) => {
    event.preventDefault();
    const told = new FormData(event.target);
    const product = { title: told.get("title").trim(), category: told.get("category").trim() };
    if (told.get("price") !== "") product.price = Number(told.get("price"));
    try {
      await post("/api/products", product);
      event.target.reset();
    } catch (error) {
      notice(`Not taken: ${error.message}`);
    }
  });
}

export function takeAdded(products) {
  byId("added").replaceChildren(...products.map(shown));
}

function shown(product) {
  const onShelf = product.shelf_ms !== null;
  const state = product.trouble || (onShelf ? `on the shelf after ${Math.round(product.shelf_ms)} ms` : "on its way to the shelf …");
  const mine = product.lists.find((each) => each.you);
  return h("article", { class: "added", "data-item": product.item_id },
    tile(product, "small"),
    h("div", {},
      h("h3", {}, onShelf ? linkTo(product) : product.title),
      h("p", { class: "small" }, [product.category, money(product.price), state].filter(Boolean).join(" · ")),
      product.lists.length
        ? h("p", {}, `In ${product.lists.length} ${product.lists.length === 1 ? "list" : "lists"}`, mine ? ", yours among them:" : ":")
        : h("p", { class: "small" }, onShelf ? "In nobody's list yet. Do something that fits it." : null),
      h("ul", { class: "people" }, product.lists.slice(0, 12).map((each) =>
        h("li", { class: each.you ? "you" : null }, each.you ? "you" : named(each.user), h("span", { class: "small" }, ` place ${each.rank}`))))));
}

const named = (user) => (user.startsWith("visitor-") ? `visitor ${user.slice(-4)}` : user.replaceAll("-", " "));
