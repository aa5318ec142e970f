"""One encoder in three precisions, and a gate that refuses what drifts."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from tokenizers import Tokenizer

from model.bundle import Bundle
from model.session import cpu_only
from model.training import quantise
from model.training.encoders import EncoderError, Found, find
from model.training.probes import known
from model.training.quantise import LIMITS, Parity, Precision, convert, parity, vectors
from stream.cli import invoke
from stream.errors import Exit
from tests.bert import bert_folder
from tests.shop import COLOURS, THEMES, WORDS, encoder_folder

TITLES = [f"{colour} {word}" for words in THEMES.values() for word in words for colour in COLOURS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_folder(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    return find(str(folder))


def operators(graph: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(graph).graph.node)


def weights(graph: bytes) -> int:
    """Bytes of all weights."""
    return sum(len(each.raw_data) for each in onnx.load_from_string(graph).graph.initializer)


def test_fp32_has_one_operator_for_each_layers_attention_norm_and_gelu(found: Found) -> None:
    made, reached = convert(found, "fp32", TITLES)
    there = operators(made.graph)
    assert (there["Attention"], there["BiasGelu"], there["EmbedLayerNormalization"]) == (2, 2, 1)
    assert there["SkipLayerNormalization"] == 4
    assert there["Softmax"] == there["LayerNormalization"] == 0
    assert reached.cosine_min > 0.99999


def test_fp16_has_half_the_bytes_and_still_takes_and_gives_what_it_did(found: Found) -> None:
    made, _ = convert(found, "fp16", TITLES)
    assert len(made.graph) < 0.7 * len(found.graph)
    output = onnx.load_from_string(made.graph).graph.output[0]
    assert (output.name, output.type.tensor_type.elem_type) == ("last_hidden_state", onnx.TensorProto.FLOAT)


def test_int8_has_a_quarter_of_the_bytes_and_the_same_bits_alone_and_in_company(found: Found) -> None:
    made, _ = convert(found, "int8", TITLES)
    assert weights(made.graph) < 0.35 * weights(found.graph)
    assert operators(made.graph)["MatMulIntegerToFloat"] == 2 * 6
    together = vectors(made, TITLES)
    for title, vector in zip(TITLES[::10], together[::10], strict=True):
        np.testing.assert_array_equal(vectors(made, [title])[0], vector)


def test_int8_alone_would_run_on_the_cpu_where_a_gpu_is_asked_for(found: Found) -> None:
    assert cpu_only(convert(found, "int8", TITLES)[0].graph) == ["MatMulIntegerToFloat"]
    for graph in (found.graph, convert(found, "fp32", TITLES)[0].graph, convert(found, "fp16", TITLES)[0].graph):
        assert cpu_only(graph) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_drifts_is_refused_with_the_threshold(
    found: Found, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = Parity(1.1, 0, 0)
    monkeypatch.setitem(quantise.LIMITS, precision, limit)
    with pytest.raises(EncoderError, match=rf"{precision} drifts: cosine_min .* threshold 1\.1"):
        convert(found, precision, TITLES)


def test_parity_is_of_direction_and_of_neighbours() -> None:
    dice = np.random.default_rng(0)
    here = dice.normal(size=(100, 8)).astype(np.float32)
    here /= np.linalg.norm(here, axis=1, keepdims=True)
    assert parity(here, here) == pytest.approx((1, 1, 1), abs=1e-6)
    turned = here @ np.linalg.qr(dice.normal(size=(8, 8)))[0].astype(np.float32)
    same_neighbours = parity(here, turned)
    assert same_neighbours.overlap == pytest.approx(1, abs=0.01)
    assert same_neighbours.cosine_mean < 0.9
    assert parity(here, here[::-1]).overlap == pytest.approx(10 / 99, abs=0.06)
    with pytest.raises(ValueError, match="too few"):
        parity(here[:20], here[:20])


def test_a_limit_below_nothing_would_let_all_through() -> None:
    for precision, limits in LIMITS.items():
        assert all(0.5 < limit <= 1 for limit in limits), precision


def test_a_graph_without_weights_to_quantise_is_refused(found: Found, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no product with fp32 weights"):
        convert(find(str(encoder_folder(tmp_path))), "int8", TITLES)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_int8_has_lost_is_not_said_to_be_had_back(found: Found, precision: Precision) -> None:
    small, _ = convert(found, "int8", TITLES)
    with pytest.raises(EncoderError, match="int8 already"):
        convert(small, precision, TITLES)


def test_a_tokenizer_that_knows_no_probe_is_compared_on_its_own_words(found: Found) -> None:
    texts = known(Tokenizer.from_buffer(found.tokenizer))
    assert len(set(texts)) > 100
    assert set(" ".join(texts).split()) <= set(WORDS)


def test_a_bundle_in_another_precision_is_another_model(folder: Path, tmp_path: Path) -> None:
    made = {}
    for precision in ([], ["--precision", "fp16"], ["--precision", "int8"]):
        out = tmp_path / "-".join(["bundle", *precision])
        assert invoke(["model", "init", "--encoder", str(folder), "--out", str(out), *precision]) == Exit.DONE
        made[Bundle.load(out).model] = (out / "encoder.onnx").stat().st_size
    as_it_is, fp16, int8 = made.values()
    assert int8 < as_it_is
    assert fp16 < as_it_is
