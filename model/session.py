"""Under steps 5, 6 and 8: one ONNX graph, opened on the device that was asked for, or not at all.

Knows nothing of what the graph computes. Asking for CUDA and silently getting the CPU is the most expensive kind of
success: the graph's operators are checked before loading and the provider after it; what is missing is a `DeviceError`
that names the remedy.

    DeviceError
    ├── the device's name cannot be read
    ├── onnxruntime was built without it, or found no such GPU
    ├── CUDA is wanted for a graph that is quantised for CPUs
    └── the graph was loaded, but on another provider
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

DEVICE = re.compile(r"cpu|cuda(?::(\d{1,2}))?")

CPU_ONLY = (
    "ConvInteger",
    "DynamicQuantizeLSTM",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulInteger",  # CUDA has it for int8 by int8 alone, and every quantiser here writes activations as uint8.
    "MatMulIntegerToFloat",
    "QEmbedLayerNormalization",
    "QGemm",
    "QLinearAdd",
    "QLinearConv",
    "QLinearMatMul",
)
"""Operators of int8 graphs that are not in onnxruntime's CUDA library (1.31): such a node runs on the CPU, and its
tensors are copied there and back. QuantizeLinear and DequantizeLinear are in it, so other quantised graphs pass."""


class DeviceError(RuntimeError):
    """The device asked for is not there; the text says which setting would accept less."""


def providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    """What onnxruntime must be asked for to run on `device`: `cpu`, `cuda` or `cuda:N`. No second choice."""
    match = DEVICE.fullmatch(device)
    if match is None:
        raise DeviceError(f"device {device!r} is none of: cpu, cuda, cuda:1")
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise DeviceError(f"{device}: this onnxruntime has no CUDA; install onnxruntime-gpu, or set device = cpu")
    # TF32 would round every factor to 10 bits: the GPU is to agree with the CPU, and the encoder is small.
    return [("CUDAExecutionProvider", {"device_id": match.group(1) or "0", "use_tf32": "0"})]


def cpu_only(graph: bytes) -> list[str]:
    """Which of CPU_ONLY an ONNX graph has.

    Read without the package onnx, which serving does not need: in protobuf a node's op_type is field 4, a tag byte, its
    length and its characters. Names of nodes and tensors have other tags.
    """
    return [name for name in CPU_ONLY if bytes((4 << 3 | 2, len(name))) + name.encode() in graph]


class Session:
    """An ONNX graph ready to run; safe to call from several threads."""

    def __init__(self, graph: Path | bytes, device: str = "cpu", threads: int = 2) -> None:
        """Opens `graph`.

        Args:
            graph: path or bytes of an ONNX model.
            device: `cpu`, `cuda` or `cuda:N`.
            threads: cores for one call on the CPU. More: shorter calls. Fewer: room for Kafka's threads.

        Raises:
            DeviceError: the device is not there or lacks operators, or onnxruntime fell back to another one.
        """
        wanted = providers(device)
        if device != "cpu" and (lacking := cpu_only(graph if isinstance(graph, bytes) else graph.read_bytes())):
            name = "a graph" if isinstance(graph, bytes) else str(graph)
            raise DeviceError(
                f"device = {device}: CUDA has no {', '.join(lacking)}, so {name} would run on the CPU; export its fp32 "
                "bundle with --precision fp16, or set device = cpu"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Idle threads of one session would spin on the cores that the next session needs: 2 cores, 3 sessions.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # The provider check below says it better than the warning about it.
        source = graph if isinstance(graph, bytes) else str(graph)
        try:
            self._session = ort.InferenceSession(source, options, providers=wanted)
        except Exception as error:
            if device == "cpu":
                raise
            raise DeviceError(f"{device} cannot be used ({error}); set device = cpu to do without") from error
        self.provider: str = self._session.get_providers()[0]
        if self.provider != (wanted[0] if isinstance(wanted[0], str) else wanted[0][0]):
            raise DeviceError(
                f"{device} was asked for and {self.provider} came; is the GPU there, and are the CUDA wheels "
                "(pip install 'firstclick[cuda]')? Set device = cpu to do without"
            )
        self.inputs: tuple[str, ...] = tuple(node.name for node in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(node.name for node in self._session.get_outputs())

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Floats]:
        """The named outputs for these inputs."""
        found: list[Floats] = self._session.run(list(outputs), dict(feeds))
        return found


class Tower:
    """A small graph over B users; one user's answer has the same bits in any company and on any number of cores.

    onnxruntime splits a lone user's matrix product among its threads, and sums in another order than in a batch. So the
    graph has one thread, and the cores share out the users instead.
    """

    USERS = 32
    """Of so many users the inputs are gathered at once: 17 MB of candidates (350 x 384), not 256 users' 140 MB."""

    def __init__(self, graph: Path | bytes, device: str, threads: int) -> None:
        self._session = Session(graph, device, 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tower") if threads > 1 else None
        self.provider: str = self._session.provider
        self.outputs: tuple[str, ...] = self._session.outputs

    def run(
        self, outputs: Sequence[str], feeds: Callable[[slice], Mapping[str, Array]], users: int
    ) -> list[tuple[Floats, ...]]:
        """The named outputs, in parts of at most USERS users each, in order.

        Args:
            outputs: names.
            feeds: the inputs of these users; called in several threads.
            users: B.
        """

        def part(start: int) -> tuple[Floats, ...]:
            return tuple(self._session.run(outputs, feeds(slice(start, start + self.USERS))))

        starts = range(0, users, self.USERS)
        if self._pool is None or len(starts) < 2:
            return [part(start) for start in starts]
        return list(self._pool.map(part, starts))
