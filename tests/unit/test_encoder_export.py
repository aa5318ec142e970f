"""An encoder in safetensors becomes ONNX; needs torch and transformers, the extra `[train]`."""

from pathlib import Path

import numpy as np
import pytest

from model.encoder import Encoder
from model.training.zeroshot import init
from tests.shop import WORDS, encoder_folder

torch = pytest.importorskip("torch", reason="torch is not installed: make install-train")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: make install-train")


def test_an_exported_network_gives_the_networks_vectors(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    (folder / "model.onnx").unlink()
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    network = transformers.BertModel(config, add_pooling_layer=False).eval()
    network.save_pretrained(folder)
    encoder = Encoder(init(str(folder), tmp_path / "bundle"))
    texts = ["red boots", "jam", "blue guitar and white spade and green hose"]
    for text, vector in zip(texts, encoder.vectors(texts), strict=True):
        ids = [[WORDS.index("[CLS]"), *(WORDS.index(w if w in WORDS else "[UNK]") for w in text.split()), 3]]
        with torch.inference_mode():
            hidden = network(input_ids=torch.tensor(ids)).last_hidden_state[0].mean(0).numpy()
        np.testing.assert_allclose(vector, hidden / np.linalg.norm(hidden), atol=1e-5)
