"""What is an output and what is not."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from stream import topics
from stream.outputs import Gone, Output, Outputs, Unreadable, read_output
from tests.outputs import AT_MS, a_list, an_interest

GOLDEN = Path(__file__).parents[1] / "contract" / "golden"
WITHOUT = "rec_id", "user_id", "at", "model", "stage", "n_events", "trigger", "version", "items"


@pytest.mark.parametrize(
    ("topic", "name"), [(topics.RECOMMENDATIONS, "recommendation"), (topics.INTERESTS, "interest")]
)
def test_what_a_worker_has_ever_written_is_an_output_byte_for_byte(topic: str, name: str) -> None:
    value = (GOLDEN / f"{name}.json").read_bytes()
    told = orjson.loads(value)
    output = read_output(topic, told["user_id"].encode(), value)
    assert output == Output(told["user_id"], told["at"], told["version"], told["model"], value)


def test_a_tombstone_says_who_is_gone() -> None:
    assert read_output(topics.INTERESTS, b"u", None) == Gone("u")


def test_another_version_and_another_model_have_another_etag() -> None:
    values = a_list(), a_list(version=1051), a_list(model="m-2")
    outputs = [read_output(topics.RECOMMENDATIONS, b"u-17", value) for value in values]
    assert len({output.etag for output in outputs if isinstance(output, Output)}) == 3


@pytest.mark.parametrize("name", WITHOUT)
def test_a_list_without_a_field_is_none_and_the_fault_names_it(name: str) -> None:
    told = orjson.loads(a_list())
    del told[name]
    with pytest.raises(Unreadable, match=name):
        read_output(topics.RECOMMENDATIONS, b"u-17", orjson.dumps(told))


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        (b"u-17", b"no JSON", "value JSON"),
        (b"\xff", a_list(), "UTF-8"),
        (b"", a_list(), "the key"),
        (None, None, "the key"),
        (b"u-18", a_list(), "user_id must be the key"),
        (b"u-17", b"[]", "user_id"),
        (b"u-17", a_list(version=1 << 63), "2^63"),
        (b"u-17", a_list(at=-1), "2^63"),
        (b"u-17", a_list(items=[{"item_id": "i"}]), "each of items"),
        (b"u-17", an_interest(), "rec_id"),
    ],
)
def test_what_is_no_list_is_told(key: bytes | None, value: bytes | None, fault: str) -> None:
    with pytest.raises(Unreadable) as told:
        read_output(topics.RECOMMENDATIONS, key, value)
    assert fault in str(told.value)


@pytest.mark.parametrize("fields", [{"dim": 2}, {"vector": []}, {"vector": "0.6"}, {"vector": [0.6, None, 0.8]}])
def test_a_vector_has_as_many_numbers_as_it_says(fields: dict[str, Any]) -> None:
    with pytest.raises(Unreadable, match="vector"):
        read_output(topics.INTERESTS, b"u-17", an_interest(**fields))


def test_a_bad_record_is_counted_and_those_around_it_are_kept() -> None:
    kept: list[Output | Gone] = []
    outputs = Outputs(topics.RECOMMENDATIONS, kept.extend)
    good = a_list("a"), a_list("b")
    outputs.apply([(0, (b"a", good[0])), (0, (b"x", b"{")), (1, (b"y", b"}")), (0, (b"b", good[1])), (0, (b"c", None))])
    assert kept == [
        Output("a", AT_MS + 1050, 1050, "m-1", good[0]),
        Output("b", AT_MS + 1050, 1050, "m-1", good[1]),
        Gone("c"),
    ]
    assert (outputs.read, list(outputs.skipped.values())) == (5, [2])
