"""A device that is not there is refused, never replaced."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from model.session import CPU_ONLY, DeviceError, Session, Tower, cpu_only, providers


def doubling() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B"])],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    told: bytes = model.SerializeToString()
    return told


def quantised(*operators: str) -> bytes:
    """A graph of these operators; they need not fit each other, only be read."""
    nodes = [helper.make_node(operator, ["x"], [f"y{place}"]) for place, operator in enumerate(operators)]
    # What is named after an operator is none.
    nodes.append(helper.make_node("Relu", ["MatMulInteger"], ["DynamicQuantizeLinear"], name="MatMulIntegerToFloat"))
    weights = numpy_helper.from_array(np.ones((2, 2), np.int8), "QLinearMatMul")
    graph = helper.make_graph(nodes, "ConvInteger", [], [], [weights], doc_string="QGemm")
    told: bytes = helper.make_model(graph).SerializeToString()
    return told


def gpu() -> bool:
    try:
        Session(doubling(), "cuda")
    except DeviceError:
        return False
    return True


@pytest.mark.parametrize("device", ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:1000", "cpu:0", "cuda:0 "])
def test_a_device_without_meaning_is_refused(device: str) -> None:
    with pytest.raises(DeviceError, match="cuda:1"):
        providers(device)


def test_the_cpu_is_there() -> None:
    session = Session(doubling())
    assert session.provider == "CPUExecutionProvider"
    assert session.run(["y"], {"x": np.ones(3, np.float32)})[0].tolist() == [2, 2, 2]


def test_a_gpu_that_is_not_there_is_refused_with_the_remedy() -> None:
    if gpu():
        pytest.skip("this machine has a GPU: the refusal cannot be seen here")
    for device in ("cuda", "cuda:7"):
        with pytest.raises(DeviceError, match="device = cpu"):
            Session(doubling(), device)


def test_a_gpu_that_is_there_is_used() -> None:
    if "CUDAExecutionProvider" not in ort.get_available_providers() or not gpu():
        pytest.skip("no GPU on this machine")
    assert Session(doubling(), "cuda").provider == "CUDAExecutionProvider"


@pytest.mark.parametrize("operator", CPU_ONLY)
def test_an_operator_that_only_the_cpu_has_is_found(operator: str) -> None:
    assert cpu_only(quantised("Gather", operator, "MatMul")) == [operator]


def test_operators_that_a_gpu_has_too_and_names_alike_are_not_taken_for_others() -> None:
    assert cpu_only(quantised("QuantizeLinear", "DequantizeLinear", "QAttention", "MatMulNBits")) == []


def test_an_int8_graph_on_a_gpu_is_refused_with_the_setting_and_the_remedy(tmp_path: Path) -> None:
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this onnxruntime is built without CUDA, and says that first")
    graph = quantised("DynamicQuantizeLinear", "MatMulInteger")
    (tmp_path / "encoder.onnx").write_bytes(graph)
    for given in (graph, tmp_path / "encoder.onnx"):
        with pytest.raises(DeviceError, match=r"device = cuda:1: .*Linear, MatMulInteger.*precision fp16"):
            Session(given, "cuda:1")


@pytest.mark.parametrize("threads", [1, 3])
def test_a_tower_takes_users_in_parts_and_gives_them_in_order(threads: int) -> None:
    x = np.arange(100, dtype=np.float32)
    parts = Tower(doubling(), "cpu", threads).run(["y"], lambda users: {"x": x[users]}, len(x))
    assert np.concatenate([part for (part,) in parts]).tolist() == (2 * x).tolist()
    assert len(parts) == 4


def test_an_input_that_does_not_fit_is_an_error_in_every_thread() -> None:
    tower = Tower(doubling(), "cpu", 2)
    with pytest.raises(Exception, match="x"):
        tower.run(["y"], lambda users: {"x": np.zeros((2, 2), np.float32)}, 100)
