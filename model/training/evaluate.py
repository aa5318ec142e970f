"""Offline, beside the line: systems are judged on the same requests, by the same slices.

The bundle's lists come from the serving code, which is passed in: `model/` knows no `stream/`. Every baseline is tuned
on validation, then answers the same requests as the bundle. Full ranking, never sampled; ties in score count against.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from model.session import Floats
from model.training.answers import Answers, of_scores
from model.training.baselines.hybrid import Hybrid
from model.training.baselines.menu import MENU
from model.training.baselines.protocol import Baseline, BaselineError, Choice, Known, asked
from model.training.baselines.tuning import Tuned, tune
from model.training.earlier import Earlier, EarlierError, digest, load
from model.training.hidden import Mask, with_valid
from model.training.logs.columns import Log
from model.training.metrics import SHOWN, Difference, differences, means, ranks_in_lists, shelf_use, values
from model.training.slices import CLOCK, WHOLE, Condition, conditions, parts, requests, shuffled, windows
from model.training.splits import Split
from model.window import Window

DAY_MS = 86_400_000
JUDGED = ("recall@10", "ndcg@10")
"""Metrics whose differences are told."""
VALID = 4000
"""Validation users on which baselines are tuned: NDCG@10 is then known to .004, at a fifth of the time."""
BATCH = 256


class Served(Protocol):
    """A bundle behind its serving code."""

    name: str
    """Bundles of one name are seeds of one recipe."""
    places: int
    """Of a full list."""

    def recommend(
        self, windows: Sequence[Window], at_ms: Sequence[int] | None, seen_masked: bool
    ) -> Sequence[Sequence[tuple[str, float]]]:
        """(item id, score) of each window's list.

        Args:
            windows: of B users.
            at_ms: None: each asks at its newest line, counts are as training left them. Else when each of them asks,
                all on one day; counts are those of all events before that day, and no earlier day is asked after it.
            seen_masked: whether what the user had is left out.
        """


@dataclass(frozen=True)
class Setup:
    """What is judged on, and how."""

    log: Log
    split: Split
    lines: int
    """Of a window."""
    age_ms: int
    on: str = "test"
    """`valid` or `test`."""
    hidden: Mask | None = None
    """(I,) items hidden from training; their events must be out of the split's training rows already."""
    users: int = 0
    """A random sample of so many users; 0: all."""
    ties: bool = True
    """Whether shuffled ties are judged, too; only where the split is leave one out."""
    clock: bool = False
    """Whether the condition with live counts is judged, too."""
    refit: bool = False
    """Whether counting baselines learn from validation rows, too, before the test."""
    vectors: Floats | None = None
    encode: Callable[[Sequence[str]], Floats] | None = None
    seconds: float = 330.0
    device: str = "cpu"
    threads: int = 2
    seed: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)
    """Told in the report as it is."""
    say: Callable[[str], None] = print


class Row(NamedTuple):
    """One line of the table: a system under a condition, over a part of the requests."""

    system: str
    condition: str
    part: str
    requests: int
    metrics: dict[str, float]
    """Mean over the seeds."""
    spread: dict[str, float]
    """Standard deviation over the seeds; empty with one."""
    seeds: list[dict[str, float]]
    """JUDGED of each seed."""


class Against(NamedTuple):
    """The first system less another, paired by request."""

    system: str
    other: str
    condition: str
    part: str
    metric: str
    difference: Difference


@dataclass
class Results:
    """Everything that was found; `report.py` writes it down."""

    about: dict[str, Any]
    systems: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> kind (bundle or baseline), seeds, seconds; of a baseline also choice, tried and valid_ndcg@10."""
    rows: list[Row] = field(default_factory=list)
    against: list[Against] = field(default_factory=list)
    answers: dict[str, dict[str, list[Answers]]] = field(default_factory=dict)
    """System -> condition -> answers by seed."""
    lacking: dict[str, str] = field(default_factory=dict)
    """Baseline -> why it is not there."""

    def row(self, system: str, condition: str = WHOLE, part: str = "all") -> Row:
        """The row; raises LookupError where there is none."""
        for row in self.rows:
            if row[:3] == (system, condition, part):
                return row
        raise LookupError(f"no row of {system}, {condition}, {part}")


def evaluate(setup: Setup, bundles: Sequence[Served], baselines: Sequence[str], beside: Path | None = None) -> Results:
    """Judges the bundles, and the baselines by their names in the menu, under every condition.

    Args:
        setup: on what.
        bundles: the first is compared with all others.
        baselines: their names in the menu.
        beside: the folder of an earlier judgement, whose baselines are taken as they were.

    Raises:
        EarlierError: that judgement was of other requests.
    """
    put = list(_conditions(setup))
    known = _known(setup)
    size = {"requests": len(put[0].requests.target), "items": known.size, "log_digest": digest(setup.log)}
    found = Results({**setup.about, "on": setup.on, "lines": setup.lines, "age_ms": setup.age_ms, **size})
    earlier = Earlier({}, {}) if beside is None else load(beside, found.about, [condition.name for condition in put])
    if taken := earlier.systems.keys() & {bundle.name for bundle in bundles}:
        raise EarlierError(f"{beside} has a baseline of the name {min(taken)}, as a bundle here; rename the bundle")
    for bundle in bundles:
        _judge(found, bundle, put)
        setup.say(f"{bundle.name}: {found.systems[bundle.name]['seconds']} s")
    found.systems.update(earlier.systems)
    found.answers.update(earlier.answers)
    choices: dict[str, Choice] = {name: told["choice"] for name, told in earlier.systems.items()}
    live: list[str] = []
    for short in baselines:
        baseline = MENU[short]()
        if baseline.live and not setup.clock:
            live.append(baseline.name)
        if baseline.name in earlier.systems or baseline.name in live:
            continue
        try:
            if baseline.name in found.systems:
                raise BaselineError("a bundle has its name")
            choices[baseline.name] = _compete(found, baseline, put, known, choices, setup)
        except BaselineError as error:
            found.lacking[baseline.name] = str(error)
    if not found.systems:  # Beside others nobody misses them.
        found.lacking |= dict.fromkeys(live, "it counts as it happens: ask with --clock")
    for condition in put:
        _tell(found, condition, found.answers, put[0], known.counts, setup.hidden)
    return found


def _judge(found: Results, bundle: Served, put: Sequence[Condition]) -> None:
    """Adds the bundle's answers; one of a name that is there is a further seed."""
    started = time.monotonic()
    mine = found.answers.setdefault(bundle.name, {})
    for condition in put:
        mine.setdefault(condition.name, []).append(of_bundle(bundle, condition))
    told = found.systems.setdefault(bundle.name, {"kind": "bundle", "seeds": 0, "seconds": 0})
    told["seeds"] += 1
    told["seconds"] += round(time.monotonic() - started)


def _compete(
    found: Results,
    baseline: Baseline,
    put: Sequence[Condition],
    known: Known,
    choices: Mapping[str, Choice],
    setup: Setup,
) -> Choice:
    """Adds the answers of the baseline, tuned; what was chosen.

    Raises:
        BaselineError: it cannot be fitted here.
    """
    started = time.monotonic()
    if isinstance(baseline, Hybrid):
        baseline.begin_at(choices)
    tuned = tune(baseline, known)
    learned = _refitted(baseline, tuned, known, setup)
    mine = found.answers.setdefault(baseline.name, {})
    for condition in put:
        if condition.name == CLOCK and not baseline.live:
            mine[CLOCK] = mine[WHOLE]  # The same requests, and it reads no clock.
        elif condition.name == CLOCK or not baseline.live:
            mine[condition.name] = [of_scores(baseline, condition.asked, learned, condition.name in (WHOLE, CLOCK))]
    found.systems[baseline.name] = {
        "kind": "baseline",
        "seeds": 1,
        "seconds": round(time.monotonic() - started),
        "choice": dict(tuned.choice),
        "tried": tuned.tried,
        "valid_ndcg@10": round(tuned.ndcg, 4),
    }
    setup.say(f"{baseline.name}: NDCG@10 on validation {tuned.ndcg:.4f}, {time.monotonic() - started:.0f} s")
    return tuned.choice


def of_bundle(bundle: Served, condition: Condition) -> Answers:
    """The bundle's answers through its serving code; in the clock's condition day by day, in time order."""
    told, whole = condition.requests, condition.name in (WHOLE, CLOCK)
    size, numbers = len(told.target), condition.log.items.numbers
    masked = np.zeros(size, np.int32)
    unmasked = np.zeros(size, np.int32) if condition.name == WHOLE else None
    shown = np.full((size, SHOWN), -1, np.int32) if whole else None
    for places in _batches(told.at_ms, condition.name == CLOCK):
        at_ms = told.at_ms[places].tolist() if condition.name == CLOCK else None
        put = windows(condition.log, told, places)
        targets = [condition.log.items.ids[item] for item in told.target[places].tolist()]
        lists = bundle.recommend(put, at_ms, True)
        masked[places] = ranks_in_lists(lists, targets, bundle.places)
        if shown is not None:
            for place, told_list in zip(places.tolist(), lists, strict=True):
                ids = [numbers[item_id] for item_id, _ in told_list[:SHOWN]]
                shown[place, : len(ids)] = ids
        if unmasked is not None:
            unmasked[places] = ranks_in_lists(bundle.recommend(put, at_ms, False), targets, bundle.places)
    return Answers(masked, unmasked, shown)


def _batches(at_ms: npt.NDArray[np.int64], by_day: bool) -> list[npt.NDArray[np.int64]]:
    """Places of each batch; by day: in the order of days, no batch of two."""
    days = at_ms // DAY_MS if by_day else np.zeros(len(at_ms), np.int64)
    order = np.argsort(days, kind="stable")
    ends = np.flatnonzero(np.diff(days[order])) + 1
    return [day[start : start + BATCH] for day in np.split(order, ends) for start in range(0, len(day), BATCH)]


def _conditions(setup: Setup) -> list[Condition]:
    bounds = (setup.on, setup.hidden, setup.lines, setup.age_ms)
    whole = requests(setup.log, setup.split, *bounds, setup.users)
    one_each = len(np.unique(whole.user)) == len(whole.user)
    mixed = shuffled(setup.log, whole, *bounds) if one_each and setup.ties else None
    return list(conditions(setup.log, whole, mixed, setup.clock))


def _known(setup: Setup) -> Known:
    log, split = setup.log, setup.split
    valid = requests(log, split, "valid", setup.hidden, setup.lines, setup.age_ms, VALID)
    live = np.ones(len(log.at_ms), np.bool_)  # Hidden from training is not hidden from the stream.
    return Known(
        log,
        split.train,
        asked(log, valid),
        live,
        setup.vectors,
        setup.encode,
        seconds=setup.seconds,
        device=setup.device,
        threads=setup.threads,
        seed=setup.seed,
    )


def _refitted(baseline: Baseline, tuned: Tuned, known: Known, setup: Setup) -> npt.NDArray[np.int64]:
    """Fits again with validation rows where that is asked for; (M,) the counts that it has learned from."""
    if not (setup.refit and setup.on == "test" and baseline.relearns):
        return known.counts
    told = replace(known, rows=with_valid(setup.log, setup.split, setup.hidden))
    baseline.fit(told, tuned.choice)
    return told.counts


def _tell(
    found: Results,
    condition: Condition,
    answers: Mapping[str, Mapping[str, Sequence[Answers]]],
    whole: Condition,
    counts: npt.NDArray[np.int64],
    hidden: Mask | None,
) -> None:
    """Adds the condition's rows and differences."""
    there = {name: mine[condition.name] for name, mine in answers.items() if condition.name in mine}
    if not there:  # Who counts as it happens answers with a clock alone.
        return
    for part, mask in parts(whole.requests, counts, hidden).items():
        for name, seeds in there.items():
            found.rows.append(_row(name, condition, part, mask, seeds, counts))
        first, *others = there
        if found.systems[first]["kind"] != "bundle":
            continue
        for metric in JUDGED:
            by_seed = {
                name: np.stack([values(each.ranks[mask])[metric] for each in seeds]).astype(np.float64)
                for name, seeds in there.items()
            }
            apart = differences(by_seed[first], {name: by_seed[name] for name in others}, condition.requests.user[mask])
            found.against += [
                Against(first, other, condition.name, part, metric, told) for other, told in apart.items()
            ]


def _row(
    name: str,
    condition: Condition,
    part: str,
    mask: Mask,
    seeds: Sequence[Answers],
    counts: npt.NDArray[np.int64],
) -> Row:
    told = []
    for each in seeds:
        mine = means(each.ranks[mask])
        if each.unmasked is not None:
            mine |= {f"{metric}, seen unmasked": value for metric, value in means(each.unmasked[mask]).items()}
        if each.shown is not None:
            mine |= shelf_use(each.shown[mask], condition.requests.target[mask], counts)
        told.append(mine)
    many = len(told) > 1
    return Row(
        name,
        condition.name,
        part,
        int(mask.sum()),
        {metric: float(np.mean([mine[metric] for mine in told])) for metric in told[0]},
        {metric: float(np.std([mine[metric] for mine in told], ddof=1)) for metric in told[0]} if many else {},
        [{metric: mine[metric] for metric in JUDGED} for mine in told],
    )
