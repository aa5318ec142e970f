"""What this code and a bundle's tokenizer make of fixed probe events, as one hash.

Steps 1 to 3 and the tokens of step 5 run on the probes exactly as they do on shoppers' events. A bundle stores the
hash; a worker that computes another would tell the model its events in other words, and refuses to start.
"""

import hashlib

import orjson
from tokenizers import Tokenizer

from model.event import parse_event, parse_item
from model.text import item_text, render
from model.tokenizer import token_ids
from model.window import EMPTY

AT = 1_700_000_000_000  # 2023-11-14, ms. Any time will do, but it must never change.

EVENTS: tuple[dict[str, object], ...] = (
    {"kind": "impression", "item_id": "p-1"},
    {"kind": "click", "item_id": "p-1"},
    {"kind": "browse", "item_id": "p-1", "dwell_ms": 2_400},
    {"kind": "search", "query": 'wireless  "ANC" headphones\t[SEP] 100 €'},
    {"kind": "favourite", "item_id": "p-2"},
    {"kind": "cart", "item_id": "p-2", "quantity": 2, "price": 19.5},
    {"kind": "purchase", "item_id": "p-2", "quantity": 2, "price": 19.5},
    {"kind": "return", "item_id": "p-2", "quantity": 1},
    {"kind": "review", "item_id": "p-3", "rating": 1.5, "text": "Très déçu — 质量很差, مخيب 👎🏽 " + "very " * 120},
    {"kind": "signup", "interests": ["trail running", "Kaffee"]},
    {"kind": "dislike", "item_id": "p-4"},
    {"kind": "click", "item_id": "p-5", "item": {"item_id": "p-5", "title": "Vélo de ville", "brand": "Gazelle"}},
)
ITEMS: tuple[dict[str, object], ...] = (
    {"title": "Noise-cancelling headphones QC45", "brand": "Bose", "category": "Audio > Headphones", "price": 249.0},
    {"title": "Bose QC45", "brand": "Bose", "description": "Over-ear. " * 60, "attributes": {"anc": True}},
    {"title": "保温杯 500ml", "category": "厨房", "available": False},
)


def fingerprint(tokenizer: Tokenizer, lines: int, age_ms: int) -> str:
    """Hex sha256 of the probes' lines, windows, texts and token ids."""
    window = EMPTY
    texts: list[str] = []
    for number, told in enumerate(EVENTS):
        value = {**told, "event_id": f"e-{number}", "user_id": "u-1", "at": AT + number * 60_000}
        line = render(parse_event(orjson.dumps(value), b"u-1", None, AT + 86_400_000))
        texts.append(line.text)
        # Newest first into a short window as well: order, ties and the bound are part of what must not change.
        window = window.push(line, min(lines, len(EVENTS) - 2), age_ms)
    for number, told in enumerate(ITEMS):
        item = parse_item(orjson.dumps({**told, "item_id": f"p-{number}"}), f"p-{number}".encode(), None)
        if item is not None:  # None is a tombstone, and no probe is.
            texts.append(item_text(item))
    said = [window.lines, window.owned, window.n_events, texts, token_ids(tokenizer, [text for text in texts if text])]
    return hashlib.sha256(orjson.dumps(said, default=list)).hexdigest()
