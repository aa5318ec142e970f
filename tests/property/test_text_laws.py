"""Laws of step 2: texts are bounded, folded, and never empty where the encoder must read something."""

import unicodedata
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from model.event import Item, parse_event
from model.text import TEXT_CHARS, fold, item_text, render
from tests.property.strategies import AT_MS, events

wild = st.text(st.characters(codec="utf-8") | st.sampled_from(" \t\n\0\x1f\u2028\u00a0\ufeff\u202e[]"), max_size=900)


@given(wild, st.integers(1, 500))
def test_a_folded_text_is_short_single_spaced_and_folding_it_again_changes_nothing(text: str, chars: int) -> None:
    folded = fold(text, chars)
    assert len(folded) <= chars
    assert fold(folded, chars) == folded
    assert folded == folded.strip()
    assert "  " not in folded
    assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in folded)


@given(wild)
def test_folding_loses_no_visible_character_but_by_the_cap(text: str) -> None:
    folded = fold(text)
    assert visible(text).startswith(visible(folded))
    assert len(folded) >= TEXT_CHARS - 1 or visible(text) == visible(folded)


def visible(text: str) -> str:
    turning = "\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) != "Cc" and c not in turning)


@given(st.text(min_size=1, max_size=60), wild, wild, wild, wild)
def test_an_item_has_a_text_whatever_it_is_called(
    item_id: str, title: str, category: str, brand: str, description: str
) -> None:
    text = item_text(Item(item_id, title, category, brand, None, description, {}, True))
    assert 0 < len(text) <= TEXT_CHARS


@given(events())
def test_a_line_carries_its_event(fields: dict[str, Any]) -> None:
    event = parse_event(orjson.dumps(fields), fields["user_id"].encode(), None, AT_MS)
    line = render(event)
    for name in ("at_ms", "event_id", "kind", "item_id", "dwell_ms", "rating", "price", "quantity"):
        assert getattr(line, name) == getattr(event, name)
    assert fold(line.text) == line.text
