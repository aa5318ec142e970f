"""Towers apart from their encoder: taken, put on again, and refused on another."""

from pathlib import Path

import orjson
import pytest

from model.bundle import Bundle, BundleError
from model.training.grafting import PARTS, TOWERS, graft, take
from model.training.zeroshot import Reading
from stream.cli import invoke
from stream.errors import Exit
from tests.shop import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"), name="one")


def test_what_was_taken_is_the_same_bundle_when_grafted_again(bundle: Bundle, tmp_path: Path) -> None:
    take(bundle, tmp_path / "towers")
    assert not (tmp_path / "towers" / "encoder.onnx").exists()
    again = graft(bundle, tmp_path / "towers", tmp_path / "again")
    assert again.model == bundle.model
    assert again.manifest == bundle.manifest


def test_another_encoders_towers_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    take(bundle, tmp_path / "towers")
    other = make_bundle(tmp_path / "other", reading=Reading(max_tokens=32))
    assert other.space != bundle.space
    with pytest.raises(BundleError, match=r"space .*train them anew"):
        graft(other, tmp_path / "towers", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("told", [None, b"{", b"{}"])
def test_a_folder_without_towers_is_refused(bundle: Bundle, tmp_path: Path, told: bytes | None) -> None:
    if told is not None:
        (tmp_path / TOWERS).write_bytes(told)
    with pytest.raises(BundleError, match="no towers"):
        graft(bundle, tmp_path, tmp_path / "again")


def test_the_commands_take_and_graft(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    towers, out = str(tmp_path / "towers"), str(tmp_path / "out")
    assert invoke(["model", "take", str(bundle.path), towers]) == Exit.DONE
    told = orjson.loads((tmp_path / "towers" / TOWERS).read_bytes())
    assert told["space"] == bundle.space
    assert {path.name for path in (tmp_path / "towers").iterdir()} <= {*PARTS, TOWERS}
    assert invoke(["model", "graft", towers, "--bundle", str(bundle.path), "--out", out]) == Exit.DONE
    assert bundle.model in capsys.readouterr().out
