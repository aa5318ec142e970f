"""The worker's metrics, and those of `firstclick serve`: names, units, labels, and that the README tells all."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from model.event import Kind
from model.rejection import Reason
from stream.metrics import Metrics
from stream.serve_metrics import ServeMetrics
from tests.unit.test_http_answers import FakeSource

README = Path(__file__).parents[2] / "README.md"
UNITS = ("_seconds", "_bytes", "_events", "_users", "_items", "_cached", "_ready", "_info", "_fds")
SERVE = "firstclick_serve_"
ROW = re.compile(r"\| `(?P<name>\w+)`(?: \{(?P<labels>[a-z, ]*)\})? \| (?P<kind>counter|gauge|histogram|info) \| .+ \|")


def told_in_the_readme(serve: bool = False) -> dict[str, tuple[str, set[str]]]:
    """Name -> type and labels, as the README's table of the worker has them, or that of `firstclick serve`."""
    found = [match for line in README.read_text().splitlines() if (match := ROW.fullmatch(line))]
    rows = [row for row in found if row["name"].startswith(SERVE) == serve]
    return {row["name"]: (row["kind"], set((row["labels"] or "").replace(" ", "").split(",")) - {""}) for row in rows}


def exported(text: str) -> dict[str, tuple[str, set[str]]]:
    """Name -> type and labels, of a worker's page; a counter's name ends in _total, an info's in _info."""
    found: dict[str, tuple[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("firstclick_"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        info = name.endswith("_info")
        found[name] = ("info" if info else family.type, set() if info else _labels(family.samples))
    return found


def _labels(samples: list[Sample]) -> set[str]:
    return {label for sample in samples for label in sample.labels} - {"le"}


WORKERS, SERVERS = exported(Metrics().text().decode()), exported(ServeMetrics(FakeSource()).text().decode())


def test_the_readme_tells_every_metric_with_its_type() -> None:
    ours = {name: kind for name, (kind, _) in WORKERS.items()}
    assert {name: kind for name, (kind, _) in told_in_the_readme().items()} == ours


def test_the_readme_tells_every_metric_of_a_server_with_type_and_labels() -> None:
    assert told_in_the_readme(serve=True) == SERVERS


@pytest.mark.parametrize("name", [*WORKERS, *SERVERS])
def test_a_name_follows_prometheus_conventions(name: str) -> None:
    kind, _ = (WORKERS | SERVERS)[name]
    assert re.fullmatch(r"firstclick_[a-z]+(_[a-z]+)*", name)
    assert not re.search(r"_(ms|millis|milliseconds|minutes|kb|mb|percent)(_|$)", name), "a base unit"
    assert name.endswith("_total") == (kind == "counter")
    assert name.endswith(UNITS) or kind == "counter"


def test_every_known_label_stands_at_nought_before_anything_has_happened() -> None:
    """A counter that appears at 1 has no rate: the first rejection of its reason would alarm nobody."""
    registry = Metrics().registry
    for reason in Reason:
        for lane in ("behaviour", "shelf"):
            assert registry.get_sample_value("firstclick_rejections_total", {"lane": lane, "reason": reason}) == 0
    for kind in Kind:
        for fate in ("accepted", "repeated", "rejected"):
            assert registry.get_sample_value("firstclick_events_total", {"kind": kind, "fate": fate}) == 0


def test_a_rejection_is_counted_by_kind_and_by_reason() -> None:
    metrics = Metrics()
    metrics.reject("behaviour", "unknown", ["not_json", "bug", "not_json"])
    value = metrics.registry.get_sample_value
    assert value("firstclick_events_total", {"kind": "unknown", "fate": "rejected"}) == 3
    assert value("firstclick_rejections_total", {"lane": "behaviour", "reason": "not_json"}) == 2


def test_what_another_part_keeps_is_asked_for_when_it_is_read() -> None:
    metrics, kept = Metrics(), [1]
    metrics.encoded.source = lambda: kept[0]
    kept[0] = 7
    assert metrics.registry.get_sample_value("firstclick_items_encoded_total") == 7
