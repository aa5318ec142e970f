"""A log of any form becomes columns: what is kept, in which order, and what is told of the rest."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from model.event import Kind, parse_event
from model.text import render
from model.training.logs.columns import Log, read_log
from model.training.logs.files import LINE_BYTES, File, LogError
from tests.logs import log_of
from tests.shop import AT


def written(path: Path, *rows: dict[str, Any] | bytes) -> Path:
    path.write_bytes(b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + b"\n" for row in rows))
    return path


def click(number: int, **told: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "user_id": "u", "kind": "click", "item_id": "a", "at": AT + number} | told


def test_a_line_is_what_the_stream_renders_of_the_event() -> None:
    events = [
        click(1, kind="browse", dwell_ms=1234),
        click(2, kind="review", rating=4, text="so  so", item={"title": "Boots", "brand": "Ox"}),
        click(3, kind="search", item_id=None, query="x\ty"),
        click(4, kind="return", price=12.5, quantity=3),
    ]
    log = log_of(events)
    for row, event in enumerate(events):
        expected = render(parse_event(orjson.dumps(event), b"u", None, 0))
        assert log.line(row) == expected._replace(event_id=f"{row:012d}")


def test_rows_are_in_time_order_and_those_of_one_time_in_the_files() -> None:
    log = log_of([click(5), click(3, item_id="c"), click(3, item_id="b", event_id="x"), click(1)])
    assert (log.at_ms - AT).tolist() == [1, 3, 3, 5]
    assert [log.line(row).item_id for row in range(4)] == ["a", "c", "b", "a"]
    ids = [log.line(row).event_id for row in range(4)]
    assert ids == sorted(ids)


def test_what_is_rejected_is_counted_by_reason_with_the_first_line_of_each(tmp_path: Path) -> None:
    path = written(
        tmp_path / "log.jsonl",
        click(1),
        b"not JSON",
        click(2, kind="stare"),
        b"",
        click(3, kind="gaze"),
        click(4, at=5),
        b"[]",
        click(5, user_id=None),
    )
    log = read_log([path])
    assert len(log) == 1
    assert log.rejected == {"not_json": 1, "kind_unknown": 2, "time_past": 1, "not_an_object": 1, "field_missing": 1}
    assert log.faults["kind_unknown"].startswith("log.jsonl:3: kind is 'stare'")
    assert log.faults["field_missing"] == "log.jsonl:8: user_id is missing"


def test_an_event_that_was_sent_again_counts_once_and_the_first_stays() -> None:
    log = log_of([click(1), click(1, item_id="b"), click(1, user_id="v"), click(2)])
    assert log.rejected == {"repeated": 1}
    assert [(log.users[log.user[row]], log.line(row).item_id) for row in range(3)] == [
        ("u", "a"),
        ("v", "a"),
        ("u", "a"),
    ]


def test_an_item_is_told_by_its_last_upsert_and_inline_only_where_there_is_none() -> None:
    events = [click(1, item={"title": "inline"}), click(2, item_id="b", item={"title": "first"}), click(3, item_id="c")]
    log = log_of(events, [{"item_id": "a", "title": "old"}, {"item_id": "a", "title": "new", "category": "Shoes"}])
    assert log.items.ids == ["a", "b", "c"]
    assert log.items.texts() == ["new", "first", "c"]
    assert log.items.item(0).category == "Shoes"
    assert log.items.item(2).title == ""


def test_numbers_that_are_untold_are_no_numbers() -> None:
    log = log_of([click(1, price=0), click(2, rating=3.5)])
    assert np.isnan(log.rating).tolist() == [True, False]
    assert log.line(0).price == 0.0
    assert log.line(1).price is None


def test_rows_can_be_taken_by_place_and_by_mask() -> None:
    log = log_of([click(1), click(2, item_id="b"), click(3, kind="search", item_id=None, query="q")])
    assert [log.take(np.array([2, 0])).line(row).text for row in range(2)] == ["q", ""]
    kept = log.take(log.item >= 0)
    assert [kept.line(row).item_id for row in range(2)] == ["a", "b"]


@pytest.mark.parametrize("content", [b"", b"{}\n", b"\xff\xfe\n", b"\x1f\x8bnot gzip"])
def test_a_log_without_a_single_event_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.jsonl").write_bytes(content)
    with pytest.raises(LogError, match=r"log\.jsonl"):
        read_log([tmp_path / "log.jsonl"])


def test_a_log_that_is_not_there_or_breaks_off_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"nowhere\.jsonl cannot be read: No such file or directory$"):
        read_log([tmp_path / "nowhere.jsonl"])
    (tmp_path / "rows.jsonl").write_bytes(b'{"user_id":"u","item_id":"i","type":"click","timestamp":1}\n')
    with pytest.raises(LogError, match=r"no event of the form firstclick \(--format names another\); rows\.jsonl:1: "):
        read_log([tmp_path / "rows.jsonl"])
    with pytest.raises(LogError, match=r"holds no file of events of this form, by name one of: \*\.inter, "):
        read_log([tmp_path], log_format="recbole")
    packed = gzip.compress(b"".join(orjson.dumps(click(number)) + b"\n" for number in range(5000)))
    (tmp_path / "half.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(LogError, match=r"half\.gz cannot be read after line \d\d"):
        read_log([tmp_path / "half.gz"])


@pytest.mark.parametrize("packed", [False, True])
def test_lines_are_numbered_as_an_editor_does_and_empty_ones_passed_over(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "log"  # No suffix: the first bytes tell.
    text = b'\xef\xbb\xbf{"a":1}\r\n\n  \n{"b":2}'
    path.write_bytes(gzip.compress(text) if packed else text)
    file = File(path)
    assert list(file.lines()) == [(1, b'{"a":1}'), (4, b'{"b":2}')]
    assert file.read_bytes == file.bytes == path.stat().st_size


def test_a_line_that_never_ends_is_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", click(1), b"x" * (2 * LINE_BYTES + 5), click(2))
    assert [number for number, _ in File(path).lines()] == [1, 2, 3]
    log = read_log([path])
    assert len(log) == 2
    assert log.rejected == {"too_large": 1}


def test_reading_tells_how_far_it_is(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{name}.jsonl", click(1, event_id=name)) for name in "ab"]
    told: list[tuple[int, int]] = []
    read_log(paths, progress=lambda done, of: told.append((done, of)))
    size = paths[0].stat().st_size
    assert told[-1] == (2 * size, 2 * size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_several_files_are_one_log(tmp_path: Path) -> None:
    row = {"user_id": "u", "item_id": "a", "type": "view", "timestamp": AT // 1000}
    paths = [written(tmp_path / f"{name}.jsonl", row | {"item_id": name}) for name in "ab"]
    log: Log = read_log(paths, log_format="common")
    assert [log.line(row).item_id for row in range(2)] == ["a", "b"]
    assert log.line(0).kind is Kind.CLICK


def test_two_files_of_one_name_are_two_and_a_file_and_its_packed_twin_are_one(tmp_path: Path) -> None:
    rows = [{"user_id": "u", "item_id": item_id, "type": "click", "timestamp": 1_700_000_000} for item_id in "ab"]
    for year in ("2024", "2025"):
        (tmp_path / year).mkdir()
    first = written(tmp_path / "2024" / "events.jsonl", *rows)
    second = written(tmp_path / "2025" / "events.jsonl", *rows)
    assert len(read_log([first, second], log_format="common")) == 4
    (tmp_path / "2024" / "events.jsonl.gz").write_bytes(gzip.compress(first.read_bytes()))
    log = read_log([tmp_path / "2024"], log_format="common")
    assert (len(log), log.rejected) == (2, {"repeated": 2})


@pytest.mark.parametrize("odd", [{"split": ["train"]}, {"timestamp": 1e306}, {"seq": 1 << 63}, {"seq": -1}])
def test_an_odd_line_ends_no_reading(odd: dict[str, Any], tmp_path: Path) -> None:
    good = {"user_id": "u", "item_id": "a", "type": "click", "timestamp": 1_700_000_000}
    path = written(tmp_path / "events.jsonl", good, good | {"item_id": "b"} | odd)
    log = read_log([path], log_format="common")
    assert len(log) + sum(log.rejected.values()) == 2


def test_a_damaged_packed_file_is_named(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"".join(orjson.dumps(click(number)) + b"\n" for number in range(500))))
    told = []
    for place in range(10, len(packed) - 8, 97):
        damaged = bytearray(packed)
        damaged[place] ^= 0xFF
        (tmp_path / "damaged.gz").write_bytes(damaged)
        with pytest.raises(LogError, match=r"damaged\.gz") as caught:
            read_log([tmp_path / "damaged.gz"])
        told.append(str(caught.value))
    assert any("decompressing" in each for each in told)


def test_an_item_with_a_number_for_an_id_is_told_so(tmp_path: Path) -> None:
    events = written(tmp_path / "events.jsonl", click(1))
    for row, words in (({"item_id": 42, "title": "x"}, "item_id is a number"), ({"title": "x"}, "item_id is missing")):
        with pytest.raises(LogError, match=words):
            read_log([events], [written(tmp_path / "items.jsonl", row)])


def test_files_packed_by_zstd_are_found_in_a_folder(tmp_path: Path) -> None:
    import pyarrow as pa

    written(tmp_path / "events-1.jsonl", click(1))
    with pa.CompressedOutputStream(str(tmp_path / "events-2.jsonl.zst"), "zstd") as out:
        out.write(orjson.dumps(click(2)) + b"\n")
    assert len(read_log([tmp_path])) == 2
