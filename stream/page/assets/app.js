// Joins the parts of the page.
import { act, forget } from "./acts.js";
import { takeAdded, wireForm } from "./added.js";
import { post, settled } from "./api.js";
import * as basket from "./basket.js";
import { byId, href, notice } from "./dom.js";
import { forgetList, takeList } from "./list.js";
import { follow } from "./live.js";
import { leave, loadCategories, show } from "./shop.js";
import { takeConnected, takeStanding } from "./standing.js";
import { takeSystem } from "./system.js";

let ready = false;

async function shelfChanged(standing) {
  if (standing.ready === ready) return;
  ready = standing.ready;
  if (!ready) return; // What is shown stays: the server may have been started anew, and reads.
  await loadCategories().catch(() => (ready = null)); // Tried again at the next word.
  if (!location.hash.startsWith("#/product/")) show(); // A product stays open: its time is being measured.
}

const parts = {
  list: takeList,
  system: takeSystem,
  added: takeAdded,
  standing: (standing) => {
    takeStanding(standing);
    shelfChanged(standing);
  },
};

function wireTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const choose = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
  };
  tabs.forEach((tab, number) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = { Home: tabs[0], End: tabs.at(-1) }[event.key] ?? (step && tabs.at((number + step) % tabs.length));
      if (!next) return;
      event.preventDefault();
      next.focus();
      choose(next);
    });
  });
}

function wireSearch() {
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = byId("words").value.trim();
    if (!words) return;
    act("search", { query: words }, event.timeStamp);
    location.hash = href("search", words);
  });
}

function wireVisitor() {
  byId("new-visitor").addEventListener("click", async () => {
    leave();
    await settled(); // What the visitor before did last must not count for the new one.
    try {
      await post("/api/visitor", {});
    } catch (error) {
      notice(`The same visitor still: ${error.message}`);
      return;
    }
    forget();
    forgetList();
    basket.empty();
    follow(parts, takeConnected);
    location.hash = "#/";
    show();
    notice("You are somebody new now. Nobody knows what you like.");
  });
}

function wireBasket() {
  const draw = () => {
    byId("basket-count").textContent = String(basket.count());
    byId("basket-count").classList.toggle("some", basket.count() > 0);
  };
  basket.onBasket(draw);
  draw();
}

/** Links within the page, such as that to the list, are not addresses of the shop. */
function wireAnchors() {
  for (const link of document.querySelectorAll('a[href="#beside"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      byId("beside").focus({ preventScroll: true });
      byId("beside").scrollIntoView({ behavior: "smooth" });
    });
  }
}

wireTabs();
wireSearch();
wireVisitor();
wireBasket();
wireForm();
wireAnchors();
addEventListener("hashchange", show);
addEventListener("pagehide", leave);
loadCategories().catch(() => {}).finally(show);
follow(parts, takeConnected);
