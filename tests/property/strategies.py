"""What the property tests draw from: good events and items, spoiled ones, lines of one user."""

from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from model.event import Kind
from model.text import Line

AT_MS = 1_764_041_590_000

ids = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=60)
"""Good ids in any script; 60 characters are at most 240 bytes."""
texts = st.text(st.characters(codec="utf-8"), max_size=60)
solid_texts = texts.filter(str.strip)

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=12,
)
ODD: list[Any] = [None, True, False, 0, -1, 1, 5, 5.5, 1e18, 2**63, 2**64 - 1, 0.5, [], {}, [1], {"a": 1}]
ODD += ["", " ", "\0", " a", "a\n", "x" * 10_000, "click", "view_item", "1764041590000"]
ODD += [1_764_041_590, 1_764_041_590_000_000, 4_102_444_800_001, 946_684_799_999]
odd_values = st.sampled_from(ODD)


def optional(**fields: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return {name: st.none() | strategy for name, strategy in fields.items()}


def _items(item_id: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"title": solid_texts},
        optional=optional(
            item_id=item_id,
            category=texts,
            brand=texts,
            description=texts,
            price=st.floats(0, 1e9) | st.integers(0, 10**9),
            available=st.booleans(),
            attributes=st.dictionaries(
                st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
                texts | st.booleans() | st.none() | st.floats(-1e15, 1e15) | st.integers(-(10**15), 10**15),
                max_size=3,
            ),
        ),
    )


items = _items(st.just("i-7"))

times = st.integers(946_684_800_000, AT_MS) | st.datetimes(
    min_value=datetime(2000, 1, 2), max_value=datetime(2025, 1, 1)
).map(lambda at: at.isoformat() + "Z")


@st.composite
def events(draw: st.DrawFn, kinds: st.SearchStrategy[Kind] = st.sampled_from(Kind)) -> dict[str, Any]:  # noqa: B008
    """A good event of any kind, as its producer's dict."""
    kind = draw(kinds)
    fields: dict[str, Any] = {
        "event_id": draw(ids),
        "user_id": draw(ids),
        "kind": kind.value,
        "at": draw(times),
        **draw(
            st.fixed_dictionaries(
                {},
                optional=optional(
                    dwell_ms=st.integers(0, 86_400_000),
                    rating=st.integers(1, 5) | st.floats(1, 5),
                    price=st.floats(0, 1e9),
                    quantity=st.floats(0, 1e6, exclude_min=True) | st.integers(1, 10**6),
                    session_id=ids | st.just(""),
                    recommendation_id=ids,
                    something_else=json_values,
                ),
            )
        ),
    }
    if kind is Kind.SEARCH:
        fields["query"] = draw(solid_texts)
    elif kind is Kind.SIGNUP:
        fields["interests"] = draw(st.lists(solid_texts, min_size=1, max_size=5))
    else:
        fields["item_id"] = "i-7"
        if draw(st.booleans()):
            fields["item"] = draw(items)
        if kind is Kind.REVIEW and draw(st.booleans()):
            fields["text"] = draw(texts)
    return fields


@st.composite
def _spoiled(draw: st.DrawFn, good: st.SearchStrategy[dict[str, Any]], more: tuple[str, ...]) -> dict[str, Any]:
    fields = dict(draw(good))
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted({*fields, *more})))
        if draw(st.booleans()):
            fields.pop(name, None)
        else:
            fields[name] = draw(odd_values | json_values)
    return fields


def mutated_events() -> st.SearchStrategy[dict[str, Any]]:
    """Good events of which up to three fields are taken away or replaced by something odd."""
    return _spoiled(events(), ("type", "event_name", "query", "search_term", "text", "interests", "item", "item_id"))


def mutated_items() -> st.SearchStrategy[dict[str, Any]]:
    """The same for items."""
    return _spoiled(items, ("item_id", "title", "category", "brand", "description", "attributes", "available", "price"))


def lines(count: int = 12) -> st.SearchStrategy[list[Line]]:
    """Lines of one user with distinct event ids, crowded in time so that ties and the age limit are met."""
    one = st.builds(
        Line,
        at_ms=st.integers(0, 30),
        event_id=st.sampled_from([f"e{n}" for n in range(count * 2)]),
        kind=st.sampled_from(Kind),
        item_id=st.sampled_from(["", "a", "b", "c", "d"]),
        text=st.sampled_from(["", "blue"]),
        dwell_ms=st.none(),
        rating=st.none() | st.integers(1, 5).map(float),
        price=st.none(),
        quantity=st.none(),
    )
    return st.lists(one, max_size=count, unique_by=lambda line: line.event_id)
