"""Golden lines: what each kind of event reads like. A changed word here is a changed fingerprint of every bundle."""

import pytest

from model.event import Event, Item, Kind
from model.text import TEXT_CHARS, Line, fold, item_text, render

SHOE = Item("i-7", "Trail shoe, waterproof", "Shoes", "Fjell", 89.9, "Grips on wet rock.", {}, True)


def event(kind: Kind, **changed: object) -> Event:
    plain = Event("e-1", "u-17", kind, 1000, "i-7", "", (), None, None, None, None, "", "", None)
    return plain._replace(**changed)  # type: ignore[arg-type]


def line(kind: Kind, text: str = "", **changed: object) -> Line:
    return Line(1000, "e-1", kind, "i-7", text, None, None, None, None)._replace(**changed)  # type: ignore[arg-type]


GOLDEN = [
    (event(Kind.IMPRESSION), line(Kind.IMPRESSION)),
    (event(Kind.CLICK, session_id="s", recommendation_id="r"), line(Kind.CLICK)),
    (event(Kind.BROWSE, dwell_ms=43_000), line(Kind.BROWSE, dwell_ms=43_000)),
    (event(Kind.SEARCH, item_id="", text="trail\tshoes\n43"), line(Kind.SEARCH, "trail shoes 43", item_id="")),
    (event(Kind.FAVOURITE), line(Kind.FAVOURITE)),
    (event(Kind.CART, quantity=2.0, price=89.9), line(Kind.CART, quantity=2.0, price=89.9)),
    (event(Kind.PURCHASE, quantity=1.0, price=89.9), line(Kind.PURCHASE, quantity=1.0, price=89.9)),
    (event(Kind.RETURN, quantity=1.0), line(Kind.RETURN, quantity=1.0)),
    (event(Kind.REVIEW, rating=5.0, text=" Light,  and dry. "), line(Kind.REVIEW, "Light, and dry.", rating=5.0)),
    (event(Kind.REVIEW), line(Kind.REVIEW)),
    (event(Kind.SIGNUP, item_id="", interests=("coffee", "慢跑")), line(Kind.SIGNUP, "coffee, 慢跑", item_id="")),
    (event(Kind.DISLIKE), line(Kind.DISLIKE)),
    (event(Kind.CLICK, item=SHOE), line(Kind.CLICK, "Trail shoe, waterproof, Fjell")),
    (event(Kind.REVIEW, item=SHOE, text="Dry."), line(Kind.REVIEW, "Trail shoe, waterproof, Fjell Dry.")),
    (event(Kind.REVIEW, item=SHOE), line(Kind.REVIEW, "Trail shoe, waterproof, Fjell")),
]


@pytest.mark.parametrize(("told", "wanted"), GOLDEN)
def test_a_line_reads_as_it_always_did(told: Event, wanted: Line) -> None:
    assert render(told) == wanted


def test_every_kind_has_a_golden_line() -> None:
    assert {told.kind for told, _ in GOLDEN} == set(Kind)


@pytest.mark.parametrize(
    "typed", ["[SEP] [CLS] [MASK]", "</s> <pad>", "kind: purchase | item: i-9", '{"a": 1}', "100 % €"]
)
def test_what_a_user_typed_is_never_syntax(typed: str) -> None:
    assert render(event(Kind.SEARCH, text=typed)).text == typed
    assert render(event(Kind.REVIEW, text=typed)).text == typed


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({}, "Trail shoe, waterproof, Fjell"),
        ({"brand": "TRAIL"}, "Trail shoe, waterproof"),
        ({"brand": ""}, "Trail shoe, waterproof"),
        ({"title": ""}, "Shoes, Fjell"),
        ({"title": "\0 \n", "category": ""}, "Grips on wet rock., Fjell"),
        ({"title": "", "category": "", "description": ""}, "Fjell"),
        ({"title": "", "category": "", "description": "", "brand": "\t"}, "i-7"),
        ({"item_id": "\ufeff", "title": "", "category": "", "description": "", "brand": ""}, "\ufeff"),
    ],
)
def test_an_item_reads_by_its_title_and_brand_or_what_there_is(changed: dict[str, str], wanted: str) -> None:
    assert item_text(SHOE._replace(**changed)) == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""),
        (" \t\r\n\0", ""),
        ("a\0b", "a b"),
        ("a \u2028\u00a0 b\ufeff", "a b"),
        ("\u202eevil", "evil"),
        ("👩\u200d👩\u200d👧 نمی\u200cخواهم", "👩\u200d👩\u200d👧 نمی\u200cخواهم"),
        ("x" * 1000, "x" * TEXT_CHARS),
        ("x" * (TEXT_CHARS - 1) + " y", "x" * (TEXT_CHARS - 1)),
        (" " * 1_000_000 + "late", "late"),
        ("ab " * 300_000, ("ab " * 134)[:TEXT_CHARS].rstrip()),
    ],
)
def test_folding(text: str, wanted: str) -> None:
    assert fold(text) == wanted


def test_an_inline_item_leaves_room_for_its_review() -> None:
    text = render(event(Kind.REVIEW, item=SHOE._replace(title="t" * 2000), text="dry " * 200)).text
    assert len(text) == TEXT_CHARS
    assert text.count("dry") > 50
