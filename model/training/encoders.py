"""Where a pretrained encoder comes from: a folder, an installed package or the Hugging Face hub.

Knows nothing of bundles' other parts. An encoder that is ONNX already needs no torch; safetensors are exported with it
(`model/training/encoder_export.py`), and the error names the extra `[train]`.
"""

import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from model.tokenizer import open_tokenizer

FEEDS = {"input_ids", "attention_mask", "token_type_ids"}


class EncoderError(Exception):
    """No usable encoder there; the text says what was looked for and what to do."""


@dataclass(frozen=True)
class Found:
    """An encoder's parts."""

    graph: bytes
    tokenizer: Path
    output: str
    dim: int
    pooling: str
    licence: str


def find(encoder: str, tokenizer: str | None = None, pooling: str | None = None) -> Found:
    """The encoder named.

    Args:
        encoder: a folder with an ONNX file (or safetensors), an installed package's name, or a name on the hub.
        tokenizer: a tokenizer.json or a folder with one; needed where the encoder brings none.
        pooling: `mean` or `cls`; None: as the encoder says, or mean.

    Raises:
        EncoderError: nothing usable is there.
    """
    files, licence = _files(encoder)
    graphs = sorted(path for path in files if path.suffix == ".onnx")
    told = Path(tokenizer) if tokenizer else None
    if told is not None and told.is_dir():
        told = told / "tokenizer.json"
    if told is not None and not told.is_file():
        raise EncoderError(f"there is no tokenizer {told}")
    words = told or next((path for path in sorted(files) if path.name == "tokenizer.json"), None)
    if words is None:
        raise EncoderError(f"{encoder} brings no tokenizer.json; name the one it was trained with by --tokenizer")
    try:
        open_tokenizer(words, 64)
    except Exception as error:  # tokenizers raises bare Exception
        raise EncoderError(f"{words} is not a tokenizer.json that can be read: {error}") from error
    if graphs:
        graph = _one_file(_preferred(graphs))
    else:
        weights = next((path for path in sorted(files) if path.name == "model.safetensors"), None)
        if weights is None:
            raise EncoderError(f"{encoder} holds neither an ONNX file nor model.safetensors")
        from model.training.encoder_export import export  # torch: only where it is needed

        graph = export(weights.parent)
    output, dim = _hidden_states(graph, encoder)
    return Found(graph, words, output, dim, pooling or _pooling([*files, words]), licence)


def _files(encoder: str) -> tuple[list[Path], str]:
    """All files of the encoder, and its licence where one is told."""
    folder = Path(encoder)
    if folder.is_dir():
        return [path for path in folder.rglob("*") if path.is_file()], ""
    try:
        package = importlib.metadata.distribution(encoder)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return _from_hub(encoder)
    told = package.metadata.json
    said = str(told.get("license_expression") or told.get("license") or "")
    files = [Path(str(package.locate_file(file))) for file in package.files or []]
    return [path for path in files if path.is_file()], said.splitlines()[0] if said else ""


def _from_hub(name: str) -> tuple[list[Path], str]:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise EncoderError(
            f"{name} is no folder and no installed package; for a name on the hub: pip install 'firstclick[train]'"
        ) from error
    patterns = ["*.json", "model.safetensors", "onnx/model.onnx", "1_Pooling/*"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:
        raise EncoderError(f"{name} is no folder and no package, and the hub did not give it: {error}") from error
    return [path for path in folder.rglob("*") if path.is_file()], ""


def _preferred(graphs: Sequence[Path]) -> Path:
    """model.onnx before its variants (model_O4.onnx, model_quantized.onnx)."""
    return next((path for path in graphs if path.name == "model.onnx"), graphs[0])


def _one_file(path: Path) -> bytes:
    """The graph's bytes as they are, or with its weights taken in where they lie in a file beside it."""
    try:
        bare = onnx.load(str(path), load_external_data=False)
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in bare.graph.initializer):
            whole: bytes = onnx.load(str(path)).SerializeToString(deterministic=True)
            return whole
    except Exception as error:
        raise EncoderError(f"{path} is not an ONNX file that can be read: {error}") from error
    return path.read_bytes()


def _hidden_states(graph: bytes, encoder: str) -> tuple[str, int]:
    """Name and width of the output (T, L, D) that will be pooled."""
    model = onnx.load_from_string(graph)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {node.name for node in model.graph.input} - weights
    if not {"input_ids"} <= inputs <= FEEDS:
        raise EncoderError(f"{encoder} wants {sorted(inputs)}; a text encoder takes input_ids and of {sorted(FEEDS)}")
    for output in model.graph.output:
        shape = output.type.tensor_type.shape.dim
        if len(shape) == 3 and shape[2].dim_value > 0:
            return output.name, shape[2].dim_value
    raise EncoderError(f"{encoder} has no output of shape (texts, tokens, D)")


def _pooling(files: Sequence[Path]) -> str:
    """As sentence-transformers' 1_Pooling/config.json says; mean where there is none."""
    for path in files:
        told = path if path.parent.name == "1_Pooling" else path.parent / "1_Pooling" / "config.json"
        if told.name == "config.json" and told.is_file():
            said = json.loads(told.read_text())
            return "cls" if said.get("pooling_mode_cls_token") else "mean"
    return "mean"
