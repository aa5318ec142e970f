// The shop: shelves, search, one product, the basket. What is done here goes out as events.
import { act, Dwell } from "./acts.js";
import { get } from "./api.js";
import * as basket from "./basket.js";
import { byId, h, href, money, notice } from "./dom.js";
import { hueOf, tile } from "./tiles.js";

const CHIPS = 12;
const place = () => byId("shop");
let categories = [];
let open = null; // The product that is looked at, and for how long.
let turn = 0; // A slow answer to an older question is not shown.

export async function loadCategories() {
  categories = await get("/api/categories");
  byId("categories").replaceChildren(...categories.map((each) => h("option", { value: each.name })));
}

/** Shows what the address names; tells how long the product before was looked at. */
export async function show() {
  leave();
  const mine = ++turn;
  const [view = "", name = ""] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  try {
    const made = await (views[view] ?? views[""])(name);
    if (mine !== turn) return;
    place().replaceChildren(...made.content);
    byId("words").value = view === "search" ? name : "";
    document.title = `${made.title} – firstclick shop`;
    if (made.product) open = { product: made.product, dwell: new Dwell() };
    window.scrollTo({ top: 0 });
  } catch (error) {
    if (mine === turn) place().replaceChildren(h("h1", {}, "Not to be had"), h("p", {}, error.message), back());
  }
}

/** Ends the look at a product. */
export function leave() {
  if (!open) return;
  const { product, dwell } = open;
  open = null;
  act("browse", { item_id: product.item_id, dwell_ms: dwell.end() });
}

const views = {
  "": async () => shelf("What sells", "", "", "Nothing is on the shelf yet: it fills while the worker reads the titles."),
  category: async (name) => shelf(name, "", name, "Nothing is in this category now."),
  search: async (words) => shelf(`“${words}”`, words, "", "The shop has no such words in a title. The search counts all the same: look at the list for you."),
  product: productView,
  basket: async () => basketView(),
};

async function shelf(heading, words, category, nothing) {
  const found = await get(`/api/products?${new URLSearchParams({ query: words, category })}`);
  const shown = new Set();
  const cards = h("ul", { class: "cards" });
  const fill = (products) => {
    const fresh = products.filter((product) => !shown.has(product.item_id)); // Demand changes between two pages.
    fresh.forEach((product) => shown.add(product.item_id));
    cards.append(...fresh.map((product) => card(product)));
  };
  fill(found.products);
  let first = found.products.length;
  const more = h("button", { type: "button", class: "quiet more", onclick: async () => {
    const next = await get(`/api/products?${new URLSearchParams({ query: words, category, first })}`);
    first += next.products.length;
    const before = cards.children.length;
    fill(next.products);
    more.hidden = first >= next.total || next.products.length === 0;
    cards.children[before]?.querySelector("a").focus();
  } }, "Show more");
  more.hidden = first >= found.total;
  const head = h("div", { class: "heading" }, h("h1", {}, heading), h("span", { class: "small" }, `${found.total} ${found.total === 1 ? "product" : "products"}`));
  const content = [head, chips(category), found.total ? cards : h("p", { class: "nothing" }, nothing), more];
  return { title: heading, content };
}

function chips(current) {
  const named = categories.slice(0, CHIPS).map((each) => each.name);
  if (current && !named.includes(current)) named.unshift(current);
  const all = h(
    "select",
    { "aria-label": "All categories", onchange: (event) => (location.hash = href("category", event.target.value)) },
    h("option", { value: "", selected: true, disabled: true }, "All categories"),
    ...[...categories].sort((one, other) => one.name.localeCompare(other.name))
      .map((each) => h("option", { value: each.name }, `${each.name} (${each.products})`)),
  );
  const link = (name) =>
    h("a", { class: "chip", href: href("category", name), hue: hueOf(name), "aria-current": name === current ? "page" : null }, name);
  return h("nav", { class: "chips", "aria-label": "Categories" }, all, ...named.map(link));
}

const clicked = (product, event, more = {}) => act("click", { item_id: product.item_id, ...more }, event.timeStamp);

/** A link to a product; a click on it is a click. */
export const linkTo = (product, more = {}) =>
  h("a", { href: href("product", product.item_id), onclick: (event) => clicked(product, event, more) }, product.title);

function card(product) {
  const add = h("button", {
    type: "button", class: "add", "aria-label": `Put ${product.title} into the basket`,
    onclick: (event) => putIntoBasket(product, event),
  }, "+");
  return h("li", { class: "card" }, tile(product), h("h2", {}, linkTo(product)),
    h("p", { class: "small" }, product.category), h("p", { class: "price" }, money(product.price), add));
}

function putIntoBasket(product, event) {
  basket.put(product);
  act("cart", { item_id: product.item_id, quantity: 1 }, event.timeStamp);
  notice(`${product.title}: in the basket`);
}

const back = () => h("a", { class: "back", href: "#/", onclick: (event) => {
  if (turn > 1) { event.preventDefault(); history.back(); }
} }, "← Back");

async function productView(item_id) {
  const product = await get(`/api/products/${encodeURIComponent(item_id)}`);
  const beside = product.category
    ? (await get(`/api/products?${new URLSearchParams({ category: product.category })}`)).products
    : [];
  const others = beside.filter((each) => each.item_id !== item_id).slice(0, 4);
  const button = (name, words, kind, said, fields = {}) => h("button", { type: "button", class: name, onclick: (event) => {
    act(kind, { item_id, ...fields }, event.timeStamp);
    notice(`${product.title}: ${said}`);
  } }, words);
  const price = product.price === null ? {} : { price: product.price };
  const content = [
    back(),
    h("article", { class: "product" },
      tile(product, "large"),
      h("div", {},
        h("p", { class: "small" }, product.category ? h("a", { href: href("category", product.category) }, product.category) : null,
          product.brand ? ` · ${product.brand}` : null),
        h("h1", {}, product.title),
        h("p", { class: "price" }, money(product.price)),
        h("div", { class: "buttons" },
          h("button", { type: "button", class: "primary", onclick: (event) => putIntoBasket(product, event) }, "Put into basket"),
          button("", "Buy now", "purchase", "bought", { quantity: 1, ...price }),
          button("quiet", "Save", "favourite", "saved"),
          button("quiet", "Not for me", "dislike", "will not be shown to you again")),
        review(product))),
    others.length ? h("h2", { class: "more-of" }, `More of ${product.category}`) : null,
    others.length ? h("ul", { class: "cards" }, others.map(card)) : null,
  ];
  return { title: product.title, content: content.filter(Boolean), product };
}

function review(product) {
  const stars = [1, 2, 3, 4, 5].flatMap((value) => [
    h("input", { type: "radio", name: "rating", id: `star-${value}`, value, required: true, class: "hidden" }),
    h("label", { for: `star-${value}` }, h("span", { "aria-hidden": "true" }, "★"), h("span", { class: "hidden" }, `${value} of 5`)),
  ]);
  return h("form", { class: "review", onsubmit: (event) => {
    event.preventDefault();
    const told = new FormData(event.target);
    act("review", { item_id: product.item_id, rating: Number(told.get("rating")), text: told.get("text") }, event.timeStamp);
    event.target.reset();
    notice(`${product.title}: thank you for the review`);
  } },
    h("fieldset", {}, h("legend", {}, "Your review"), h("div", { class: "stars" }, stars)),
    h("label", { class: "hidden", for: "review-text" }, "What you think of it"),
    h("textarea", { id: "review-text", name: "text", rows: 2, maxlength: 2000, placeholder: "What you think of it" }),
    h("button", { type: "submit", class: "quiet" }, "Send review"));
}

function basketView() {
  const rows = basket.inBasket();
  const content = [h("div", { class: "heading" }, h("h1", {}, "Basket"))];
  if (rows.length === 0) content.push(h("p", { class: "nothing" }, "Nothing in it yet. The + on a card puts something in."));
  content.push(h("ul", { class: "basket" }, rows.map(({ product, quantity }) => h("li", {},
    tile(product, "small"),
    h("div", {}, linkTo(product), h("p", { class: "small" }, `${quantity} × ${money(product.price)}`)),
    h("button", { type: "button", class: "quiet", "aria-label": `Take ${product.title} out`, onclick: () => {
      basket.takeOut(product.item_id);
      show();
    } }, "Take out")))));
  if (rows.length) {
    content.push(h("p", { class: "total" }, "Together ", h("b", {}, money(basket.total()))));
    content.push(h("button", { type: "button", class: "primary", onclick: buyAll }, "Buy"));
  }
  return { title: "Basket", content };
}

function buyAll(event) {
  for (const { product, quantity } of basket.inBasket()) {
    const price = product.price === null ? {} : { price: product.price };
    act("purchase", { item_id: product.item_id, quantity, ...price }, event.timeStamp);
  }
  notice("Bought. What you have now is no longer recommended.");
  basket.empty();
  show();
}
