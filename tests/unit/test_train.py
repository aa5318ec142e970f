"""From a log to a bundle that serves: what was learned is in the lists, and a bundle that drifts is refused."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from model.bundle import ENCODER, Bundle
from model.catalogue import Catalogue
from model.encoder import Encoder
from model.event import Kind
from model.interest import Interest, features, variants
from model.item_tower import item_tower
from model.training.export import ExportError, parity
from model.training.fit import FitSettings
from model.training.folder import becoming, describe
from model.training.hidden import hide_items
from model.training.lessons import codes_of, known_items, lessons, training_requests
from model.training.logs.columns import Log
from model.training.splits import leave_one_out
from model.training.train import USUAL, Trained, TrainSettings, train
from stream.cli import invoke
from stream.errors import Exit
from stream.recommender import Recommender
from tests.logs import log_of
from tests.shop import COLOURS, THEMES, line, make_bundle, shelved, window

DAY_MS = 86_400_000
MIDNIGHT = 1_699_920_000_000
TITLES = [f"{colour} {word}" for words in THEMES.values() for word in words for colour in COLOURS]
SETTINGS = TrainSettings(FitSettings(dim=16, epochs=20, learning_rate=2e-2, text_scale=0.5, batch=64, bf16=False))
PAIRS = {"red boots": "green piano", "red jam": "white hose", "red guitar": "blue sandals", "red spade": "black honey"}
"""What shoppers buy after what, and no title tells."""


def shoppers() -> Iterator[dict[str, Any]]:
    """Two things with what belongs to each, the last of which is validation's target, and then anything."""
    dice = np.random.default_rng(0)
    for user in range(240):
        one, other = dice.permutation(list(PAIRS))[:2].tolist()
        items = [one, PAIRS[one], other, PAIRS[other], str(dice.choice(TITLES))]
        for step, item in enumerate(items):
            yield {"user_id": f"u{user}", "kind": "click", "item_id": item, "at": MIDNIGHT + user + step * DAY_MS}


@pytest.fixture(scope="module")
def log() -> Log:
    return log_of(shoppers(), [{"item_id": title, "title": title} for title in TITLES])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def made(log: Log, base: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return learn(log, leave_one_out(log), base, tmp_path_factory.mktemp("trained") / "bundle", SETTINGS)


def learn(*told: Any, **more: Any) -> Trained:
    found = train(*told, **more)
    assert found is not None
    return found


def recommender(bundle: Bundle, titles: list[str]) -> Recommender:
    encoder, catalogue = Encoder(bundle), Catalogue(item_tower(bundle))
    vectors = encoder.vectors(titles)
    catalogue.apply([(title, shelved(title, vector)) for title, vector in zip(titles, vectors, strict=True)])
    return Recommender(bundle, catalogue, encoder)


def test_what_goes_with_what_is_learned(made: Trained) -> None:
    serving = recommender(made.bundle, TITLES)
    for first, second in PAIRS.items():
        (advice,) = serving.recommend([window(line("click", first))])
        assert advice.items[0].item_id == second, first
        assert advice.items[0].because


def test_what_is_clicked_after_what_was_typed_is_learned(base: Bundle, tmp_path: Path) -> None:
    """Whoever types one thing clicks what belongs to it, and once anything beside; the next time is months later."""
    dice, rows = np.random.default_rng(0), []
    for user in range(480):
        for step, typed in enumerate(dice.choice(list(PAIRS), 8).tolist()):
            told = {"user_id": f"u{user}", "at": MIDNIGHT + user + step * 100 * DAY_MS}
            rows += [{**told, "kind": "search", "query": typed}, {**told, "kind": "click", "item_id": PAIRS[typed]}]
            if step == 4:
                rows += [{**told, "kind": "click", "item_id": title} for title in dice.choice(TITLES, 3)]
    log = log_of(rows, [{"item_id": title, "title": title} for title in TITLES])
    found = learn(log, leave_one_out(log), base, tmp_path / "bundle", SETTINGS)
    untaught, taught = (recommender(bundle, TITLES) for bundle in (base, found.bundle))
    for typed, clicked in PAIRS.items():
        windows = [window(line("search", text=typed))]
        before, after = ([item.item_id for item in each.recommend(windows)[0].items] for each in (untaught, taught))
        assert clicked not in before
        assert clicked == after[0]


def test_a_log_whose_every_window_speaks_against_its_items_is_trained_on(base: Bundle, tmp_path: Path) -> None:
    """No window of it can be compared with the bundle's; the items can."""
    dice = np.random.default_rng(0)
    rows = [
        {"user_id": f"u{user}", "kind": kind, "item_id": str(title), "at": MIDNIGHT + step * DAY_MS}
        for user in range(30)
        for step, (kind, title) in enumerate(zip(["dislike", "click"] * 3, dice.permutation(TITLES)[:6], strict=True))
    ]
    log = log_of(rows, [{"item_id": title, "title": title} for title in TITLES])
    found = learn(log, leave_one_out(log), base, tmp_path / "bundle", SETTINGS)
    assert (found.parity.interests, found.parity.top10) == (0.0, 1.0)
    assert 0 < found.parity.items < 1e-2


def test_the_bundle_says_where_it_came_from(made: Trained, base: Bundle) -> None:
    told = made.bundle.manifest.training
    assert told["encoder"] == base.model
    assert told["settings"]["seed"] == 0
    assert told["valid_ndcg@10"]["towers"] > 0
    assert made.bundle.model.startswith("trained-")


def test_a_new_towers_catalogue_is_the_old_encoders(made: Trained, base: Bundle) -> None:
    assert made.bundle.space == base.space
    assert made.bundle.model != base.model


def test_a_product_that_nobody_has_touched_is_found_by_its_title(log: Log, base: Bundle, tmp_path: Path) -> None:
    split, hidden = hide_items(log, leave_one_out(log), 0.1, seed=3)
    found = learn(log, split, base, tmp_path / "bundle", SETTINGS, hidden=hidden)
    new = {log.items.ids[number] for number in np.flatnonzero(hidden)}
    serving = recommender(found.bundle, TITLES)
    (advice,) = serving.recommend([window(line("search", text="boots"))])
    alike = {item.item_id for item in advice.items if "boots" in item.item_id}
    assert alike  # The words count still,
    like = next(title for title in sorted(new) if title not in PAIRS and title not in PAIRS.values())
    (advice,) = serving.recommend([window(line("search", text=like.split()[1]))])
    assert like in [item.item_id for item in advice.items]  # and nothing else could have brought this one.


def test_test_events_are_not_read(log: Log, base: Bundle, made: Trained, tmp_path: Path) -> None:
    split = leave_one_out(log)
    rows = np.setdiff1d(np.arange(len(log)), split.test)
    kept = log.take(rows)
    place = np.full(len(log), -1)
    place[rows] = np.arange(len(rows))
    less = split._replace(train=split.train[rows], valid=place[split.valid], test=np.zeros(0, np.int64))
    same = learn(kept, less, base, tmp_path / "bundle", SETTINGS)
    for name in ("items.npz", "cooccurrence.npz", "interest.onnx", "items.onnx"):
        assert same.bundle.manifest.files[name] == made.bundle.manifest.files[name], name


def test_a_drifting_bundle_is_refused(log: Log, made: Trained) -> None:
    split = leave_one_out(log)
    requests = training_requests(log, split.train, made.bundle.lines, made.bundle.age_ms)
    windows = lessons(log, requests, codes_of(log))
    windows = windows.only(np.flatnonzero((windows.items >= 0).any(axis=1)))
    learned_from = split.train.copy()
    learned_from[split.valid] = True
    known = known_items(log, learned_from)
    assert parity(made.bundle, made.fitted.towers, log.items.ids, known, windows).top10 > 0.99
    with torch.no_grad():
        made.fitted.towers.own[:, 0] += 0.3
    with pytest.raises(ExportError, match="drifts"):
        parity(made.bundle, made.fitted.towers, log.items.ids, known, windows)


def test_searches_fade_as_in_the_zero_shot_bundle_where_training_saw_none(made: Trained) -> None:
    lines = [line("search"), line("click"), line("search"), line("click")]
    present = np.arange(made.bundle.manifest.lines)[None] < len(lines)
    vectors = np.ones((*present.shape, made.bundle.dim), np.float32) * present[..., None]
    told = features([lines], np.full(present.shape, -1))
    (weights,) = Interest(made.bundle)(vectors, told, variants(present)[:, :1]).weights[0]
    assert weights[0] == pytest.approx(weights[2] / 4)
    assert weights[1] != pytest.approx(weights[3] / 4), "of clicks it has learned another"


def test_without_two_touches_there_is_nothing_to_learn(base: Bundle, tmp_path: Path) -> None:
    lonely = log_of([{"user_id": "u", "kind": Kind.CLICK, "item_id": "red boots", "at": MIDNIGHT}])
    with pytest.raises(ValueError, match="nothing to learn"):
        learn(lonely, leave_one_out(lonely), base, tmp_path / "bundle", SETTINGS)
    assert not (tmp_path / "bundle").exists()


def test_the_command_trains_from_files(
    base: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"event_id": f"e-{number}", **row} for number, row in enumerate(shoppers())]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (tmp_path / "items.jsonl").write_bytes(
        b"\n".join(orjson.dumps({"item_id": title, "title": title}) for title in TITLES)
    )
    asked = [
        "train",
        "--log",
        str(tmp_path / "events.jsonl"),
        "--items",
        str(tmp_path / "items.jsonl"),
        "--set",
        "epochs=1",
    ]
    asked += ["--bundle", str(base.path), "--out", str(tmp_path / "out"), "--tensorboard", str(tmp_path / "board")]
    assert invoke(asked) == 0
    told = orjson.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["model"] == Bundle.load(tmp_path / "out").model
    assert any((tmp_path / "board").rglob("events.out.*"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert invoke([*asked, "--seed", "1"]) == 0
    out, err = capsys.readouterr()
    assert f"the bundle {told['model']} in {tmp_path / 'out'} will be replaced" in err.splitlines()[0]
    new = Bundle.load(tmp_path / "out")
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (rows["model"], rows["bundle"], rows["epochs"]) == (new.model, str(tmp_path / "out"), "1")
    assert f"{new.manifest.training['valid_ndcg@10']['fresh']:.4f} on validation" in rows["NDCG@10"]
    assert "new items" in out
    assert invoke([*asked, "--json"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert orjson.loads(last)["model"] == told["model"], "the same seed, the same bundle"
    assert invoke([*asked[:2], str(tmp_path / "nothing.jsonl"), "--out", str(tmp_path / "none")]) == Exit.BAD_INPUT


def test_the_encoder_is_spread_over_the_products_of_training_once(base: Bundle, tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    rows = [
        {"event_id": f"e-{number}", "user_id": f"u{number // 6}", "kind": "click", "item_id": item, "at": at}
        for number, item in enumerate(dice.choice(TITLES, 600).tolist())
        for at in [MIDNIGHT + number * DAY_MS // 100]
    ]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    asked = ["train", "--log", str(tmp_path / "events.jsonl"), "--set", "epochs=1", "--no-refit", "--no-bar"]

    def trained(name: str, on: Path, *more: str) -> Bundle:
        assert invoke([*asked, "--bundle", str(on), "--out", str(tmp_path / name), *more]) == Exit.DONE
        return Bundle.load(tmp_path / name)

    spread = trained("spread", base.path)
    assert spread.space != base.space
    assert trained("again", spread.path).space == spread.space, "a fleet keeps its catalogue from training to training"
    assert trained("kept", base.path, "--no-whiten").space == base.space
    assert not list(tmp_path.glob(".*")), "nothing is left beside the bundles"


def test_bundles_of_one_log_say_the_same_of_it_whatever_its_name(base: Bundle, tmp_path: Path) -> None:
    """All on one day: shuffled, they are in another order, and of the same log."""
    rows = [{"event_id": f"e-{number}", **row, "at": MIDNIGHT + number} for number, row in enumerate(shoppers())]
    told = []
    for name, kept, more in (("one", rows, []), ("two", rows, ["--shuffle-ties"]), ("one", rows[:-1], [])):
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, kept)))
        asked = ["train", "--log", str(tmp_path / f"{name}.jsonl"), "--bundle", str(base.path), "--no-bar", *more]
        assert invoke([*asked, "--no-refit", "--set", "epochs=1", "--out", str(tmp_path / "out")]) == Exit.DONE
        told.append(Bundle.load(tmp_path / "out").manifest.training)
    one, two, less = ([each[name] for name in ("events", "items", "checksum")] for each in told)
    assert one == two
    assert one[:2] == [len(rows), len({row["item_id"] for row in rows})]
    assert one[2] != less[2]
    assert told[0]["log"] == told[2]["log"] != told[1]["log"]


def test_the_command_tunes_an_encoder_before_the_towers(
    base: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The towers are of the tuned encoder's space. The base's is not asked: one that cannot run does as well."""
    from tests.bert import bert_folder

    rows = [
        {"event_id": f"e-{number}", **row, "kind": "review", "text": "red"} for number, row in enumerate(shoppers())
    ]
    rows = [{**row, "rating": 1 + number % 5} if number % 2 else row for number, row in enumerate(rows)]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    with becoming(tmp_path / "base") as made:
        for name in base.manifest.files:
            shutil.copyfile(base.path / name, made / name)
        (made / ENCODER).write_bytes(b"no graph")
        describe(made, **base.manifest.model_dump(exclude={"files", "fingerprint", "format"}))
    asked = ["train", "--log", str(tmp_path / "events.jsonl"), "--bundle", str(tmp_path / "base")]
    asked += ["--encoder", str(bert_folder(tmp_path / "bert")), "--precision", "fp32", "--pairs", "64", "--no-refit"]
    asked += ["--set", "epochs=1", "--checkpoints", str(tmp_path / "kept"), "--out", str(tmp_path / "out")]
    assert invoke(asked) == Exit.DONE
    found, tuned = Bundle.load(tmp_path / "out"), Bundle.load(tmp_path / "kept" / "encoder" / "base")
    assert found.space == tuned.space != base.space
    bar = "the encoder learns"
    assert bar in capsys.readouterr().err
    frozen = [*asked[:-3], str(tmp_path / "frozen"), "--adapt", "frozen", "--out", str(tmp_path / "out")]
    assert invoke(frozen) == Exit.DONE
    assert bar not in capsys.readouterr().err
    assert found.manifest.training["encoder"] == tuned.model


def test_a_log_whose_reviews_tell_stars_makes_a_bundle_that_reads_them(base: Bundle, tmp_path: Path) -> None:
    """Those who buy music like it, and say so; those who buy food do not."""
    told = []
    for row in shoppers():
        food = any(word in row["item_id"] for word in THEMES["food"])
        told.append({**row, "kind": "review", "text": row["item_id"], "rating": 1 if food else 5})
    log = log_of(told, [{"item_id": title, "title": title} for title in TITLES])
    brief = TrainSettings(FitSettings(dim=16, epochs=1, batch=64, bf16=False), refit=False)
    found = learn(log, leave_one_out(log), base, tmp_path / "bundle", brief)
    figures = found.bundle.manifest.training["sentiment"]
    assert figures["rmse"] < figures["mean_rmse"]
    assert found.bundle.file("sentiment.onnx") is not None


def test_a_log_without_reviews_makes_a_bundle_without_the_head(made: Trained) -> None:
    assert made.bundle.file("sentiment.onnx") is None
    assert "left_out" in made.bundle.manifest.training["sentiment"]


def test_a_name_that_no_topic_may_have_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["train", "--log", str(tmp_path), "--out", str(tmp_path / "out"), "--name", "my_model"]
    assert invoke(asked) == Exit.USAGE
    assert "'my_model'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", ["patience=0", "epochs=0", "dim=0", "batch=-1", "dropout=nan", "dropout=1", "epochs=99999999999999999999"]
)
def test_settings_that_leave_towers_untrained_are_refused(
    change: str, base: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before hours are spent on reading the log."""
    (tmp_path / "events.jsonl").write_bytes(b"not read")
    asked = ["train", "--log", str(tmp_path / "events.jsonl"), "--bundle", str(base.path), "--set", change]
    assert invoke([*asked, "--out", str(tmp_path / "out")]) == Exit.USAGE
    assert f"--set {change}; give " in capsys.readouterr().err


def test_a_checkpoint_of_another_training_names_its_option(
    base: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"event_id": f"e-{number}", **row} for number, row in enumerate(shoppers())]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    asked = ["train", "--log", str(tmp_path / "events.jsonl"), "--bundle", str(base.path), "--no-refit"]
    asked += ["--set", "epochs=1", "--checkpoints", str(tmp_path / "kept"), "--out", str(tmp_path / "out")]
    assert invoke(asked) == Exit.DONE
    model = Bundle.load(tmp_path / "out").model
    capsys.readouterr()
    assert invoke([*asked, "--set", "dropout=0.5"]) == Exit.USAGE
    said = capsys.readouterr().err.splitlines()[-1]
    assert "--checkpoints: " in said
    assert said.endswith("name another folder, or remove it")
    assert Bundle.load(tmp_path / "out").model == model


def test_a_log_without_a_request_to_choose_by_is_not_searched(
    base: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"event_id": str(n), "user_id": f"u{n // 5}", "kind": "click", "item_id": f"i{n}", "at": MIDNIGHT + n}
        for n in range(25)
    ]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    log = ["--log", str(tmp_path / "events.jsonl"), "--bundle", str(base.path)]
    assert invoke(["tune", *log, "--trials", "1"]) == Exit.USAGE
    assert "choose by" in capsys.readouterr().err
    assert invoke(["train", *log, "--set", "epochs=1", "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert "nothing to choose by" in err, "it trains, and says what nobody has chosen"
    assert orjson.loads(out.splitlines()[-1])["directed"] == USUAL.directed
    assert "learning from 15 windows of 20 items" in err, "validation's among them, test's not"
