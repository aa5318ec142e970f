"""Where a pretrained encoder comes from: a folder, an installed package or the Hugging Face hub.

Knows nothing of bundles' other parts. An encoder that is ONNX already needs no torch; safetensors are exported with it
(`model/training/encoder_export.py`), and the error names the extra `[train]`. What it finds is as it was, but for
what the line needs: an output (T, L, D), texts whose vectors do not depend on their company, and a mended tokenizer.
"""

import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tokenizers import Tokenizer

from model.bundle import ENCODER, TOKENIZER, Bundle
from model.training.token_scales import TokenScaleError, depends_on_company, per_token
from model.training.vocabulary import mended

Precision = Literal["fp32", "fp16", "int8"]
FEEDS = {"input_ids", "attention_mask", "token_type_ids"}
WHITENED = "whitened"
"""What `whitening.py` calls the output that it puts behind an encoder."""
POOLED = "sentence_embedding"
"""What exports of sentence-transformers call their (T, D) output; `pooler_output` is BERT's, trained for other ends."""


class EncoderError(Exception):
    """No usable encoder there; the text says what was looked for and what to do."""


@dataclass(frozen=True)
class Found:
    """An encoder's parts."""

    graph: bytes
    tokenizer: bytes
    output: str
    dim: int
    pooling: str
    licence: str


def find(
    encoder: str,
    tokenizer: str | None = None,
    pooling: str | None = None,
    precision: Precision | None = None,
) -> Found:
    """The encoder named.

    Args:
        encoder: a folder with an ONNX file (or safetensors), an installed package's name, or a name on the hub.
        tokenizer: a tokenizer.json or a folder with one; needed where the encoder brings none.
        pooling: `mean` or `cls` of the tokens; None: as the graph does it itself, as the encoder says, or mean.
        precision: to convert to, by `quantise.py`; None: as it is.

    Raises:
        EncoderError: nothing usable is there, or it cannot be had in this precision.
    """
    files, licence = _files(encoder)
    graphs = sorted(path for path in files if path.suffix == ".onnx")
    told = Path(tokenizer) if tokenizer else None
    if told is not None and told.is_dir():
        told = told / "tokenizer.json"
    if told is not None and not told.is_file():
        raise EncoderError(f"there is no tokenizer {told}")
    words = told or _tokenizer(files)
    if words is None:
        raise EncoderError(f"{encoder} brings no tokenizer.json; name the one it was trained with by --tokenizer")
    try:
        tokenizer_json = mended(words)
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
    try:
        model = onnx.load_from_string(graph)
    except Exception as error:
        raise EncoderError(f"{encoder} is not an ONNX file that can be read: {error}") from error
    _check_words(model, tokenizer_json, words)
    output, dim, pooled = _hidden_states(model, encoder, pooling)
    scaled = _scaled(model, encoder)
    if pooled:
        output = _as_one_token(model, output)
    if pooled or scaled:
        graph = model.SerializeToString(deterministic=True)
    pooling = "cls" if pooled else pooling or pooling_of([*files, words])
    found = Found(graph, tokenizer_json, output, dim, pooling, licence)
    if precision is None:
        return found
    from model.training.quantise import convert

    return convert(found, precision)[0]


def of_bundle(bundle: Bundle) -> Found:
    """A bundle's own, in the form in which it serves."""
    told = bundle.manifest
    graph, tokenizer = ((bundle.path / name).read_bytes() for name in (ENCODER, TOKENIZER))
    return Found(graph, tokenizer, told.output, told.text_dim, told.pooling, told.licence)


def _tokenizer(files: Sequence[Path]) -> Path | None:
    """tokenizer.json, or the one file whose name ends so (`bge-small-zh-v1.5-q-tokenizer.json`)."""
    named = [path for path in sorted(files) if path.name.endswith("tokenizer.json")]
    exact = [path for path in named if path.name == "tokenizer.json"]
    return next(iter(exact or (named if len(named) == 1 else [])), None)


def _files(encoder: str) -> tuple[list[Path], str]:
    """All files of the encoder, and its licence where one is told."""
    folder = Path(encoder)
    if folder.is_dir():
        return _in_folder(folder), _licence(folder / "manifest.json")
    try:
        package = importlib.metadata.distribution(encoder)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return _from_hub(encoder)
    told = package.metadata.json
    said = str(told.get("license_expression") or told.get("license") or "")
    files = [Path(str(package.locate_file(file))) for file in package.files or []]
    return [path for path in files if path.is_file()], said.splitlines()[0] if said else ""


def _licence(manifest: Path) -> str:
    """As a bundle says; "" where the folder is none."""
    return str(_told(manifest).get("licence") or "")  # Others call files so, too.


def _told(path: Path) -> dict[str, Any]:
    """The JSON object in a file; {} where it holds something else, or is not there."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


GIVE = "give a folder with an ONNX file or model.safetensors, a package's name, or owner/name of the hub"


def _from_hub(name: str) -> tuple[list[Path], str]:
    missing = f"--encoder {name} is no folder and no installed package"
    if name.startswith((".", "/", "~")):  # No name of the hub's.
        raise EncoderError(f"{missing}; {GIVE}")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise EncoderError(f"{missing}; {GIVE}; for the hub: pip install 'firstclick[train]'") from error
    patterns = ["*.json", "model.safetensors", "onnx/model.onnx", "1_Pooling/*"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:
        raise EncoderError(f"{missing}, and the hub did not give it ({error}); {GIVE}") from error
    return _in_folder(folder), ""


def _in_folder(folder: Path) -> list[Path]:
    """The files of the encoder in a folder: another one may lie in a folder of its own beneath it.

    As the hub lays models out; a folder that holds none so is searched to its depth.
    """
    found = [path for pattern in ("*", "onnx/*", "1_Pooling/*") for path in folder.glob(pattern) if path.is_file()]
    if any(path.suffix in (".onnx", ".safetensors") for path in found):
        return found
    return [path for path in folder.rglob("*") if path.is_file()]


def _check_words(model: onnx.ModelProto, tokenizer_json: bytes, words: Path) -> None:
    """Refuses a tokenizer with more words than the graph has vectors for: the first rare one would end a worker.

    Raises:
        EncoderError: it is another model's.
    """
    sizes = {each.name: each.dims[0] for each in model.graph.initializer if each.dims}
    ids = {"input_ids"}
    for node in model.graph.node:  # In the order in which they are computed.
        if node.op_type in ("Cast", "DequantizeLinear", "Identity"):
            if node.input[0] in ids:
                ids.add(node.output[0])
            if node.input[0] in sizes:
                sizes[node.output[0]] = sizes[node.input[0]]
        elif node.op_type == "Gather" and node.input[1] in ids and node.input[0] in sizes:
            known = Tokenizer.from_buffer(tokenizer_json).get_vocab(with_added_tokens=True)
            if (most := max(known.values(), default=-1)) >= sizes[node.input[0]]:
                raise EncoderError(
                    f"{words} numbers words up to {most}, the encoder has vectors for {sizes[node.input[0]]}: it is "
                    "another model's; name the one that it was trained with by --tokenizer"
                )


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


def _hidden_states(model: onnx.ModelProto, encoder: str, pooling: str | None) -> tuple[str, int, bool]:
    """Name and width of the output to take, and whether the graph has pooled it already: (T, D), not (T, L, D)."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {node.name for node in model.graph.input} - weights
    if not {"input_ids"} <= inputs <= FEEDS:
        raise EncoderError(f"{encoder} wants {sorted(inputs)}; a text encoder takes input_ids and of {sorted(FEEDS)}")
    shapes = {output.name: output.type.tensor_type.shape.dim for output in model.graph.output}
    widths = {name: shape[-1].dim_value for name, shape in shapes.items() if shape and shape[-1].dim_value > 0}
    if WHITENED in widths:
        return WHITENED, widths[WHITENED], False
    if POOLED in widths and len(shapes[POOLED]) == 2 and pooling is None:
        return POOLED, widths[POOLED], True
    for name, width in widths.items():
        if len(shapes[name]) == 3:
            return name, width, False
    raise EncoderError(f"{encoder} has no output of shape (texts, tokens, D)")


def _as_one_token(model: onnx.ModelProto, pooled: str) -> str:
    """Makes `pooled` the only output, as (T, 1, D): texts of one token, whose mean and first are the text's vector."""
    name = f"{pooled}_token"
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if opset >= 13:  # From here on axes are an input.
        model.graph.initializer.append(numpy_helper.from_array(np.array([1]), f"{name}_axis"))
        model.graph.node.append(helper.make_node("Unsqueeze", [pooled, f"{name}_axis"], [name]))
    else:
        model.graph.node.append(helper.make_node("Unsqueeze", [pooled], [name], axes=[1]))
    told = next(output for output in model.graph.output if output.name == pooled).type.tensor_type
    made = helper.make_tensor_value_info(name, told.elem_type, ["T", 1, told.shape.dim[-1].dim_value])
    del model.graph.output[:]
    model.graph.output.append(made)
    return name


def _scaled(model: onnx.ModelProto, encoder: str) -> bool:
    """Whether int8 activations with one scale per batch had to be given one per token."""
    if not depends_on_company(model):
        return False
    try:
        per_token(model)
    except TokenScaleError as error:
        raise EncoderError(
            f"{encoder}: a text's vector would depend on the texts beside it ({error}); take its fp32 graph, and "
            "--precision int8"
        ) from error
    return True


def pooling_of(files: Sequence[Path]) -> str:
    """As sentence-transformers' 1_Pooling/config.json says, or a bundle's manifest; mean where there is neither.

    Raises:
        EncoderError: it says neither mean nor cls.
    """
    for path in files:
        told = path if path.parent.name == "1_Pooling" else path.parent / "1_Pooling" / "config.json"
        if told.name == "config.json" and told.is_file():
            said = _told(told)
            if said.get("pooling_mode_cls_token"):
                return "cls"
            if not said.get("pooling_mode_mean_tokens", not said.get("pooling_mode_max_tokens")):
                raise EncoderError(f"{told} says neither mean nor cls; name what comes nearest by --pooling")
            return "mean"
        manifest = path.parent / "manifest.json"
        if manifest.is_file():
            pooling = str(_told(manifest).get("pooling", "mean"))
            if pooling not in ("mean", "cls"):
                raise EncoderError(f"{manifest} says pooling {pooling}: mean and cls are known; name one by --pooling")
            return pooling
    return "mean"
