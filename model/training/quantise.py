"""An encoder's graph in another precision: fp32 and fp16 with fused attention, int8; and a gate for what drifts.

Knows nothing of bundles, of Kafka or of torch. What the precisions are for:

    fp32  attention, layer norms and GELU as one operator each: for a GPU. A CPU gains nothing.
    fp16  the same with half the bytes: for a GPU. A CPU has few fp16 operators and casts around them.
    int8  a quarter of the bytes: for a CPU. Weights have a scale per output channel, activations one per token
          (`token_scales.py`). 2.2 times as fast as fp32 on one core with VNNI; a GPU has no such operators.

MiniLM-L6 on the titles of Beauty, next item on validation (`tests/bench/precision.py`): Recall@10 .0566 with fp32 and
fp16, .0572 with int8, whose vectors have a mean cosine of .9957 with fp32's and 92 % of their ten neighbours.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from tokenizers import Tokenizer

from model.bundle import ENCODER, TOKENIZER, Bundle, Manifest
from model.encoder import Encoder
from model.session import Floats
from model.training.encoders import EncoderError, Found, Precision
from model.training.probes import known
from model.training.token_scales import TokenScaleError, per_token
from model.training.whitening import bare, followed_by, matrix_of

NEAREST = 10
COMPARED = 2_000  # Texts whose neighbours are compared; 12,000 would take a minute and say the same.


class Parity(NamedTuple):
    """How near the vectors of two graphs are."""

    cosine_min: float
    cosine_mean: float
    overlap: float
    """Mean share of a text's NEAREST other texts that stay."""


LIMITS: dict[Precision, Parity] = {
    "fp32": Parity(0.99999, 0.99999, 0.999),
    "fp16": Parity(0.999, 0.9999, 0.97),
    "int8": Parity(0.95, 0.985, 0.8),
}
"""What a conversion must reach. 12,101 titles, MiniLM-L6: 1, 1, 1; 1, 1, .999; .990, .996, .918."""


def convert(found: Found, precision: Precision, texts: Sequence[str] | None = None) -> tuple[Found, Parity]:
    """The encoder in another precision, and how near it is to what it was. A map behind it (`whitening.py`) is not
    converted; it makes small directions large, and noise of 8 bits with them, and that is judged.

    Args:
        found: as it is, fp32.
        precision: wanted.
        texts: real ones to compare on, 100 or more; None: `probes.py`, those that the tokenizer knows.

    Raises:
        EncoderError: the graph cannot be converted, or it drifts from the original by more than LIMITS.
    """
    matrix, plain = matrix_of(found.graph), bare(found)
    model = onnx.load_from_string(plain.graph)
    if any(node.op_type.startswith("MatMulInteger") for node in model.graph.node):
        raise EncoderError("this encoder is int8 already: leave --precision out, or take it in fp32")
    made = {"fp32": _fused, "fp16": _half, "int8": _int8}[precision](model)
    converted = replace(plain, graph=made.SerializeToString(deterministic=True))
    if matrix is not None:
        converted = followed_by(converted, matrix)
    compared = list(dict.fromkeys(texts)) if texts is not None else known(Tokenizer.from_buffer(found.tokenizer))
    reached = parity(vectors(found, compared), vectors(converted, compared))
    for name, value, limit in zip(Parity._fields, reached, LIMITS[precision], strict=True):
        if not value >= limit:
            raise EncoderError(
                f"{precision} drifts: {name} {value:.5f} is below the threshold {limit} on {len(compared)} texts; "
                "take another --precision"
            )
    return converted, reached


@contextmanager
def serving(found: Found, max_tokens: int = 64, threads: int = 1) -> Iterator[Encoder]:
    """The encoder by the code that serves; its files are gone afterwards."""
    told = Manifest.model_construct(
        dim=found.dim, text_dim=found.dim, pooling=found.pooling, output=found.output, max_tokens=max_tokens
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / ENCODER).write_bytes(found.graph)
        (folder / TOKENIZER).write_bytes(found.tokenizer)
        yield Encoder(Bundle(folder, told), threads=threads)


def vectors(found: Found, texts: Sequence[str]) -> Floats:
    """(T, D) unit vectors."""
    with serving(found) as encoder:
        return encoder.vectors(texts)


def parity(original: Floats, converted: Floats) -> Parity:
    """How near (T, D) unit vectors are, and whether they have the same neighbours.

    Raises:
        ValueError: too few texts to have neighbours.
    """
    if len(original) <= 2 * NEAREST:
        raise ValueError(f"{len(original)} texts are too few to compare {NEAREST} neighbours of each")
    cosines = (original * converted).sum(1)
    chosen = np.linspace(0, len(original) - 1, min(len(original), COMPARED)).astype(int)
    here, there = _neighbours(original[chosen]), _neighbours(converted[chosen])
    overlap = np.mean([len(set(one) & set(other)) / NEAREST for one, other in zip(here, there, strict=True)])
    return Parity(float(cosines.min()), float(cosines.mean()), float(overlap))


def _neighbours(unit: Floats) -> list[list[int]]:
    """The NEAREST other rows of each row."""
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    best: list[list[int]] = np.argpartition(-cosines, NEAREST, axis=1)[:, :NEAREST].tolist()
    return best


def _fused(model: onnx.ModelProto) -> onnx.ModelProto:
    """Attention, embeddings with their layer norm, layer norms with their sums, and bias with GELU: one operator each.

    Heads and width are read off the graph. Where nothing fuses (another architecture), the graph stays as it was.
    """
    fused: onnx.ModelProto = _fused_graph(model).model
    return fused


def _half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights and sums in fp16; what comes in and goes out stays as it was."""
    fused = _fused_graph(model)
    fused.convert_float_to_float16(keep_io_types=True)
    half: onnx.ModelProto = fused.model
    return half


def _fused_graph(model: onnx.ModelProto) -> Any:  # onnxruntime has no types.
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_by_fusion

    width, heads = _width_and_heads(model)
    options = FusionOptions("bert")
    options.enable_attention = heads > 0  # Else it complains once per layer that it cannot read them off the graph.
    try:
        return optimize_by_fusion(model, "bert", num_heads=heads, hidden_size=width, optimization_options=options)
    except ImportError as error:  # onnxruntime works out shapes with it; torch brings it.
        raise EncoderError("fp32 and fp16 need sympy: pip install 'firstclick[train]', or take int8") from error


def _width_and_heads(model: onnx.ModelProto) -> tuple[int, int]:
    """Width of the hidden states and number of heads, (0, 0) where none are found.

    onnxruntime looks for the heads in the shape of a Reshape; today's exports write (T, L, -1, width of a head).
    """
    numbers = {each.name: each for each in model.graph.initializer}
    numbers |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        shape = makers.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is None or shape.op_type != "Concat" or len(shape.input) != 4 or shape.input[3] not in numbers:
            continue
        head = int(onnx.numpy_helper.to_array(numbers[shape.input[3]]).item())
        width = next((o.type.tensor_type.shape.dim[-1].dim_value for o in model.graph.output), 0)
        if head > 0 and width > 0 and width % head == 0:
            return width, width // head
    return 0, 0


def _int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights of products per output channel and embeddings in 8 bits, activations in 8 bits per token.

    Weights take 7 of the 8 bits (`reduce_range`): CPUs without VNNI add two products in 16 bits, which saturates with
    eight; with seven the integers are the same on every CPU. Attention's own products stay in fp32: they have no
    weights and cost little at the length of titles.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    add_pre_process_metadata(model)  # Else a warning advises what onnxruntime does anyway when it opens the graph.
    with tempfile.TemporaryDirectory() as folder:
        quantize_dynamic(
            model,
            f"{folder}/int8.onnx",
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # After operators of onnxruntime's own.
        )
        made = onnx.load(f"{folder}/int8.onnx")
    if not any(node.op_type == "MatMulInteger" for node in made.graph.node):
        raise EncoderError("there is no product with fp32 weights in this graph: take the encoder in fp32")
    del made.metadata_props[:]
    try:
        return per_token(made)
    except TokenScaleError as error:
        raise EncoderError(f"int8: {error}") from error
