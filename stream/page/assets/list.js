// The list for you: every item with its reason, what moved, and how long it took.
import { act, listed, onAnswer } from "./acts.js";
import { byId, h, money, notice } from "./dom.js";
import { linkTo } from "./shop.js";
import { tile } from "./tiles.js";

const STAGES = {
  "": ["no events yet", "What sells. Your first click changes it."],
  fallback: ["fallback", "Nothing wanted is known: what sells"],
  cold: ["cold", "Fewer than five events"],
  warm: ["warm", "The newest events count most"],
};
const MOVE_MS = 350;
let before = new Map(); // Item -> rank in the list before.
let rows = new Map(); // Item -> its element.
let version = null;

/** Forgets the list: it was somebody else's. */
export function forgetList() {
  before = new Map();
  version = null;
  byId("latency").hidden = true;
  byId("peek-ms").textContent = "";
}

export function takeList(list) {
  const [name, told] = STAGES[list.stage] ?? [list.stage, ""];
  byId("stage").textContent = name;
  byId("stage").dataset.stage = list.stage || "none";
  byId("stage-told").textContent = told;
  byId("model").textContent = list.model ? `model ${list.model} · list ${list.version}` : "no model yet: the page itself orders this by sales";
  const fresh = version !== null && list.version !== version;
  draw(list, fresh);
  byId("peek-told").textContent = list.items[0]?.title ?? "";
  if (fresh) announce(list, name);
  version = list.version;
  byId("latency-told").dataset.kafka = list.kafka_ms === null ? "" : Math.round(list.kafka_ms);
  listed(list.covers);
}

function draw(list, fresh) {
  const tops = new Map([...rows].map(([id, row]) => [id, row.getBoundingClientRect().top]));
  const focused = document.activeElement?.closest?.("#list li")?.dataset.item;
  const made = new Map(list.items.map((item) => [item.item_id, rowOf(item, list, fresh)]));
  byId("list").replaceChildren(...made.values());
  if (focused && made.has(focused)) made.get(focused).querySelector("a").focus({ preventScroll: true });
  if (fresh && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
    for (const [id, row] of made) {
      const moved = tops.has(id) ? tops.get(id) - row.getBoundingClientRect().top : 0;
      const from = tops.has(id) ? { transform: `translateY(${moved}px)` } : { opacity: 0, transform: "translateX(12px)" };
      row.animate([from, { opacity: 1, transform: "none" }], { duration: MOVE_MS, easing: "cubic-bezier(.2, .8, .2, 1)" });
    }
  }
  rows = made;
  before = new Map(list.items.map((item) => [item.item_id, item.rank]));
}

function rowOf(item, list, fresh) {
  const was = before.get(item.item_id);
  const because = item.because.length ? `because ${item.because.slice(0, 2).join(", and ")}` : list.stage ? "what sells" : "";
  const more = list.rec_id ? { recommendation_id: list.rec_id } : {};
  return h("li", { "data-item": item.item_id },
    h("span", { class: "rank" }, String(item.rank)),
    tile(item, "small"),
    h("div", { class: "about" }, h("span", { class: "title" }, linkTo(item, more)),
      because ? h("span", { class: "because", title: because }, because) : null),
    h("span", { class: "end" }, fresh ? moved(item.rank, was) : null, h("span", { class: "price" }, money(item.price))),
    list.stage ? h("button", { type: "button", class: "dismiss", "aria-label": `${item.title}: not for me`, onclick: (event) => {
      act("dislike", { item_id: item.item_id, ...more }, event.timeStamp);
      notice(`${item.title}: will not be shown to you again`);
    } }, "×") : null);
}

function moved(rank, was) {
  if (was === undefined) return h("span", { class: "moved new" }, "new");
  if (was === rank) return null;
  const up = was > rank;
  return h("span", { class: up ? "moved up" : "moved down" }, h("span", { "aria-hidden": "true" }, up ? "↑" : "↓"),
    h("span", { class: "hidden" }, up ? "up " : "down "), String(Math.abs(was - rank)));
}

function announce(list, stage) {
  const first = list.items.slice(0, 3).map((item) => item.title).join("; ");
  byId("announce").textContent = `The list for you has changed, ${stage}: ${first}`;
}

onAnswer((ms, changed) => {
  const figure = Math.round(ms).toLocaleString("en");
  const told = byId("latency-told");
  byId("latency").hidden = false;
  byId("latency-ms").textContent = figure;
  const kafka = told.dataset.kafka ? `, ${told.dataset.kafka} in Kafka and worker` : "";
  told.textContent = changed ? `click to list${kafka}` : "the list stays as it is";
  byId("peek-ms").textContent = `${figure} ms`;
});
