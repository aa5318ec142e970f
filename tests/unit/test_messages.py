"""Step 9: what goes out, to bytes. Frozen bytes are in tests/contract/test_golden_messages.py."""

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.catalogue import Shelved
from model.event import TEXT_FIELD_CHARS, EventError, Kind, Reason
from model.text import TEXT_CHARS, Line
from model.window import EMPTY, OWNED, Window
from stream.messages import (
    Record,
    Shelf,
    Touched,
    Trigger,
    catalogue_record,
    interest,
    read_catalogue_record,
    read_counts_record,
    read_window_record,
    rec_id_of,
    recommendation,
    rejected,
    text_hash,
    version_of,
    window_record,
)
from stream.recommender import Advice, RankedItem
from stream.topics import REJECTED
from tests.property.strategies import lines
from tests.records import NOW_MS

ORIGIN = ("clicks", 3, 12_345)


def test_a_version_counts_every_event_of_every_topic() -> None:
    assert version_of({}) == 0
    assert version_of({"clicks": 0}) == 1
    assert version_of({"clicks": 4, "reviews": 0}) == 6


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 1 << 40)), st.sampled_from(["a", "b", "c"]))
def test_a_version_grows_with_each_further_event(offsets: dict[str, int], topic: str) -> None:
    assert version_of({**offsets, topic: offsets.get(topic, -1) + 1}) > version_of(offsets)


def test_rec_ids_differ_by_model_user_and_version_and_by_nothing_else() -> None:
    ids = {rec_id_of(m, u, v) for m in ("m", "m1") for u in ("u", "1u") for v in (1, 11)}
    assert len(ids) == 8
    assert rec_id_of("m", "u", 1) == rec_id_of("m", "u", 1)


def test_a_user_about_whom_nothing_is_known_has_a_vector_of_zeros_without_signs() -> None:
    value = interest("m", "u", Window((line(),), (), 1), 1, Advice("fallback", (), np.zeros(3, np.float32)))
    assert b"[0.0,0.0,0.0]" in value


def line() -> Line:
    return Line(NOW_MS, "e", Kind.CLICK, "i", "", None, None, None, None)


@given(lines(), st.dictionaries(st.text(), st.integers(0, 1 << 40)))
def test_a_window_record_is_read_as_it_was_written(pushed: list[Line], offsets: dict[str, int]) -> None:
    window = EMPTY
    for one in pushed:
        window = window.push(one, 5, 20)
    assert read_window_record(window_record("u", window, offsets, NOW_MS)) == ("u", window, offsets, NOW_MS, None)
    owed = Trigger("e", "clicks", 1, 2)
    assert read_window_record(window_record("u", window, offsets, NOW_MS, owed))[-1] == owed


@pytest.mark.parametrize("read", [read_window_record, read_catalogue_record])
def test_a_record_of_a_later_form_is_refused_with_the_remedy(read: object) -> None:
    with pytest.raises(ValueError, match=r"form 99.*upgrade the worker"):
        read(orjson.dumps({"v": 99}))  # type: ignore[operator]


def test_counts_may_be_of_kinds_that_this_version_does_not_know() -> None:
    assert read_counts_record(b'{"hover":[2,1700000000000]}') == Touched({"hover": (2.0, 1_700_000_000_000)})


def test_texts_that_look_alike_have_other_hashes() -> None:
    assert len({text_hash(text) for text in ("Shoe", "shoe", "Shoe ", "")}) == 4


# Sizes: what Kafka takes of a record unless told otherwise is 1 MiB. A larger output could never be committed.

WIDE = '"' * 256  # An id at its longest, each of its bytes two in JSON.
KAFKA_BYTES = 1_000_000


def test_a_window_of_300_lines_fits_whatever_its_user_does() -> None:
    worst = Line(10**12, WIDE, Kind.IMPRESSION, WIDE, "😀" * TEXT_CHARS, 86_400_000, 5.0, 1e9 / 7, 1e6 / 7)
    window = Window((worst,) * 300, ((10**12, WIDE),) * OWNED, 10**9)
    assert len(window_record(WIDE, window, {"t" * 249: 2**62}, 10**12)) < KAFKA_BYTES


def test_a_list_of_100_items_fits() -> None:
    items = tuple(RankedItem(WIDE, rank, 0.123456, ((WIDE, 0.123456),) * 3) for rank in range(100))
    advice = Advice("fallback", items, np.ones(1024, np.float32))
    window = Window((line(),), (), 1)
    assert len(recommendation("m" * 200, WIDE, window, 2**62, Trigger(WIDE, "t" * 249, 1, 1), advice)) < KAFKA_BYTES


def test_an_item_with_the_longest_fields_fits() -> None:
    long = "\x01" * TEXT_FIELD_CHARS  # Each six bytes in JSON.
    counts = {kind.value: (1e9 / 7, 10**12) for kind in Kind}
    item = Shelved(WIDE, long, long, long, 1e9, True, np.ones(1024, np.float16), counts)
    assert len(catalogue_record(Shelf(item, "h" * 32, {"t" * 249: 2**62}))) < KAFKA_BYTES


# Rejections


def test_a_rejection_carries_the_original_and_says_where_it_stands_and_why() -> None:
    error = EventError(Reason.NOT_JSON, "not JSON: ü")
    record = rejected(b"\xff", b"{", ORIGIN, NOW_MS, error, 100_000)
    assert record[:4] == (REJECTED, -1, b"\xff", b"{")
    assert dict(record.headers) == {
        "reason": b"not_json",
        "detail": "not JSON: ü".encode(),
        "topic": b"clicks",
        "partition": b"3",
        "offset": b"12345",
        "at": str(NOW_MS).encode(),
    }


def test_no_key_stays_no_key_and_a_tombstone_a_tombstone() -> None:
    record = rejected(None, None, ORIGIN, NOW_MS, EventError(Reason.TOMBSTONE, ""), 100_000)
    assert (record.key, record.value) == (None, None)


def test_what_does_not_fit_is_cut_and_its_length_told() -> None:
    record = rejected(b"k" * 9_000, b"v" * 9_000, ORIGIN, NOW_MS, EventError(Reason.TOO_LARGE, "long"), 10_000)
    headers = dict(record.headers)
    assert (headers["key_bytes"], headers["value_bytes"]) == (b"9000", b"9000")
    assert len(record.key or b"") + len(record.value or b"") > 9_000, "no more is cut than must be"


def varint(number: int) -> int:
    """Bytes of a zigzag varint (KIP-98)."""
    return max((2 * number).bit_length() + 6, 7) // 7


def wire_bytes(record: Record) -> int:
    """What the record takes in a batch of its own, by the format of KIP-98, times and offsets at their longest."""
    size = 1 + 10 + 5 + varint(len(record.headers))
    for part in (record.key, record.value):
        size += varint(len(part or b"")) + len(part or b"")
    for name, text in record.headers:
        size += varint(len(name)) + len(name) + varint(len(text or b"")) + len(text or b"")
    return 61 + varint(size) + size


@given(
    key=st.none() | st.integers(0, 200_000),
    value=st.none() | st.integers(0, 3_000_000),
    detail=st.text(max_size=200).map(lambda text: text * 5),
    most_bytes=st.integers(2_048, 3_000_000),
    topic=st.integers(1, 249),
)
def test_a_rejection_never_exceeds_what_its_topic_takes(
    key: int | None, value: int | None, detail: str, most_bytes: int, topic: int
) -> None:
    record = rejected(
        None if key is None else b"k" * key,
        None if value is None else b"v" * value,
        ("t" * topic, 2**31 - 1, 2**63 - 1),
        2**63 - 1,
        EventError(Reason.TOO_LARGE, detail),
        most_bytes,
    )
    assert wire_bytes(record) <= most_bytes
    assert (record.key is None, record.value is None) == (key is None, value is None)


def test_a_topic_smaller_than_a_rejections_headers_gets_those_alone() -> None:
    record = rejected(b"k" * 900, b"v" * 900, ORIGIN, NOW_MS, EventError(Reason.TOO_LARGE, "d" * 500), 100)
    assert (record.key, record.value) == (b"", b"")
