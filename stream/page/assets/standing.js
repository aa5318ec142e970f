// How things stand: whether the server, Kafka and the worker answer, said in words, and also when they are back.
import { unanswered } from "./acts.js";
import { byId, notice } from "./dom.js";

const BACK_MS = 6000;
let connected = true;
let newest = null;
let away = ""; // What was wrong last.
let fade = 0;
const told = new Set(); // Refusals already said.

export function takeConnected(now) {
  connected = now;
  draw();
}

export function takeStanding(standing) {
  newest = standing;
  for (const refusal of standing.refused.filter((each) => !told.has(each.event_id))) {
    told.add(refusal.event_id);
    notice(`Refused: ${refusal.why}`);
  }
  draw();
}

function wrong() {
  if (!connected) return "The page's server does not answer. It is asked again every second; what you do is kept.";
  if (!newest) return "";
  const waits = newest.waiting ? ` ${newest.waiting} of your events ${newest.waiting === 1 ? "waits" : "wait"}.` : "";
  const none = newest.no_worker_in && `no worker is in the group ${newest.no_worker_in}`;
  if (!newest.kafka) return `Kafka does not answer.${waits} What you do is kept, and sent when it is back.`;
  if (newest.trouble) return `Kafka says: ${newest.trouble}. Trying again.`;
  if (!newest.read) return "The topics are being read. What you do is kept.";
  if (!newest.ready) return `The shelf is empty, and ${none || "the worker has not filled it yet"}.`;
  if (none) return `Nobody makes lists: ${none}.${waits} Nothing is lost: what you do stands in Kafka.`;
  if (newest.late) {
    return `The worker has not answered for ${newest.waiting_s} s.${waits} Nothing is lost: they stand in Kafka.`;
  }
  return "";
}

/** The list is older than what was done last. The server counts what waits for longer than it should. */
function older() {
  return connected ? newest?.waiting > 0 : unanswered();
}

function draw() {
  const place = byId("standing");
  const now = wrong();
  byId("older").hidden = !older();
  clearTimeout(fade);
  if (now) {
    place.dataset.state = "away";
    place.textContent = now;
  } else if (away) {
    place.dataset.state = "back";
    place.textContent = "All is back, and your list is up to date.";
    fade = setTimeout(() => (place.hidden = true), BACK_MS);
  } else if (place.dataset.state !== "back") {
    place.hidden = true;
  }
  if (now || away) place.hidden = false;
  away = now;
}
