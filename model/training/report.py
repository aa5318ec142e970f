"""Offline, beside the line: what was found, as a table, as JSON and as plots that a person can read.

Knows nothing of how it was found. Colours are Okabe and Ito's, told apart by the colour-blind; every line has its own
marker, too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from model.training.earlier import ARRAYS, JSON, save
from model.training.evaluate import Against, Results, Row
from model.training.slices import CLOCK, CUTS, SHUFFLED, WHOLE, cut_to

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "osD^vPX*"
GREY = "#B3B3B3"
COMPARED = 7
"""Lines in a plot: more, and nobody follows one."""
ASIDE = 0.025
"""Of the way to the next point: how far a line stands beside the one before, or lines that coincide hide each other."""

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("all", WHOLE, "all"),
    ("untied", WHOLE, "untied"),
    *((cut_to(last), cut_to(last), "all") for last in CUTS),
    ("ties shuffled", SHUFFLED, "all"),
    ("hidden items", WHOLE, "hidden items"),
    ("warm items", WHOLE, "warm items"),
    ("clock: all", CLOCK, "all"),
    ("clock: untied", CLOCK, "untied"),
    ("clock: hidden items", CLOCK, "hidden items"),
    ("clock: warm items", CLOCK, "warm items"),
)
"""(heading, condition, part) of the table."""
BY_EVENTS = ("0 events", "1 event", "2 events", "3 events", "4-5 events", "6+ events")
BY_ITEM = ("item trained 0 times", "item trained 1-4 times", "item trained 5+ times")
NAME, CELL, CELL_OF_SEEDS = 46, 21, 35
"""Characters that a table's first column takes, and each that follows."""
HEADS = {"recall@10": "Recall@10", "ndcg@10": "NDCG@10"}


def told(found: Results) -> dict[str, Any]:
    """Everything but the ranks, for JSON."""
    return {
        "about": found.about,
        "systems": found.systems,
        "lacking": found.lacking,
        "rows": [row._asdict() for row in found.rows],
        "differences": [_flat(each) for each in found.against],
    }


def write(found: Results, out: Path) -> list[Path]:
    """Writes evaluation.json, evaluation.txt, ranks.npz and the plots into the folder `out`; their paths."""
    out.mkdir(parents=True, exist_ok=True)
    json_path, text_path, ranks_path = out / JSON, out / "evaluation.txt", out / ARRAYS
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS
    json_path.write_bytes(orjson.dumps(told(found), option=options, default=str) + b"\n")
    with text_path.open("w") as file:
        show(found, Console(file=file, width=220))
    save(ranks_path, found.answers)
    return [json_path, text_path, ranks_path, *plots(found, out)]


def show(found: Results, console: Console) -> None:
    """The tables: accuracy by slice, by number of events and by item, and what is shown of the shelf."""
    console.print(
        f"{found.about['requests']} requests ({found.about['on']}), {found.about['items']} items, full ranking, "
        "seen masked, ties against"
    )
    heads = [*COLUMNS, *((name, WHOLE, name) for name in (*BY_EVENTS, *BY_ITEM))]
    heads += [(f"clock: {name}", CLOCK, name) for name in BY_ITEM]
    heads = [head for head in heads if _has(found, *head[1:])]
    wide = CELL_OF_SEEDS if any(row.spread for row in found.rows) else CELL
    beside = max(1, (console.width - NAME) // wide)  # A terminal's width: no number is ever cut.
    for start in range(0, len(heads), beside):
        console.print(_accuracy(found, heads[start : start + beside]))
    console.print(_shelf(found))
    if found.against:
        console.print(
            "▲ the first bundle is ahead, ▼ behind, = neither is sure: paired 95 % interval of the difference."
        )
    for name, why in found.lacking.items():
        console.print(f"not there: {name}: {why}")


def _accuracy(found: Results, heads: Sequence[tuple[str, str, str]]) -> Table:
    table = Table()
    table.add_column("Recall@10 / NDCG@10", min_width=NAME - 6)
    rows = {row[:3]: row for row in found.rows}
    signs = {(each.other, each.condition, each.part, each.metric): _sign(each) for each in found.against}
    for head, condition, part in heads:
        requests = next(row.requests for row in found.rows if row[1:3] == (condition, part))
        table.add_column(f"{head}\n{requests} requests", justify="right")
    for system, about in found.systems.items():
        cells = []
        for _, condition, part in heads:
            row = rows.get((system, condition, part))
            cells.append("" if row is None else _cell(row, signs))
        seeds = f", mean of {about['seeds']} seeds" if about["seeds"] > 1 else ""  # One that is missing is seen.
        table.add_row(system + seeds, *cells, style="bold" if about["kind"] == "bundle" else "")
    return table


def _cell(row: Row, signs: dict[tuple[str, str, str, str], str]) -> str:
    numbers = []
    for metric in HEADS:
        spread = f"±{_short(row.spread[metric])}" if row.spread else ""
        sign = signs.get((row.system, row.condition, row.part, metric), "")
        numbers.append(f"{_short(row.metrics[metric])}{spread}{sign}")
    return " / ".join(numbers)


def _short(number: float) -> str:
    return f"{number:.4f}".removeprefix("0")


def _sign(each: Against) -> str:
    if not each.difference.sure:
        return "="
    return "▲" if each.difference.mean > 0 else "▼"


def _shelf(found: Results) -> Table:
    table = Table(title="What the first ten places show (whole windows)", title_justify="left")
    for head in ("system", "coverage", "popularity bias", "novelty, bits", "new items", "Recall@10, seen unmasked"):
        table.add_column(head, justify="left" if head == "system" else "right")
    for system in found.systems:
        row = next((row for row in found.rows if row[:3] == (system, WHOLE, "all")), None)
        if row is not None and "coverage" in row.metrics:
            told = row.metrics
            table.add_row(
                system,
                f"{told['coverage']:.1%}",
                f"{told['popularity_bias']:+.2f}",
                f"{told['novelty']:.1f}",
                f"{told['new']:.1%}",
                _short(told.get("recall@10, seen unmasked", float("nan"))),
            )
    return table


def plots(found: Results, out: Path) -> list[Path]:
    """Writes the plots as PNG; their paths."""
    import matplotlib

    matplotlib.use("Agg")
    made = [_bars(found, out / "systems.png")]
    lines = (
        ("by_events.png", "Recall@10 by how many events the user has", "events in the history", BY_EVENTS),
        ("by_item.png", "Recall@10 by how often the wanted item was trained", "the wanted item's events", BY_ITEM),
    )
    for name, title, below, parts in lines:
        points = [(part, WHOLE, part) for part in parts if _has(found, WHOLE, part)]
        if len(points) > 1:
            made.append(_lines(found, points, title, below, out / name))
    cuts = [(f"last {last}", cut_to(last), "all") for last in CUTS] + [("whole", WHOLE, "all")]
    if all(_has(found, condition, part) for _, condition, part in cuts):
        title = "Recall@10 when only the newest events are known"
        made.append(_lines(found, cuts, title, "events of the history that are known", out / "by_known_events.png"))
    return made


def _bars(found: Results, path: Path) -> Path:
    """All systems, best first: Recall@10 and NDCG@10 of all requests."""
    from matplotlib.figure import Figure

    rows = sorted((row for row in found.rows if row[1:3] == (WHOLE, "all")), key=lambda row: row.metrics["recall@10"])
    figure = Figure(figsize=(10, 1.6 + 0.36 * len(rows)), layout="constrained")
    sides = figure.subplots(1, 2, sharey=True)
    for axes, (metric, head) in zip(sides, HEADS.items(), strict=True):
        colours = [COLOURS[0] if found.systems[row.system]["kind"] == "bundle" else COLOURS[1] for row in rows]
        numbers = [row.metrics[metric] for row in rows]
        bars = axes.barh([row.system for row in rows], numbers, color=colours)
        axes.bar_label(bars, [_short(number) for number in numbers], padding=3, fontsize=9)
        axes.set_title(head)
        axes.set_xlabel("all requests, whole windows")
        axes.set_xlim(0, 1.18 * max([*numbers, 1e-6]))
        _plain(axes)
    figure.suptitle(f"Full ranking over {found.about.get('items')} items; the bundle in orange, baselines in blue")
    figure.savefig(path, dpi=130)
    return path


def _lines(found: Results, points: Sequence[tuple[str, str, str]], title: str, below: str, path: Path) -> Path:
    """One line per system: the bundles and the best baselines in colour, the rest thin and grey."""
    from matplotlib.figure import Figure

    rows = {row[:3]: row for row in found.rows}
    named = [name for name in found.systems if all((name, *point[1:]) in rows for point in points)]

    def merit(name: str) -> tuple[bool, float]:
        return found.systems[name]["kind"] == "bundle", rows[name, WHOLE, "all"].metrics["recall@10"]

    named.sort(key=merit, reverse=True)
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(named):
        numbers = [rows[name, condition, part].metrics["recall@10"] for _, condition, part in points]
        first = place < COMPARED
        axes.plot(
            np.arange(len(points)) + ASIDE * (min(place, COMPARED) - COMPARED / 2),
            numbers,
            color=COLOURS[place] if first else GREY,
            marker=MARKERS[place] if first else None,
            linewidth=2.5 if found.systems[name]["kind"] == "bundle" else 1.5 if first else 0.8,
            label=name if first else "other baselines" if place == COMPARED else None,
            zorder=2 + first,
        )
    requests = [next(row.requests for row in found.rows if row[1:3] == point[1:]) for point in points]
    labels = [f"{point[0]}\n({n} requests)" for point, n in zip(points, requests, strict=True)]
    axes.set_xticks(range(len(points)), labels)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(below)
    axes.set_ylabel("Recall@10: share of wanted items among the first ten")
    axes.set_title(title)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    _plain(axes)
    figure.savefig(path, dpi=130)
    return path


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#E5E5E5", linewidth=0.6)
    axes.set_axisbelow(True)


def _has(found: Results, condition: str, part: str) -> bool:
    return any(row[1:3] == (condition, part) for row in found.rows)


def _flat(each: Against) -> dict[str, Any]:
    told = each._asdict()
    difference = told.pop("difference")
    return {**told, **difference._asdict(), "sure": difference.sure}
