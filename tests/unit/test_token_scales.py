"""int8 products whose scales are a token's own: near fp32, the same bits in any company, or refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from model.session import Floats, Session
from model.training.token_scales import TokenScaleError, depends_on_company, per_token

WORDS, WIDE = 50, 24


def two_products(opset: int = 17) -> onnx.ModelProto:
    """input_ids -> a row of a table -> W -> Relu -> W' -> last_hidden_state; word 0 has a thousand times the size."""
    dice = np.random.default_rng(0)
    table = dice.normal(size=(WORDS, WIDE)).astype(np.float32)
    table[0] *= 1000
    weights = {
        "table": table,
        "one": dice.normal(size=(WIDE, 40)).astype(np.float32) * np.logspace(-2, 1, 40, dtype=np.float32),
        "two": dice.normal(size=(40, WIDE)).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["words"]),
            helper.make_node("MatMul", ["words", "one"], ["wide"]),
            helper.make_node("Relu", ["wide"], ["active"]),
            helper.make_node("MatMul", ["active", "two"], ["last_hidden_state"]),
        ],
        "products",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["T", "L"])],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["T", "L", WIDE])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def quantised(model: onnx.ModelProto, folder: object, weights: QuantType = QuantType.QInt8) -> onnx.ModelProto:
    """By onnxruntime, with one scale per batch."""
    add_pre_process_metadata(model)
    path = f"{folder}/int8.onnx"
    signed = weights == QuantType.QInt8  # 7 of 8 bits, as ours take: else CPUs without VNNI overflow.
    told = {"per_channel": True, "weight_type": weights, "reduce_range": signed}
    quantize_dynamic(model, path, op_types_to_quantize=["MatMul"], **told)
    return onnx.load(path)


def hidden(model: onnx.ModelProto, ids: list[list[int]]) -> Floats:
    """(T, L, WIDE)"""
    session = Session(model.SerializeToString())
    return session.run(["last_hidden_state"], {"input_ids": np.array(ids)})[0]


@pytest.mark.parametrize("opset", [11, 13, 17, 18])
@pytest.mark.parametrize("weights", [QuantType.QInt8, QuantType.QUInt8])
def test_a_token_is_the_same_in_any_company_and_near_what_it_was(
    tmp_path: object, opset: int, weights: QuantType
) -> None:
    model = two_products(opset)
    exact = hidden(model, [[1, 2, 3], [4, 5, 0]])
    per_batch = quantised(two_products(opset), tmp_path, weights)
    assert depends_on_company(per_batch)
    made = per_token(onnx.ModelProto.FromString(per_batch.SerializeToString()))
    assert not depends_on_company(made)
    onnx.checker.check_model(made)
    found = hidden(made, [[1, 2, 3], [4, 5, 0]])
    np.testing.assert_array_equal(hidden(made, [[1, 2, 3]])[0], found[0])
    np.testing.assert_array_equal(hidden(made, [[5]])[0, 0], found[1, 1])
    spread = np.abs(exact).max(-1, keepdims=True)
    assert (np.abs(found - exact) / spread).max() < 0.03
    # What it replaces has neither: beside the huge word 0 the others are rounded away.
    company = hidden(per_batch, [[1, 2, 3], [4, 5, 0]])
    assert (np.abs(company - hidden(per_batch, [[1, 2, 3], [4, 5, 6]]))[0] / spread[0]).max() > 0.5


def test_a_token_of_zeros_stays_zero(tmp_path: object) -> None:
    model = two_products()
    table = next(each for each in model.graph.initializer if each.name == "table")
    zeroed = numpy_helper.to_array(table).copy()
    zeroed[7] = 0
    table.CopyFrom(numpy_helper.from_array(zeroed, "table"))
    assert not hidden(per_token(quantised(model, tmp_path)), [[7]]).any()


def test_activations_that_are_scaled_in_another_form_are_refused(tmp_path: object) -> None:
    model = quantised(two_products(), tmp_path)
    for node in model.graph.node:
        if node.op_type == "Cast":
            node.op_type = "Identity"
    with pytest.raises(TokenScaleError, match="another form"):
        per_token(model)
    fused = two_products()
    fused.graph.node.append(helper.make_node("QAttention", ["words"], ["attended"], domain="com.microsoft"))
    with pytest.raises(TokenScaleError, match="QAttention"):
        per_token(fused)
