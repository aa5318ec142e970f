"""The contract for producers and consumers, held against the code: JSON Schemas and the AsyncAPI document.

A schema cannot say everything (keys, bytes, clocks). So: what the parser takes, the schema takes; what the schema
refuses, the parser refuses.
"""

import json
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from model.event import ALIASES, KINDS, EventError, Kind, Reason, parse_event, parse_item
from model.text import render
from model.window import EMPTY
from tests.property.strategies import mutated_events, mutated_items

ARRIVED_MS = 1_800_000_000_000
FOLDER = files("model") / "contract"
SCHEMAS: dict[str, Any] = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.iterdir() if path.name.endswith(".json")
}
REGISTRY: Registry[Any] = Registry().with_resources(
    (name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)
ASYNCAPI: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text(encoding="utf-8"))


def validator(name: str) -> Draft7Validator:
    return Draft7Validator({"$ref": name}, registry=REGISTRY)


EVENT, ITEM, CLOUDEVENT = validator("event.json"), validator("item.json"), validator("cloudevent.json")


def examples(name: str) -> list[Any]:
    return list(SCHEMAS[name]["examples"])


def key_of(fields: Any) -> bytes:
    fields = fields.get("data", fields)
    return fields["user_id"].encode() if "user_id" in fields else b"u-17"


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_is_a_schema_and_its_examples_hold(name: str) -> None:
    Draft7Validator.check_schema(SCHEMAS[name])
    assert examples(name)
    for example in examples(name):
        validator(name).validate(example)


@pytest.mark.parametrize("example", examples("event.json") + examples("cloudevent.json"), ids=json.dumps)
def test_the_parser_takes_every_example_of_an_event(example: Any) -> None:
    assert parse_event(orjson.dumps(example), key_of(example), None, ARRIVED_MS).user_id == "u-17"


@pytest.mark.parametrize("example", examples("item.json"), ids=json.dumps)
def test_the_parser_takes_every_example_of_an_item(example: Any) -> None:
    item = parse_item(orjson.dumps(example), b"i-7", None)
    assert item is not None
    assert item.title == example["title"]


def test_every_kind_has_an_example() -> None:
    assert {KINDS[e.get("kind") or e.get("type") or e.get("event_name")] for e in examples("event.json")} == set(Kind)


def test_the_schema_knows_the_kinds_and_aliases_that_the_code_knows() -> None:
    groups = [names["enum"] for title, names in SCHEMAS["event.json"]["definitions"].items() if title[:6] == "names_"]
    assert {name for group in groups for name in group} == set(KINDS)
    spoken = SCHEMAS["event.json"]["properties"]["kind"]["description"]
    assert all(f"{kind} (" in spoken for kind in Kind)
    assert all(f"{alias} = {kind}" in spoken for alias, kind in ALIASES.items())


def test_the_schema_knows_the_reasons_that_the_code_knows() -> None:
    listed = SCHEMAS["rejected-headers.json"]["properties"]["reason"]["oneOf"]
    assert [entry["const"] for entry in listed] == list(Reason)
    assert all(entry["description"] for entry in listed)


@given(mutated_events())
def test_what_the_event_schema_refuses_the_parser_refuses(fields: dict[str, Any]) -> None:
    key = fields["user_id"].encode() if isinstance(fields.get("user_id"), str) else b"u-17"
    try:
        parse_event(orjson.dumps(fields), key, None, ARRIVED_MS)
    except EventError:
        return
    EVENT.validate(fields)


@given(mutated_items())
def test_what_the_item_schema_refuses_the_parser_refuses(fields: dict[str, Any]) -> None:
    key = fields["item_id"].encode() if isinstance(fields.get("item_id"), str) else b"i-7"
    try:
        parse_item(orjson.dumps(fields), key, None)
    except EventError:
        return
    ITEM.validate(fields)


@given(
    mutated_events(),
    st.fixed_dictionaries(
        {},
        optional={
            "specversion": st.sampled_from(["1.0", "0.3", 1, None]),
            "id": st.sampled_from(["e-1", 7, None]),
            "type": st.sampled_from(["a.click", "a.search.v1", 7, None]),
            "time": st.sampled_from(["2025-11-25T03:33:15Z", 7, None]),
            "datacontenttype": st.sampled_from(["application/json", "text/xml", 7, None]),
        },
    ),
)
def test_what_the_envelope_schema_refuses_the_parser_refuses(fields: dict[str, Any], rest: dict[str, Any]) -> None:
    envelope = {"specversion": "1.0", "data": fields, **rest}
    key = fields["user_id"].encode() if isinstance(fields.get("user_id"), str) else b"u-17"
    headers = [("content-type", b"application/cloudevents+json")]
    try:
        parse_event(orjson.dumps(envelope), key, headers, ARRIVED_MS)
    except EventError:
        return
    CLOUDEVENT.validate(envelope)


GOOD = {"event_id": "e", "user_id": "u", "kind": "click", "at": 1764041590000, "item_id": "i"}
INVALID: dict[str, dict[str, Any]] = {
    "no user": {"user_id": None},
    "no item": {"kind": "cart", "item_id": None},
    "boolean rating": {"kind": "review", "rating": True},
    "seconds": {"at": 1764041590},
    "no query": {"kind": "search"},
    "blank query": {"kind": "search", "query": " "},
    "no interests": {"kind": "signup", "interests": []},
    "negative quantity": {"kind": None, "type": "refund", "quantity": -1},
    "unknown kind": {"kind": "teleport"},
    "local time": {"at": "2025-11-25T03:33:10"},
    "item without words": {"item": {"item_id": "i", "price": 3}},
    "dwell of two days": {"kind": "browse", "dwell_ms": 172_800_000},
}


@pytest.mark.parametrize("mistake", INVALID.values(), ids=INVALID)
def test_schema_and_parser_refuse_the_same_plain_mistakes(mistake: dict[str, Any]) -> None:
    assert EVENT.is_valid(GOOD)
    fields = {**GOOD, **mistake}
    assert not EVENT.is_valid(fields)
    with pytest.raises(EventError):
        parse_event(orjson.dumps(fields), b"u", None, ARRIVED_MS)


LONG = "x" * 257
BORDERS: list[tuple[dict[str, Any], dict[str, Any]]] = [  # The last good, the first bad.
    ({"event_id": LONG[1:]}, {"event_id": LONG}),
    ({"session_id": LONG[1:]}, {"session_id": LONG}),
    ({"at": 788_918_400_000}, {"at": 788_918_399_999}),
    ({"at": 4_102_444_800_000}, {"at": 4_102_444_800_001}),
    ({"dwell_ms": 86_400_000}, {"dwell_ms": 86_400_001}),
    ({"dwell_ms": 0}, {"dwell_ms": -1}),
    ({"rating": 1}, {"rating": 0.99}),
    ({"rating": 5}, {"rating": 5.01}),
    ({"price": 0}, {"price": -0.01}),
    ({"price": 1e9}, {"price": 1_000_000_001}),
    ({"quantity": 1e-9}, {"quantity": 0}),
    ({"quantity": 1e6}, {"quantity": 1_000_001}),
    ({"kind": "search", "search_term": "a"}, {"kind": "search", "search_term": ""}),
    ({"kind": "search", "query": "a", "search_term": 7}, {"kind": "search", "query": 7, "search_term": "a"}),
    ({"kind": "signup", "interests": ["a"] * 50}, {"kind": "signup", "interests": ["a"] * 51}),
    ({"kind": "signup", "interests": ["a" * 200]}, {"kind": "signup", "interests": ["a" * 201]}),
    ({"item": {"title": "t" * 2000}}, {"item": {"title": "t" * 2001}}),
    ({"item": {"brand": "b"}}, {"item": {"brand": " "}}),
    ({"item": {"title": "t", "price": 1e9}}, {"item": {"title": "t", "price": 1_000_000_001}}),
    ({"item": {"title": "t", "attributes": {"a": 1e15}}}, {"item": {"title": "t", "attributes": {"a": 1.1e15}}}),
    ({"item": {"title": "t", "attributes": {"a": LONG[1:]}}}, {"item": {"title": "t", "attributes": {"a": LONG}}}),
    ({"item": {"title": "t", "attributes": {"a" * 64: 1}}}, {"item": {"title": "t", "attributes": {"a" * 65: 1}}}),
]


@pytest.mark.parametrize(("good", "bad"), BORDERS, ids=[", ".join(good) for good, _ in BORDERS])
def test_schema_and_parser_draw_the_same_borders(good: dict[str, Any], bad: dict[str, Any]) -> None:
    EVENT.validate({**GOOD, **good})
    parse_event(orjson.dumps({**GOOD, **good}), b"u", None, 0)
    assert not EVENT.is_valid({**GOOD, **bad})
    with pytest.raises(EventError):
        parse_event(orjson.dumps({**GOOD, **bad}), b"u", None, 0)


def test_the_command_prints_each_file_and_writes_them_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from stream.cli import invoke

    assert invoke(["contract"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == ASYNCAPI
    assert invoke(["contract", "event.json"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMAS["event.json"]
    assert invoke(["contract", "--out", str(tmp_path / "contract")]) == 0
    assert {path.name for path in (tmp_path / "contract").iterdir()} == {"asyncapi.yaml", *SCHEMAS}
    assert invoke(["contract", "order.json"]) == 2
    assert "event.json" in capsys.readouterr().err


def test_the_contract_travels_with_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert {"model.contract", "model.formats"} <= set(project["packages"])
    patterns = project["package-data"]["model.contract"]
    for name in ("asyncapi.yaml", *SCHEMAS):
        assert any(Path(name).match(pattern) for pattern in patterns), name


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    for reference in references(ASYNCAPI):
        if reference.startswith("./"):
            assert reference[2:] in SCHEMAS
            continue
        node = ASYNCAPI
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        assert node


def test_every_schema_and_message_is_used_by_the_asyncapi_document() -> None:
    used = set(references(ASYNCAPI))
    assert {f"./{name}" for name in SCHEMAS} <= used
    assert {f"#/components/messages/{name}" for name in ASYNCAPI["components"]["messages"]} <= used


def test_the_document_has_every_topic_that_the_code_has() -> None:
    topics = pytest.importorskip("stream.topics")
    ours = {*topics.EVENTS, topics.ITEMS, topics.RECOMMENDATIONS, topics.INTERESTS, topics.REJECTED}
    assert {channel["address"] for channel in ASYNCAPI["channels"].values()} == ours
    told = {operation["channel"]["$ref"] for operation in ASYNCAPI["operations"].values()}
    assert told == {f"#/channels/{name}" for name in ASYNCAPI["channels"]}


def test_what_the_worker_sends_is_what_the_schemas_say() -> None:
    from stream import messages
    from stream.recommender import Advice, RankedItem

    window = EMPTY.push(render(parse_event(orjson.dumps(GOOD), b"u", None, ARRIVED_MS)), 10, 1000)
    items = (RankedItem("i-1", 1, 0.5, (("e", 0.25),)), RankedItem("i-2", 2, 0.25, ()))
    trigger = messages.Trigger("e", "clicks", 0, 0)
    for advice in (
        Advice("cold", items, np.array([0.6, 0.8], np.float32)),
        Advice("warm", items, np.array([0.6, 0.8], np.float32)),
        Advice("fallback", (), np.zeros(2, np.float32)),
    ):
        sent = messages.recommendation("a-model", "u", window, 1, trigger, advice)
        validator("recommendation.json").validate(orjson.loads(sent))
        validator("interest.json").validate(orjson.loads(messages.interest("a-model", "u", window, 1, advice)))


def test_every_reason_is_sent_with_the_headers_that_the_schema_names() -> None:
    from stream import messages

    known = set(SCHEMAS["rejected-headers.json"]["properties"])
    for reason in Reason:
        error = EventError(reason, "靴 is no shoe")
        record = messages.rejected(b"k" * 900, b"v" * 2000, ("clicks", 3, 17), 1764041590000, error, 1500)
        headers = {name: (content or b"").decode() for name, content in record.headers}
        validator("rejected-headers.json").validate(headers)
        assert set(headers) <= known
