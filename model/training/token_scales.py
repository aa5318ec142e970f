"""An int8 graph with one scale of activations per token in place of one per batch.

Knows nothing of encoders. A text's vector must not depend on its company, else a replay gives other bytes. What
onnxruntime's `quantize_dynamic` writes, and so most int8 encoders of the hub, takes one scale of whatever texts share
the batch: the same title differs by up to .03 in a component then. One scale per token costs a tenth of the speed and
halves the error, for a token with large values no longer coarsens all others (Yao et al. 2022, ZeroQuant, section 4.1).
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

WHOLE_BATCH = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "QAttention", "DynamicQuantizeLSTM"})
"""Operators that take one scale of all that is in the batch."""
MID, LEVELS = 128, 127
"""Activations as uint8 around MID: for unsigned activations and signed weights CPUs have instructions."""
AXES_ARE_INPUTS = 18  # ReduceMax, from this opset on.


class TokenScaleError(Exception):
    """Activations have one scale per batch, in a form that cannot be rewritten."""


class _Product(NamedTuple):
    """One quantised product: MatMulInteger -> Cast -> Mul with (scale of activations * scales of weights)."""

    integers: onnx.NodeProto
    cast: onnx.NodeProto
    scaled: onnx.NodeProto
    both: onnx.NodeProto
    activations: str
    weights: str


def depends_on_company(model: onnx.ModelProto) -> bool:
    """Whether a text's hidden states depend on the other texts of its batch."""
    return any(node.op_type in WHOLE_BATCH for node in model.graph.node)


def per_token(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, changed in place: (T, L, 1) scales of activations wherever there was one.

    (q, s, z) = DynamicQuantizeLinear(x) and MatMulInteger(q, W, z) * (s w) become: s = max |x| / LEVELS over a token's
    values, q = round(x / s) + MID, and (q - MID) W * w * s.

    Raises:
        TokenScaleError: activations are quantised in another form.
    """
    nodes = list(model.graph.node)
    products = {product.integers.output[0]: product for product in _products(model, nodes)}
    gone = {node.output[0] for each in products.values() for node in (each.cast, each.scaled, each.both)}
    written: list[onnx.NodeProto] = []
    for node in nodes:
        if node.op_type == "DynamicQuantizeLinear":
            written += _quantised(node, _opset(model))
        elif node.output[0] in products:
            written += _multiplied(products[node.output[0]])
        elif node.output[0] not in gone:
            written.append(node)
    del model.graph.node[:]
    model.graph.node.extend(written)
    if depends_on_company(model):
        found = Counter(node.op_type for node in written if node.op_type in WHOLE_BATCH)
        raise TokenScaleError(f"one scale for a whole batch in {', '.join(found)}")
    numbers: dict[str, Any] = {
        "one": np.float32(1),
        "levels": np.float32(LEVELS),
        "least": np.float32(1e-30),
        "mid": np.uint8(MID),
    }
    numbers["last"] = np.array([-1])
    model.graph.initializer.extend(numpy_helper.from_array(np.array(v), f"token_{name}") for name, v in numbers.items())
    if not any(each.domain == "com.microsoft" for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def _products(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> list[_Product]:
    """Every product of dynamically quantised activations with weights."""
    quantised = {node.output[0]: node for node in nodes if node.op_type == "DynamicQuantizeLinear"}
    scales = {node.output[1] for node in quantised.values()}
    weights = {tensor.name for tensor in model.graph.initializer}
    makers = {name: node for node in nodes for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def product(node: onnx.NodeProto) -> _Product:
        cast = _only_reader(node, readers)
        scaled = _only_reader(cast, readers)
        both = makers.get(next((name for name in scaled.input if name != cast.output[0]), ""))
        factors = list(both.input) if both is not None and both.op_type == "Mul" else []
        activations = next((name for name in factors if name in scales), "")
        channels = next((name for name in factors if name in weights), "")
        if both is None or (cast.op_type, scaled.op_type) != ("Cast", "Mul") or not activations or not channels:
            raise TokenScaleError(f"the product {node.name or node.output[0]} is scaled in another form")
        return _Product(node, cast, scaled, both, activations, channels)

    return [product(node) for node in nodes if node.op_type == "MatMulInteger" and node.input[0] in quantised]


def _only_reader(node: onnx.NodeProto, readers: Mapping[str, list[onnx.NodeProto]]) -> onnx.NodeProto:
    found = readers.get(node.output[0], [])
    if len(found) != 1:
        raise TokenScaleError(f"{node.output[0]} is read by {len(found)} operators")
    return found[0]


def _quantised(node: onnx.NodeProto, opset: int) -> list[onnx.NodeProto]:
    """x -> q as uint8 and s (T, L, 1), under the names that DynamicQuantizeLinear gave them."""
    x, q, s = str(node.input[0]), str(node.output[0]), str(node.output[1])
    make = helper.make_node
    return [
        make("Abs", [x], [f"{s}_size"]),
        make("ReduceMax", [f"{s}_size", "token_last"], [f"{s}_most"], keepdims=1)
        if opset >= AXES_ARE_INPUTS
        else make("ReduceMax", [f"{s}_size"], [f"{s}_most"], keepdims=1, axes=[-1]),
        make("Div", [f"{s}_most", "token_levels"], [f"{s}_step"]),
        make("Max", [f"{s}_step", "token_least"], [s]),  # A token of zeros.
        make("Div", [x, s], [f"{q}_steps"]),
        make("QuantizeLinear", [f"{q}_steps", "token_one", "token_mid"], [q]),  # Rounds and cuts off.
    ]


def _multiplied(product: _Product) -> list[onnx.NodeProto]:
    """The product with the weights' scales in it, then the token's."""
    (q, weights, *rest), found = product.integers.input, product.scaled.output[0]
    inputs = [q, weights, "token_one", product.weights, "token_mid", *rest[1:]]
    return [
        helper.make_node("MatMulIntegerToFloat", inputs, [f"{found}_per_token"], domain="com.microsoft"),
        helper.make_node("Mul", [f"{found}_per_token", product.activations], [found]),
    ]


def _opset(model: onnx.ModelProto) -> int:
    return next(int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx"))
