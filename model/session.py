"""Under steps 5, 6 and 8: one ONNX graph, opened on the device that was asked for, or not at all.

Knows nothing of what the graph computes. Asking for CUDA and silently getting the CPU is the most expensive kind of
success: the provider is checked after loading, and a missing one is a `DeviceError` that names the remedy.

    DeviceError
    ├── the device's name cannot be read
    ├── onnxruntime was built without it, or found no such GPU
    └── the graph was loaded, but on another provider
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

DEVICE = re.compile(r"cpu|cuda(?::(\d{1,2}))?")


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
    return [("CUDAExecutionProvider", {"device_id": match.group(1) or "0"})]


class Session:
    """An ONNX graph ready to run; safe to call from several threads."""

    def __init__(self, graph: Path | bytes, device: str = "cpu", threads: int = 2) -> None:
        """Opens `graph`.

        Args:
            graph: path or bytes of an ONNX model.
            device: `cpu`, `cuda` or `cuda:N`.
            threads: cores for one call on the CPU. More: shorter calls. Fewer: room for Kafka's threads.

        Raises:
            DeviceError: the device is not there, or onnxruntime fell back to another one.
        """
        wanted = providers(device)
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
