"""Systems judged: who knows the answer gets everything, who cannot tell gets nothing, and time only moves on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from model.bundle import Bundle

pytest.importorskip("implicit", reason="the baselines need the extra [train]")

from model.training.earlier import EarlierError
from model.training.evaluate import Setup, evaluate
from model.training.hidden import hide_items
from model.training.logs.columns import Log
from model.training.report import told, write
from model.training.slices import CLOCK, SHUFFLED, WHOLE, cut_to
from model.training.splits import leave_one_out
from model.window import Window
from stream.cli import invoke
from stream.errors import Exit
from stream.evaluating import row_names, serving
from tests.logs import log_of
from tests.shop import COLOURS, THEMES, make_bundle

DAY_MS = 86_400_000
MIDNIGHT = 1_699_920_000_000
USERS, ITEMS = 30, 40
LINES, AGE_MS = 32, 10**13
TITLES = [f"{colour} {word}" for words in list(THEMES.values())[:2] for word in words for colour in COLOURS][:ITEMS]


def chain() -> Log:
    """User u begins at item u and takes the next one each day: what comes is always known."""
    return log_of(
        (
            {"user_id": f"u{user:02d}", "kind": "review", "item_id": TITLES[(user + step) % ITEMS], "at": at}
            for user in range(USERS)
            for step in range(6)
            for at in [MIDNIGHT + (step + user % 3) * DAY_MS + user * 1000]
        ),
        [{"item_id": title, "title": title} for title in TITLES],
    )


class Knows:
    """Says what comes next, first or among equals."""

    places = 24

    def __init__(self, name: str, tied: bool = False) -> None:
        self.name, self._tied = name, tied
        self.asked_ms: list[int] = []

    def recommend(
        self, windows: Sequence[Window], at_ms: Sequence[int] | None, seen_masked: bool
    ) -> list[list[tuple[str, float]]]:
        self.asked_ms += list(at_ms or [])
        assert at_ms is None or len({each // DAY_MS for each in at_ms}) == 1
        return [self._list(TITLES.index(window.lines[-1].item_id)) for window in windows]

    def _list(self, last: int) -> list[tuple[str, float]]:
        after = [TITLES[(last + step) % ITEMS] for step in range(1, 25)]
        return [(item, 1.0 if self._tied else 1.0 - place / 100) for place, item in enumerate(after)]


@pytest.fixture(scope="module")
def log() -> Log:
    return chain()


def test_who_knows_gets_everything_and_who_cannot_tell_nothing(log: Log) -> None:
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, say=lambda _: None)
    found = evaluate(setup, [Knows("knows"), Knows("cannot tell", tied=True)], ["popularity"])
    assert found.row("knows").metrics["recall@1"] == 1.0
    assert found.row("knows", cut_to(1)).metrics["ndcg@10"] == 1.0
    assert found.row("knows", SHUFFLED).requests == USERS
    assert found.row("cannot tell").metrics["recall@20"] == 0.0  # 24 share the score of the target: it comes last.
    assert found.row("knows").requests == USERS
    assert found.systems["popularity"]["kind"] == "baseline"
    told_of = {(each.other, each.condition, each.part, each.metric): each for each in found.against}
    against = told_of["popularity", WHOLE, "all", "recall@10"]
    assert against.system == "knows"
    assert against.difference.low > 0


def test_seeds_of_one_recipe_are_one_row(log: Log) -> None:
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, say=lambda _: None)
    found = evaluate(setup, [Knows("one"), Knows("one", tied=True)], [])
    row = found.row("one")
    assert found.systems["one"]["seeds"] == 2
    assert row.metrics["recall@10"] == 0.5
    assert row.spread["recall@10"] == pytest.approx(np.std([1.0, 0.0], ddof=1))


def test_with_the_clock_requests_come_day_by_day(log: Log) -> None:
    system = Knows("knows")
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, clock=True, say=lambda _: None)
    found = evaluate(setup, [system], [])
    days = [at // DAY_MS for at in system.asked_ms]
    assert days == sorted(days)
    assert len(set(days)) > 1
    assert found.row("knows", CLOCK).metrics["recall@10"] == 1.0


def test_hidden_items_have_a_row_of_their_own(log: Log) -> None:
    split, hidden = hide_items(log, leave_one_out(log), 0.3, seed=0)
    setup = Setup(log, split, LINES, AGE_MS, hidden=hidden, say=lambda _: None)
    found = evaluate(setup, [Knows("knows")], [])
    cold, warm = (found.row("knows", part=part).requests for part in ("hidden items", "warm items"))
    assert cold > 0
    assert cold + warm == USERS


def test_what_is_hidden_from_training_is_not_hidden_from_the_stream(log: Log) -> None:
    split, hidden = hide_items(log, leave_one_out(log), 0.3, seed=0)
    setup = Setup(log, split, LINES, AGE_MS, hidden=hidden, clock=True, say=lambda _: None)
    found = evaluate(setup, [], ["cooccurrence", "live"])
    assert found.row("co-occurrence", part="hidden items").metrics["recall@20"] == 0
    assert found.row("co-occurrence", CLOCK, "hidden items").metrics["recall@20"] == 0
    assert found.row("co-occurrence, live", CLOCK, "hidden items").metrics["recall@1"] > 0.3


def test_a_bundle_is_judged_by_the_code_that_serves(log: Log, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    split = leave_one_out(log)
    served, vectors = serving([bundle], log, np.flatnonzero(split.train), np.arange(len(log)))
    setup = Setup(log, split, LINES, AGE_MS, clock=True, vectors=vectors, say=lambda _: None)
    found = evaluate(setup, served, ["frozen-last"])
    mine = found.row(bundle.manifest.name)
    assert 0 < mine.metrics["recall@10"] < 1
    assert 0 < mine.metrics["coverage"] <= 1
    assert "recall@10, seen unmasked" in mine.metrics


def test_what_was_found_is_written_so_that_people_and_programs_can_read_it(log: Log, tmp_path: Path) -> None:
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, clock=True, say=lambda _: None)
    found = evaluate(setup, [Knows("knows"), Knows("cannot tell", tied=True)], ["popularity"])
    paths = {path.name: path for path in write(found, tmp_path)}
    read = orjson.loads(paths["evaluation.json"].read_bytes())
    assert read["systems"].keys() == {"knows", "cannot tell", "popularity"}
    assert read["rows"][0]["metrics"]["recall@10"] == told(found)["rows"][0]["metrics"]["recall@10"]
    assert "knows" in paths["evaluation.txt"].read_text()
    pictures = [path for path in paths.values() if path.suffix == ".png"]
    assert len(pictures) >= 3
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    with np.load(paths["ranks.npz"]) as ranks:
        assert any(array.shape[-1] == USERS for array in ranks.values())


def test_baselines_are_taken_from_an_earlier_judgement_as_they_were(log: Log, tmp_path: Path) -> None:
    setup = Setup(
        log, leave_one_out(log), LINES, AGE_MS, clock=True, about={"hide": 0.0, "seed": 0}, say=lambda _: None
    )
    whole = evaluate(setup, [Knows("knows")], ["popularity", "cooccurrence"])
    write(whole, tmp_path)
    later = evaluate(replace(setup, about={"hide": 0.0, "seed": 1}), [Knows("knows")], ["popularity"], tmp_path)
    assert later.systems.keys() == {"knows", "popularity", "co-occurrence"}
    assert told(later)["rows"] == told(whole)["rows"]
    assert told(later)["differences"] == told(whole)["differences"]


def test_without_the_clock_there_what_reads_none_is_taken_into_its_rows_here(log: Log, tmp_path: Path) -> None:
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, clock=True, say=lambda _: None)
    names = ["popularity", "now"]
    whole = evaluate(setup, [Knows("knows")], names)
    write(evaluate(replace(setup, clock=False), [Knows("knows")], names), tmp_path)
    later = evaluate(setup, [Knows("knows")], names, tmp_path)
    assert later.row("popularity", CLOCK) == later.row("popularity", WHOLE)._replace(condition=CLOCK)
    assert told(later)["rows"] == told(whole)["rows"]
    assert told(later)["differences"] == told(whole)["differences"]


def test_what_was_judged_by_the_clock_alone_is_not_among_rows_without_one(log: Log, tmp_path: Path) -> None:
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, clock=True, say=lambda _: None)
    write(evaluate(setup, [], ["popularity", "now"]), tmp_path)
    later = evaluate(replace(setup, clock=False), [Knows("knows")], [], tmp_path)
    assert later.systems.keys() == {"knows", "popularity"}
    assert CLOCK not in {row.condition for row in later.rows}


def test_a_hybrid_begins_at_what_was_chosen_for_its_parts_earlier(log: Log, tmp_path: Path) -> None:
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, clock=True, say=lambda _: None)
    write(evaluate(setup, [], ["cooccurrence", "now"]), tmp_path)
    earlier = orjson.loads((tmp_path / "evaluation.json").read_bytes())
    earlier["systems"]["co-occurrence"]["choice"]["shrink"] = 100  # No first value, and not tuned again in company.
    (tmp_path / "evaluation.json").write_bytes(orjson.dumps(earlier))
    later = evaluate(setup, [], ["cooccurrence+now"], tmp_path)
    assert later.systems["co-occurrence + popularity now"]["choice"]["co-occurrence: shrink"] == 100


ABOUT = {"hide": 0.0, "seed": 0, "shuffle_ties": False, "space": "1a2b"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"about": {**ABOUT, "hide": 0.1}}, r"hide = 0\.0, this run has 0\.1"),
        ({"about": {**ABOUT, "space": "3c4d"}}, "space = '1a2b', this run has '3c4d'"),
        ({"about": {**ABOUT, "split": "time"}}, "does not tell its split"),
        ({"on": "valid"}, "on = 'test'"),
        ({"lines": 2}, "lines = 32, this run has 2"),
        ({"age_ms": DAY_MS}, f"age_ms = {AGE_MS}, this run has {DAY_MS}"),
    ],
)
def test_a_judgement_of_other_requests_is_refused(log: Log, tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, about=ABOUT, say=lambda _: None)
    with pytest.raises(EarlierError, match="holds no judgement"):
        evaluate(setup, [Knows("knows")], [], tmp_path)
    write(evaluate(setup, [], ["popularity"]), tmp_path)
    with pytest.raises(EarlierError, match=why):
        evaluate(replace(setup, **changed), [Knows("knows")], [], tmp_path)
    without = evaluate(replace(setup, about={**ABOUT, "space": None}), [Knows("knows")], [], tmp_path)
    assert "popularity" in without.systems, "no encoder, no other vectors"


def test_another_log_of_the_same_size_is_refused(log: Log, tmp_path: Path) -> None:
    write(evaluate(Setup(log, leave_one_out(log), LINES, AGE_MS, say=lambda _: None), [], ["popularity"]), tmp_path)
    other = replace(log, item=log.item[::-1].copy())
    with pytest.raises(EarlierError, match="log_digest"):
        evaluate(Setup(other, leave_one_out(other), LINES, AGE_MS, say=lambda _: None), [], [], tmp_path)


def test_where_ties_are_shuffled_their_seed_must_be_the_same(log: Log, tmp_path: Path) -> None:
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, about={**ABOUT, "shuffle_ties": True}, say=lambda _: None)
    write(evaluate(setup, [], ["popularity"]), tmp_path)
    with pytest.raises(EarlierError, match="seed = 0, this run has 1"):
        evaluate(replace(setup, about={**setup.about, "seed": 1}), [], [], tmp_path)


def test_a_bundle_and_a_baseline_of_one_name_do_not_become_one_row(log: Log, tmp_path: Path) -> None:
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, say=lambda _: None)
    found = evaluate(setup, [Knows("popularity")], ["popularity"])
    assert found.row("popularity").metrics["recall@1"] == 1.0
    assert found.lacking == {"popularity": "a bundle has its name"}
    write(evaluate(setup, [], ["popularity"]), tmp_path)
    with pytest.raises(EarlierError, match="rename the bundle"):
        evaluate(setup, [Knows("popularity")], [], tmp_path)


def test_baselines_that_need_a_clock_alone_say_so_instead_of_breaking(log: Log, tmp_path: Path) -> None:
    setup = Setup(log, leave_one_out(log), LINES, AGE_MS, say=lambda _: None)
    found = evaluate(setup, [], ["now"])
    assert "--clock" in found.lacking["popularity now"]
    write(found, tmp_path / "without")
    found = evaluate(replace(setup, clock=True), [], ["now"])
    assert found.row("popularity now", CLOCK).requests
    write(found, tmp_path / "with")


def written(log: Log, folder: Path) -> list[str]:
    """The log as files, and the options that name them."""
    rows = [
        {"event_id": f"e{row}", "user_id": log.users[log.user[row]], "kind": "review", "at": int(log.at_ms[row])}
        | {"item_id": log.items.ids[log.item[row]]}
        for row in range(len(log))
    ]
    (folder / "events.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (folder / "items.jsonl").write_bytes(b"\n".join(orjson.dumps({"item_id": t, "title": t}) for t in TITLES))
    return ["--log", str(folder / "events.jsonl"), "--items", str(folder / "items.jsonl")]


def test_the_command_judges_a_bundle_from_files(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, files = make_bundle(tmp_path), written(log, tmp_path)
    asked = ["evaluate", str(bundle.path), *files, "--baselines", "frozen-last", "--out", str(tmp_path / "out")]
    assert invoke(asked) == Exit.DONE
    assert (tmp_path / "out" / "evaluation.json").is_file()
    assert bundle.manifest.name in capsys.readouterr().out
    assert invoke(["evaluate", *files, "--baselines", "no such"]) == Exit.USAGE
    about = orjson.loads((tmp_path / "out" / "evaluation.json").read_bytes())["about"]
    assert (about["space"], about["lines"], about["split"]) == (bundle.space, bundle.lines, "leave-one-out")
    capsys.readouterr()
    assert invoke(["evaluate", str(bundle.path), *asked[1:]]) == Exit.USAGE
    assert f"{bundle.model} is given twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("training", "options", "said"),
    [
        ({"hide": 0.0}, ["--hide", "0.2"], "was trained without --hide 0.2"),
        ({"hide": 0.2, "hide_seed": 1}, ["--hide", "0.2"], "was trained with --hide-seed 1"),
        ({"hide": 0.2, "hide_seed": 0}, ["--hide", "0.2"], None),
        ({"settings": {"refit": True, "seed": 0}}, ["--on", "valid"], "has learned from validation's events"),
        ({"settings": {"refit": True}}, [], None),
        ({"split": "time"}, [], "was trained with --split time"),
        ({}, ["--shuffle-ties"], "was trained without --shuffle-ties"),
        ({"shuffle_ties": True}, ["--shuffle-ties", "--seed", "4"], "was trained on the order of --seed 0"),
        ({"shuffle_ties": True}, ["--shuffle-ties"], None),
    ],
)
def test_who_has_seen_the_answers_is_said_to_have(
    log: Log,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    training: dict[str, Any],
    options: list[str],
    said: str | None,
) -> None:
    bundle = make_bundle(tmp_path)
    manifest = orjson.loads((bundle.path / "manifest.json").read_bytes())
    manifest["training"] = {"settings": {"refit": False, "seed": 0}, **training}
    (bundle.path / "manifest.json").write_bytes(orjson.dumps(manifest))
    assert invoke(["evaluate", str(bundle.path), *written(log, tmp_path), "--baselines", "none", *options]) == Exit.DONE
    doubts = [line for line in capsys.readouterr().err.splitlines() if "not seen" in line]
    assert len(doubts) == (said is not None)
    assert said is None or said in doubts[0]


SEEDS = [{"checksum": "c", "settings": {"seed": seed, "dim": 64}} for seed in range(3)]


@pytest.mark.parametrize(
    ("trainings", "rows"),
    [
        (SEEDS, 1),
        ([SEEDS[0], {**SEEDS[1], "epochs": 4, "encoder": "another, tuned by seed 1"}], 1),
        ([SEEDS[0], SEEDS[0] | {"epochs": 3}], 2),
        ([SEEDS[0], SEEDS[1] | {"checksum": "of another log"}], 2),
        ([SEEDS[0], {"checksum": "c", "settings": {"seed": 1, "dim": 32}}], 2),
        ([{}, {"table_bits": 4}], 2),
    ],
)
def test_one_row_is_of_seeds_alone(tmp_path: Path, trainings: list[dict[str, Any]], rows: int) -> None:
    """Another precision has the same seed, another log or another setting is another recipe: a row each, by model."""
    bundle = make_bundle(tmp_path)
    bundles = [Bundle(bundle.path, bundle.manifest.model_copy(update={"training": told})) for told in trainings]
    names = row_names(bundles)
    assert len(set(names)) == rows if rows == 1 else names == [each.model for each in bundles]


def test_a_log_that_leaves_nothing_to_ask_for_says_what_would(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle(tmp_path)
    rows = [{"user_id": f"u{n}", "item_id": item, "type": "click"} for n in range(9) for item in ("a", "b")]
    for part, said in ((None, "give users of three products and more"), (0, "the file's own parts have none of it")):
        told = [
            row | {"timestamp": 1_600_000_000 + n} | ({} if part is None else {"split": "train"})
            for n, row in enumerate(rows)
        ]
        (tmp_path / "two.jsonl").write_bytes(b"\n".join(map(orjson.dumps, told)))
        asked = ["evaluate", str(bundle.path), "--log", str(tmp_path / "two.jsonl"), "--format", "common"]
        assert invoke(asked) == Exit.USAGE
        err = capsys.readouterr().err
        assert f"--split leave-one-out leaves nothing to ask for in valid and test; {said}" in err
        assert "--split time" in err


def test_tables_are_not_written_into_a_bundle(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(tmp_path)
    asked = ["evaluate", *written(log, tmp_path), "--baselines", "frozen-last", "--out", str(bundle.path)]
    assert invoke(asked) == Exit.USAGE
    assert f"{bundle.path} is a bundle's; name another folder" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "first"), [([], 0.0), (["--refit"], 1.0), (["--refit", "--on", "valid"], 0.0)])
def test_the_shelf_has_counted_what_its_bundles_have_learned_from(
    options: list[str], first: float, tmp_path: Path
) -> None:
    """Shoppers without history see what sells: one item, which sells in the validation's tenth of the time alone."""
    bundle, (new, *others) = make_bundle(tmp_path), TITLES
    sold = [others[day % len(others)] for day in range(80)] + [new] * 20
    events = (
        {"user_id": f"u{day}", "kind": "review", "item_id": item, "at": MIDNIGHT + day * DAY_MS // 24}
        for day, item in enumerate(sold)
    )
    files = written(log_of(events, [{"item_id": title, "title": title} for title in TITLES]), tmp_path)
    out = ["--baselines", "none", "--out", str(tmp_path / "out")]
    assert invoke(["evaluate", str(bundle.path), *files, "--split", "time", *out, *options]) == Exit.DONE
    found = orjson.loads((tmp_path / "out" / "evaluation.json").read_bytes())
    whole = next(row for row in found["rows"] if (row["condition"], row["part"]) == (WHOLE, "all"))
    assert whole["requests"] == 10
    assert whole["metrics"]["recall@1"] == first
