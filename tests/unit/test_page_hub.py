"""The shop page without HTTP and without Kafka: what was sent, what came back, and what a browser is told of it."""

from pathlib import Path

import pytest

from model.event import EventError, Kind
from stream import topics
from stream.page.clock import Clock
from stream.page.hub import ADDED, UnknownProduct
from stream.page.visitors import ACTS, Visitors
from stream.page.words import detail, told
from tests.page import EVENT_ID, YOU, HandMadeHub, line_of, sent
from tests.shop import AT, line

OTHER = "household-7"


@pytest.fixture
def page(tmp_path: Path) -> HandMadeHub:
    return HandMadeHub(tmp_path)


def test_before_the_first_event_a_visitor_sees_what_sells_and_no_model(page: HandMadeHub) -> None:
    listed = page.part("list")
    assert (listed["stage"], listed["model"], listed["version"]) == ("", "", 0)
    assert [item["rank"] for item in listed["items"]] == list(range(1, 11))
    assert page.part("system")["lines"] == []


def test_a_list_names_stage_model_and_the_reason_in_words(page: HandMadeHub) -> None:
    page.hub.act(YOU, sent(1, item_id="red boots"))
    page.answer(["blue boots", "red sandals"], line_of(page, 1))
    listed = page.part("list")
    assert (listed["stage"], listed["model"], listed["n_events"]) == ("cold", page.shop.bundle.model, 1)
    assert [(item["title"], item["category"], item["price"]) for item in listed["items"]] == [
        ("blue boots", "shoes", 2.5), ("red sandals", "shoes", 2.5),
    ]  # fmt: skip
    assert listed["items"][0]["because"] == ["you looked at red boots"]
    assert listed["covers"] == [EVENT_ID % 1]
    assert listed["kafka_ms"] >= 0


def test_reasons_come_from_the_window_where_the_page_was_started_anew(page: HandMadeHub) -> None:
    page.answer(["blue boots"], line("search", "", text="boots for snow"))
    assert page.part("list")["items"][0]["because"] == ["you searched “boots for snow”"]
    assert page.part("list")["kafka_ms"] is None


def test_an_older_list_or_window_changes_nothing(page: HandMadeHub) -> None:
    first, second = line(item_id="red boots"), line(item_id="red jam")
    page.answer(["blue jam"], first, second, offset=5)
    page.answer(["blue boots"], first, offset=4)
    assert [item["item_id"] for item in page.part("list")["items"]] == ["blue jam"]
    assert len(page.part("system")["lines"]) == 2


def test_what_the_system_sees_are_the_lines_newest_first_and_the_vectors_neighbours(page: HandMadeHub) -> None:
    lines = line(item_id="red boots"), line("browse", "red boots", dwell_ms=4200), line("review", "red jam", rating=2.0)
    page.answer(["blue boots"], *lines, offset=7)
    seen = page.part("system")
    assert [(each["kind"], each["detail"]) for each in seen["lines"]] == [
        ("review", "2 of 5 stars"), ("browse", "for 4.2 s"), ("click", ""),
    ]  # fmt: skip
    assert seen["categories"][0]["name"] == "shoes"
    assert all("boots" in each["name"] for each in seen["products"][:5])
    assert seen["products"][0]["cosine"] == max(each["cosine"] for each in seen["products"]) <= 1.0
    assert ("newest offset contained", "events 7") in [tuple(each) for each in seen["versions"]]


def test_another_models_vector_is_not_compared(page: HandMadeHub) -> None:
    page.came(topics.INTERESTS, YOU, b'{"version": 1, "model": "another-1", "dim": 2, "vector": [0.6, 0.8]}')
    seen = page.part("system")
    assert seen["vector"] == {"dim": 2, "model": "another-1", "comparable": False}
    assert seen["categories"] == seen["products"] == []


def test_an_unanswered_event_makes_the_worker_late_until_a_window_contains_it(page: HandMadeHub) -> None:
    page.hub.act(YOU, sent(1, item_id="red boots"))
    act = page.hub.visitor(YOU).acts[EVENT_ID % 1]
    assert not page.part("standing")["late"]
    act.sent_ms -= 60_000
    standing = page.part("standing")
    assert (standing["late"], standing["waiting"], standing["waiting_s"]) == (True, 1, 60)
    page.answer([], act.line, listed=False)  # No other list: only the window tells.
    assert page.part("standing")["waiting"] == 0
    assert page.part("system")["taken_in"] == [EVENT_ID % 1]


def test_an_event_that_has_left_the_window_was_taken_in_all_the_same(page: HandMadeHub) -> None:
    for number in (1, 2):
        page.hub.act(YOU, sent(number, item_id="red boots"))
        page.hub.visitor(YOU).acts[EVENT_ID % number].offset = number
    page.answer(["blue boots"], line_of(page, 2), offset=2)
    assert page.part("system")["taken_in"] == [EVENT_ID % 1, EVENT_ID % 2]
    assert page.part("list")["covers"] == [EVENT_ID % 1, EVENT_ID % 2]


def test_a_rejected_event_is_told_with_its_reason_and_waits_no_longer(page: HandMadeHub) -> None:
    page.hub.act(YOU, sent(1, item_id="red boots"))
    act = page.hub.visitor(YOU).acts[EVENT_ID % 1]
    act.offset, act.sent_ms = 9, act.sent_ms - 60_000
    headers = {"reason": b"field_invalid", "detail": b"at is 5", "topic": b"events", "offset": b"9"}
    page.came(topics.REJECTED, YOU, b"{}", headers=list(headers.items()))
    standing = page.part("standing")
    assert standing["refused"] == [{"event_id": EVENT_ID % 1, "why": "field_invalid: at is 5"}]
    assert not standing["late"]


def test_where_kafka_was_emptied_all_that_came_of_it_is_forgotten_and_the_visitor_goes_on(page: HandMadeHub) -> None:
    for number in (1, 2):
        page.hub.act(YOU, sent(number, item_id="red boots"))
    page.hub.visitor(YOU).acts[EVENT_ID % 1].offset = 70
    page.answer(["blue boots"], line_of(page, 1), offset=70)
    woken: list[str] = []
    with page.hub.listening(YOU, lambda: woken.append("you")):
        page.hub._forget()
    assert woken
    assert page.part("list")["version"] == 0
    assert (page.part("system")["lines"], page.part("system")["vector"]) == ([], None)
    assert not page.part("standing")["ready"], "nothing is on the shelf"
    assert list(page.hub.visitor(YOU).acts) == [EVENT_ID % 2], "what Kafka has not had yet is still to come"
    page.put(*page.shop.themes)
    page.answer(["red jam"], line_of(page, 2), offset=0)
    assert [item["item_id"] for item in page.part("list")["items"]] == ["red jam"]


def test_the_same_event_id_again_is_sent_once(page: HandMadeHub) -> None:
    page.hub.act(YOU, sent(1, item_id="red boots"))
    page.hub.act(YOU, sent(1, item_id="red boots"))
    assert len(page.hub.visitor(YOU).acts) == 1


def test_what_is_no_event_or_about_no_product_is_refused(page: HandMadeHub) -> None:
    with pytest.raises(UnknownProduct):
        page.hub.act(YOU, sent(1, item_id="no such thing"))
    with pytest.raises(EventError, match="rating"):
        page.hub.act(YOU, sent(1, "review", item_id="red boots", rating=11))
    assert not page.hub.visitor(YOU).acts


def test_a_new_product_tells_when_it_stands_and_whose_lists_have_it(page: HandMadeHub) -> None:
    item_id = page.hub.add({"title": "green boots <i>new</i>", "category": "shoes", "price": 9.5})
    assert page.part("added")[0]["shelf_ms"] is None
    page.put(item_id, title="green boots <i>new</i>")
    page.answer(["red boots", item_id], line(item_id="red boots"), user_id=OTHER)
    page.answer([item_id], line(item_id="red boots"))
    (added,) = page.part("added")
    assert added["title"] == "green boots <i>new</i>"
    assert added["shelf_ms"] >= 0
    assert [(each["user"], each["you"], each["rank"]) for each in added["lists"]] == [(YOU, True, 1), (OTHER, False, 2)]
    page.answer(["red boots"], line(item_id="red boots"), user_id=OTHER, offset=1)
    assert [each["user"] for each in page.part("added")[0]["lists"]] == [YOU]


def test_whoever_looks_on_is_woken_by_what_concerns_them_alone(page: HandMadeHub) -> None:
    woken: list[str] = []
    with page.hub.listening(YOU, lambda: woken.append("you")), page.hub.listening(OTHER, lambda: woken.append("other")):
        page.answer(["blue boots"], line(item_id="red boots"))
        assert set(woken) == {"you"}
        woken.clear()
        page.hub.add({"title": "something"})
        assert sorted(woken) == ["other", "you"]
    woken.clear()
    page.answer(["red jam"], line(item_id="red jam"), offset=1)
    assert not woken


def test_memory_is_bounded_whatever_is_done(page: HandMadeHub) -> None:
    for number in range(ACTS + 20):
        page.hub.act(YOU, sent(number, item_id="red boots"))
    assert len(page.hub.visitor(YOU).acts) == ACTS
    for number in range(ADDED + 5):
        page.hub.add({"title": f"product {number}"})
    assert len(page.part("added")) == ADDED
    assert page.part("added")[0]["title"] == f"product {ADDED + 4}"
    few = Visitors("events", most=2)
    first = few.get("a")
    few.get("b")
    assert few.get("a") is first
    few.get("c")
    assert few.get("a") is first
    assert few.get("b") is not first


def test_the_shelf_is_searched_by_beginnings_of_words_title_first(page: HandMadeHub) -> None:
    find = page.hub.products.find
    assert {item.title for item in find("boot").products} == {
        f"{c} boots" for c in ("red", "blue", "green", "black", "white")
    }
    assert [item.title for item in find("RED boots").products] == ["red boots"]
    assert find("shoes").total == 30  # By their category.
    assert find("zebra").total == find("!?").total == 0
    assert find("red zebra").total == 24  # No product has both words.
    assert find(category="music", first=28, most=24).total == 30
    assert len(find(category="music", first=28, most=24).products) == 2
    assert sorted(page.hub.products.categories()) == [("food", 30), ("garden", 30), ("music", 30), ("shoes", 30)]


def test_the_shops_clock_goes_on_with_the_log_and_never_back() -> None:
    today = Clock(None)
    assert today.next(5_000.4) == 5_000
    assert today.next(5_000.4) == 5_001
    replaying = Clock(AT)
    assert replaying.next(9_000_000_000_000.0) == AT
    replaying.heard(AT + 60_000, 9_000_000_001_000.0)
    replaying.heard(AT + 10_000, 9_000_000_002_000.0)  # An older event of another user.
    assert replaying.next(9_000_000_004_000.0) == AT + 63_000


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_its_words(kind: Kind) -> None:
    words = told(line(kind, "i", text="typed"), "Red boots")
    assert words.startswith("you ")
    assert ("Red boots" in words) != ("typed" in words)


def test_long_texts_are_cut_where_they_are_quoted() -> None:
    review = line("review", "i", text="good " * 100, rating=4.5)
    assert len(detail(review)) < 90
    assert detail(review).startswith("4.5 of 5 stars, “good good")
