"""A BERT small enough for a test: random weights, safetensors and a tokenizer, with torch and transformers.

Knows nothing of shops' encoder (`tests/shop.py`), which needs neither.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.shop import WORDS, encoder_folder

torch = pytest.importorskip("torch", reason="torch is not installed: make install-train")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: make install-train")


def bert_folder(folder: Path, seed: int = 0, **told: Any) -> Path:
    """Writes model.safetensors, config.json and the shop's tokenizer.json."""
    encoder_folder(folder)
    (folder / "model.onnx").unlink()
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64} | told
    config = transformers.BertConfig(vocab_size=len(WORDS), initializer_range=0.2, **sizes)
    transformers.BertModel(config, add_pooling_layer=False).eval().save_pretrained(folder)
    return folder
