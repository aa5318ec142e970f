"""A bundle is loaded whole, or refused by a text that names the file and the remedy."""

import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from model.bundle import MANIFEST, Bundle, BundleError
from model.training.zeroshot import Reading
from tests.shop import DIM, make_bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle")).path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def change(folder: Path, **told: object) -> None:
    manifest = orjson.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest | told))


def test_a_bundle_tells_its_model_and_shape(made: Path) -> None:
    bundle = Bundle.load(made)
    assert bundle.model.startswith("zero-shot-")
    assert len(bundle.model) == len("zero-shot-") + 8
    assert (bundle.dim, bundle.lines) == (DIM, 32)
    assert bundle.file("cooccurrence.npz") is None
    assert bundle.file("scorer.onnx") == made / "scorer.onnx"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle folder .*nowhere.*model init"):
        Bundle.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["encoder.onnx", "tokenizer.json", "interest.onnx", "scorer.onnx", MANIFEST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"{name} cannot be read.*model init"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", ["encoder.onnx", "tokenizer.json", "interest.onnx", "scorer.onnx"])
def test_a_file_with_one_other_byte_is_named(folder: Path, name: str) -> None:
    told = bytearray((folder / name).read_bytes())
    told[len(told) // 2] ^= 1
    (folder / name).write_bytes(told)
    with pytest.raises(BundleError, match=rf"{name} is not the file"):
        Bundle.load(folder)


@pytest.mark.parametrize("told", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}", b'{"format": 1}'])
def test_a_manifest_that_is_none_is_refused(folder: Path, told: bytes) -> None:
    (folder / MANIFEST).write_bytes(told)
    with pytest.raises(BundleError, match=MANIFEST):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "told",
    [
        {"format": 1},
        {"dim": "384"},
        {"dim": 0},
        {"lines": True},
        {"name": "Zero Shot"},
        {"name": "../up"},
        {"pooling": "max"},
        {"text_share": 2.0},
        {"files": {}},
        {"unknown": 1},
    ],
)
def test_a_manifest_of_another_form_is_refused_and_the_field_named(folder: Path, told: dict[str, object]) -> None:
    change(folder, **told)
    with pytest.raises(BundleError, match=next(iter(told))):
        Bundle.load(folder)


def test_a_file_outside_the_folder_is_not_read(folder: Path) -> None:
    files = orjson.loads((folder / MANIFEST).read_bytes())["files"]
    change(folder, files={**files, "../../secret": "0" * 64})
    with pytest.raises(BundleError, match="secret"):
        Bundle.load(folder)


def test_another_fingerprint_is_refused_with_the_remedy(folder: Path) -> None:
    change(folder, fingerprint="0" * 64)
    with pytest.raises(BundleError, match=r"fingerprint is 000000000000.*other words.*model init"):
        Bundle.load(folder)


def test_the_same_inputs_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = make_bundle(tmp_path / "elsewhere").path
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in made.iterdir()
    }


@pytest.mark.parametrize(
    "change_it",
    [
        lambda path: make_bundle(path, reading=Reading(max_tokens=32)),
        lambda path: make_bundle(path, reading=Reading(text_share=0.1)),
        lambda path: make_bundle(path, pooling="cls"),
        lambda path: make_bundle(path, reading=Reading(lines=16)),
        lambda path: make_bundle(path, name="other"),
    ],
)
def test_anything_that_changes_an_answer_is_another_model(
    made: Path, tmp_path: Path, change_it: Callable[[Path], Bundle]
) -> None:
    assert change_it(tmp_path).model != Bundle.load(made).model


def test_who_made_it_and_its_licence_are_not_part_of_the_model(made: Path, tmp_path: Path) -> None:
    assert make_bundle(tmp_path, licence="MIT").model == Bundle.load(made).model
