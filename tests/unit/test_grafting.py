"""Towers apart from their encoder: taken, put on again, and refused on another."""

import json
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest

from model import cooccurrence
from model.bundle import Bundle, BundleError
from model.training.grafting import BITS, PARTS, TOWERS, WHITENING, graft, take
from model.training.zeroshot import init
from stream.cli import invoke
from stream.errors import Exit
from tests.shop import encoder_folder, make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"), name="one")


def test_what_was_taken_is_the_same_bundle_when_grafted_again(bundle: Bundle, tmp_path: Path) -> None:
    take(bundle, tmp_path / "towers")
    assert not (tmp_path / "towers" / "encoder.onnx").exists()
    again = graft(bundle, tmp_path / "towers", tmp_path / "again")
    assert again.model == bundle.model
    assert again.manifest == bundle.manifest


def test_small_towers_are_the_same_counts_within_three_in_a_hundred(tmp_path: Path) -> None:
    log, dice = tmp_path / "log.jsonl", np.random.default_rng(0)
    with log.open("w") as file:
        for at in range(1_700_000_000, 1_700_004_000):
            user, item = dice.integers(40), dice.integers(60)
            file.write(
                json.dumps({"user_id": f"u{user}", "item_id": f"i{item}", "type": "view", "timestamp": at}) + "\n"
            )
    bundle = make_bundle(tmp_path / "made", log=log, log_format="common")
    take(bundle, tmp_path / "whole")
    take(bundle, tmp_path / "small", small=True)
    sizes = [(tmp_path / name / "cooccurrence.npz").stat().st_size for name in ("whole", "small")]
    assert sizes[1] < sizes[0] / 2
    again = graft(bundle, tmp_path / "small", tmp_path / "again")
    assert (again.space, again.manifest.training) == (bundle.space, {"table_bits": BITS})
    assert again.model != bundle.model, "other numbers are another model"
    before, after = cooccurrence.load(bundle), cooccurrence.load(again)
    assert (after.item_ids, after.indices.tolist()) == (before.item_ids, before.indices.tolist())
    assert after.values.dtype == before.values.dtype
    assert after.values == pytest.approx(before.values, rel=1 / 32)
    assert len(np.unique(after.values)) < len(np.unique(before.values)) / 2


def test_what_was_taken_before_does_not_stay_among_what_is_taken_now(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "cooccurrence.npz").write_bytes(b"of another bundle")
    take(bundle, tmp_path)
    assert bundle.file("cooccurrence.npz") is None
    assert not (tmp_path / "cooccurrence.npz").exists()


def test_another_encoders_towers_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    take(bundle, tmp_path / "towers")
    folder = encoder_folder(tmp_path / "encoder")
    model = onnx.load(folder / "model.onnx")
    table = onnx.numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(table * np.float32(1.5), "table"))
    onnx.save(model, folder / "model.onnx")
    other = init(str(folder), tmp_path / "other")
    assert other.space != bundle.space
    with pytest.raises(BundleError, match=r"space .*train them anew"):
        graft(other, tmp_path / "towers", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("of", [1, None])
def test_towers_of_another_format_are_refused(bundle: Bundle, tmp_path: Path, of: int | None) -> None:
    take(bundle, tmp_path / "towers")
    told = orjson.loads((tmp_path / "towers" / TOWERS).read_bytes())
    assert told.pop("format") == bundle.manifest.format
    (tmp_path / "towers" / TOWERS).write_bytes(orjson.dumps(told if of is None else {**told, "format": of}))
    said = rf"format is {of or 'an earlier one'}, .* of format {bundle.manifest.format}; train them anew"
    with pytest.raises(BundleError, match=said):
        graft(bundle, tmp_path / "towers", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_folder_with_other_files_is_left_alone(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events.jsonl").write_text("mine")
    assert invoke(["model", "take", str(bundle.path), str(tmp_path)]) == Exit.USAGE
    assert f"{tmp_path} holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]


@pytest.mark.parametrize("told", [None, b"{", b"{}", b"[]"])
def test_a_folder_without_towers_is_refused(bundle: Bundle, tmp_path: Path, told: bytes | None) -> None:
    if told is not None:
        (tmp_path / TOWERS).write_bytes(told)
    with pytest.raises(BundleError, match="no towers"):
        graft(bundle, tmp_path, tmp_path / "again")


@pytest.mark.parametrize(
    ("name", "spoilt", "said"),
    [(TOWERS, b"", "lacks 'max_tokens'"), (WHITENING, b"no array", "cannot be read; take the towers again")],
)
def test_damaged_towers_are_told_as_what_they_are(
    bundle: Bundle, tmp_path: Path, name: str, spoilt: bytes, said: str
) -> None:
    take(bundle, tmp_path / "towers")
    less = {"space": bundle.space, "format": bundle.manifest.format}
    (tmp_path / "towers" / name).write_bytes(spoilt or orjson.dumps(less))
    with pytest.raises(BundleError, match=said):
        graft(bundle, tmp_path / "towers", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_the_commands_take_and_graft(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    towers, out = str(tmp_path / "towers"), str(tmp_path / "out")
    assert invoke(["model", "take", str(bundle.path), towers]) == Exit.DONE
    told = orjson.loads((tmp_path / "towers" / TOWERS).read_bytes())
    assert told["space"] == bundle.space
    assert {path.name for path in (tmp_path / "towers").iterdir()} <= {*PARTS, TOWERS}
    assert invoke(["model", "graft", towers, "--bundle", str(bundle.path), "--out", out]) == Exit.DONE
    assert bundle.model in capsys.readouterr().out
