// What the visitor does, from the click to the list that answers it, timed in the browser.
import { send } from "./api.js";
import { notice } from "./dom.js";

const UNCHANGED_MS = 400; // A window without a list after so long: the list stays as it was.

const pending = new Map(); // Event id -> when the click was made (performance.now()).
const listeners = [];

/** Called with (milliseconds, whether the list changed) whenever something was answered. */
export const onAnswer = (listener) => listeners.push(listener);

const answered = (ms, changed) => listeners.forEach((listener) => listener(ms, changed));

/** Sends an event of this kind; `at` is the click's own timeStamp. */
export async function act(kind, fields, at = performance.now()) {
  const event_id = crypto.randomUUID();
  pending.set(event_id, at);
  try {
    await send({ event_id, kind, ...fields });
  } catch (error) {
    pending.delete(event_id);
    notice(`Not taken: ${error.message}`);
  }
}

/** Whether something was done that no list or window is known to contain. */
export const unanswered = () => pending.size > 0;

/** Forgets what was done: it was somebody else. */
export const forget = () => pending.clear();

/** A list is in the page and covers these events: the time counts until the browser has painted it. */
export function listed(covers) {
  const starts = covers.filter((id) => pending.has(id)).map((id) => [id, pending.get(id)]);
  if (starts.length === 0) return;
  starts.forEach(([id]) => pending.delete(id));
  const newest = Math.max(...starts.map(([, at]) => at));
  const told = () => answered(performance.now() - newest, true);
  if (document.hidden) told();
  else requestAnimationFrame(() => setTimeout(told)); // The frame is painted between the two.
}

/** A window contains these events. Where no list follows, none has changed. */
export function takenIn(ids) {
  const now = performance.now();
  for (const id of ids.filter((each) => pending.has(each))) {
    setTimeout(() => {
      if (!pending.has(id)) return;
      answered(now - pending.get(id), false);
      pending.delete(id);
    }, UNCHANGED_MS);
  }
}

/** How long somebody has looked at something; hours in a hidden tab are not looking. */
export class Dwell {
  constructor() {
    this.seen_ms = 0;
    this.since = document.hidden ? null : performance.now();
    this.turned = () => this.turn();
    document.addEventListener("visibilitychange", this.turned);
  }

  turn() {
    if (document.hidden && this.since !== null) {
      this.seen_ms += performance.now() - this.since;
      this.since = null;
    } else if (!document.hidden && this.since === null) {
      this.since = performance.now();
    }
  }

  get ms() {
    return Math.round(this.seen_ms + (this.since === null ? 0 : performance.now() - this.since));
  }

  end() {
    document.removeEventListener("visibilitychange", this.turned);
    return this.ms;
  }
}
