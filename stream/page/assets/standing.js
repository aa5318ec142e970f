// How things stand: whether the server, Kafka and the worker answer, said in words, and also when they are back.
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
  if (!newest.kafka) return `Kafka does not answer.${waits} What you do is kept, and sent when it is back.`;
  if (newest.trouble) return `Kafka says: ${newest.trouble}. Trying again.`;
  if (!newest.ready) return "The shelf is empty: the topics are being read, or the worker has not filled it yet.";
  if (newest.late) {
    return `The worker has not answered for ${newest.waiting_s} s.${waits} Nothing is lost: they stand in Kafka.`;
  }
  return "";
}

function draw() {
  const place = byId("standing");
  const now = wrong();
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
