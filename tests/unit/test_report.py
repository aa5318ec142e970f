"""What was found, for people and for programs: the same numbers in the table, in the JSON and in the pictures."""

import io
from pathlib import Path

import numpy as np
import orjson
import pytest
from rich.console import Console

pytest.importorskip("implicit", reason="the baselines need the extra [train]")
pytest.importorskip("matplotlib", reason="the plots need the extra [train]")

from model.training.answers import Answers
from model.training.evaluate import Against, Results, Row
from model.training.metrics import Difference
from model.training.report import COLOURS, plots, show, told, write
from model.training.slices import CLOCK, CUTS, WHOLE, cut_to

AHEAD, BEHIND, UNSURE = Difference(0.02, 0.01, 0.03), Difference(-0.02, -0.03, -0.01), Difference(0.001, -0.01, 0.01)
RECALLS = {"ours": 0.12, "weak": 0.1, "strong": 0.14, "alike": 0.1187}
AGAINST = {"weak": AHEAD, "strong": BEHIND, "alike": UNSURE}
PUT = [(WHOLE, "all"), (WHOLE, "1 event"), (WHOLE, "2 events"), (CLOCK, "all"), *((cut_to(n), "all") for n in CUTS)]


def row(system: str, condition: str, part: str, recall: float) -> Row:
    metrics = {"recall@10": recall, "ndcg@10": recall / 2}
    if (condition, part) == (WHOLE, "all"):
        metrics |= {"coverage": 0.375, "popularity_bias": -1.5, "novelty": 9.25, "new": 0.0625}
        metrics |= {"recall@10, seen unmasked": recall / 4}
    return Row(system, condition, part, 50 if part == "all" else 25, metrics, {}, [])


def found(put: list[tuple[str, str]] = PUT) -> Results:
    """Four systems under some conditions; in whole windows ours is ahead of one, behind one, and like one."""
    made = Results({"requests": 50, "on": "test", "items": 400})
    made.systems = {name: {"kind": "bundle" if name == "ours" else "baseline", "seeds": 1} for name in RECALLS}
    made.rows = [
        row(name, *where, recall / (1 + place))
        for place, where in enumerate(put)
        for name, recall in RECALLS.items()
        if (name, where[0]) != ("alike", CLOCK)
    ]
    made.against = [
        Against("ours", other, WHOLE, "all", metric, difference)
        for other, difference in AGAINST.items()
        for metric in ("recall@10", "ndcg@10")
    ]
    made.answers = {"ours": {WHOLE: [Answers(np.arange(50, dtype=np.int32))]}}
    made.lacking = {"neural": "torch is not installed"}
    return made


def shown(results: Results, width: int = 220) -> str:
    file = io.StringIO()
    show(results, Console(file=file, width=width))
    return file.getvalue()


def cells(text: str) -> dict[str, list[str]]:
    """First column -> the other cells of all lines that begin with it, over all tables, top to bottom."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        first, *others = (cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│"))
        if others:
            found.setdefault(first, []).extend(others)
    return found


def test_a_table_has_a_line_for_each_system_and_a_column_for_each_part() -> None:
    told = cells(shown(found()))
    heads = ["all", "last 1 event", "last 2 events", "last 3 events", "clock: all", "1 event", "2 events"]
    assert told[""] == heads
    assert told["Recall@10 / NDCG@10"] == [f"{requests} requests" for requests in (50, 50, 50, 50, 50, 25, 25)]
    assert told["ours"][:7] == [
        ".1200 / .0600",
        ".0240 / .0120",
        ".0200 / .0100",
        ".0171 / .0086",
        ".0300 / .0150",
        ".0600 / .0300",
        ".0400 / .0200",
    ]
    assert [name for name in told if name in RECALLS] == list(RECALLS)


def test_where_the_first_bundle_is_behind_the_row_says_so() -> None:
    text = shown(found())
    told = cells(text)
    assert told["strong"][0] == ".1400▼ / .0700▼"
    assert told["weak"][0] == ".1000▲ / .0500▲"
    assert told["alike"][0] == ".1187= / .0593="
    assert "▼ behind" in text


def test_what_is_not_there_is_said_or_left_empty_and_never_a_number() -> None:
    text = shown(found())
    assert "not there: neural: torch is not installed" in text
    assert cells(text)["alike"][4] == ""  # It has no row with the clock.


def test_the_shelf_has_a_table_of_its_own() -> None:
    assert cells(shown(found()))["ours"][7:] == ["37.5%", "-1.50", "9.2", "6.2%", ".0300"]


def test_seeds_of_one_recipe_show_their_number_and_spread() -> None:
    results = found([(WHOLE, "all")])
    results.rows[0] = results.rows[0]._replace(spread={"recall@10": 0.0042, "ndcg@10": 0.0021})
    results.systems["ours"]["seeds"] = 2
    assert cells(shown(results))["ours, mean of 2 seeds"][0] == ".1200±.0042 / .0600±.0021"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_terminal_cuts_no_number(width: int) -> None:
    wide = cells(shown(found()))
    for name, narrow in cells(shown(found(), width)).items():
        if name in RECALLS:
            assert [cell for cell in narrow if "/" in cell] == [cell for cell in wide[name] if "/" in cell]


def test_the_json_has_the_numbers_that_are_printed(tmp_path: Path) -> None:
    results = found()
    paths = {path.name: path for path in write(results, tmp_path / "new folder")}
    read = orjson.loads(paths["evaluation.json"].read_bytes())
    assert read == orjson.loads(orjson.dumps(told(results)))
    text = paths["evaluation.txt"].read_text()
    assert text == shown(results)
    printed = cells(text)
    told_of = {each["other"]: each for each in read["differences"]}
    signs = {name: "=" if each["low"] < 0 < each["high"] else "▲▼"[each["low"] < 0] for name, each in told_of.items()}
    whole = [each for each in read["rows"] if (each["condition"], each["part"]) == (WHOLE, "all")]
    assert [each["system"] for each in whole] == list(RECALLS)
    for each in whole:
        sign, numbers = signs.get(each["system"], ""), [each["metrics"][name] for name in ("recall@10", "ndcg@10")]
        assert printed[each["system"]][0] == " / ".join(f"{number:.4f}"[1:] + sign for number in numbers)
    with np.load(paths["ranks.npz"]) as ranks:
        assert ranks[f"ours|{WHOLE}|ranks"].tolist() == [list(range(50))]


def test_pictures_are_drawn_of_what_there_is(tmp_path: Path) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    drawn = plots(found(), tmp_path)
    assert [path.name for path in drawn] == ["systems.png", "by_events.png", "by_known_events.png"]
    for path in drawn:
        picture = imread(path)[..., :3]
        bundles = np.abs(picture - to_rgb(COLOURS[0])).max(axis=2) < 0.01
        assert bundles.sum() > 100, f"{path.name} does not show the bundle"
    assert [path.name for path in plots(found([(WHOLE, "all"), (WHOLE, "1 event")]), tmp_path)] == ["systems.png"]
