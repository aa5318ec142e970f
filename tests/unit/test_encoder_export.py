"""An encoder in safetensors becomes ONNX; needs torch and transformers, the extra `[train]`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import UnigramTrainer

from model.encoder import Encoder
from model.session import Floats
from model.tokenizer import open_tokenizer, token_ids
from model.training.zeroshot import init
from tests.bert import bert_folder, torch, transformers

TEXTS = ["red boots", "jam", "blue guitar and white spade and green hose"]
TITLES = [
    "Men's waterproof boots",
    "Damen Winterstiefel aus Leder",
    "男士防水登山鞋",
    "子供用レインブーツ",
    "Ботинки мужские зимние",
    "zapatillas de correr",
    "حذاء رياضي",
]


def hidden(network: Any, ids: list[int]) -> Floats:
    """(L, D) of one text, alone and without padding."""
    with torch.inference_mode():
        found: Floats = network(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
    return found


def test_an_exported_network_gives_the_networks_vectors(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path / "encoder")
    network = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    bundle = init(str(folder), tmp_path / "bundle")
    ids = token_ids(open_tokenizer(bundle.path / "tokenizer.json", 64), TEXTS)
    for row, vector in zip(ids, Encoder(bundle).vectors(TEXTS), strict=True):
        expected = hidden(network, row).mean(0)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.fixture
def multilingual(tmp_path: Path) -> Path:
    """XLM-R in small: pieces of words from SentencePiece's Unigram, <s> and </s>, padding number 1, random weights."""
    tokenizer = Tokenizer(Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TITLES * 3, trainer)
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    folder = tmp_path / "encoder"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = transformers.XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=66,  # Positions begin at padding + 1.
        type_vocab_size=1,
        initializer_range=0.2,
    )
    transformers.XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def test_an_encoder_with_pieces_of_words_in_many_scripts_serves_as_well(multilingual: Path, tmp_path: Path) -> None:
    bundle = init(str(multilingual), tmp_path / "bundle")
    network = transformers.XLMRobertaModel.from_pretrained(multilingual, add_pooling_layer=False).eval()
    tokenizer = open_tokenizer(bundle.path / "tokenizer.json", 64)
    ids = token_ids(tokenizer, TITLES)
    assert all(row[0] == 0 and row[-1] == 2 for row in ids)
    assert max(map(len, ids)) > min(map(len, ids)), "some are padded"
    for row, vector in zip(ids, Encoder(bundle).vectors(TITLES), strict=True):
        expected = hidden(network, row).mean(0)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)
    for typed in ("boots</s>", "<s> boots", "a <pad> b"):
        assert not {0, 1, 2} & set(token_ids(tokenizer, [typed])[0][1:-1]), "what was typed is never syntax"
    assert len(token_ids(tokenizer, ["boots " * 100])[0]) == 64


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_it_can_be_had_in_every_precision(multilingual: Path, tmp_path: Path, precision: Any) -> None:
    as_it_is = Encoder(init(str(multilingual), tmp_path / "one")).vectors(TITLES)
    made = Encoder(init(str(multilingual), tmp_path / "two", precision=precision)).vectors(TITLES)
    assert (as_it_is * made).sum(1).min() > 0.99
