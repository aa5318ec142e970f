"""A shop small enough to reason about: a text encoder of one vector per word, a shelf, shoppers' lines.

The encoder is a real ONNX graph with a real tokenizer.json, so that everything runs as in a worker and no package with
a pretrained one is needed. Words of one theme have nearly one direction: "boots" lies near "sandals", far from "jam".
"""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from model.bundle import Bundle
from model.catalogue import Catalogue, Shelved
from model.encoder import Encoder
from model.event import Kind
from model.item_tower import item_tower
from model.text import Line
from model.training.zeroshot import init
from model.window import EMPTY, Window
from stream.recommender import Recommender

DIM = 16
THEMES = {
    "shoes": ["boots", "sandals", "sneakers", "trainers", "clogs", "loafers"],
    "food": ["jam", "honey", "bread", "butter", "cheese", "noodles"],
    "music": ["guitar", "violin", "drum", "trumpet", "piano", "flute"],
    "garden": ["spade", "rake", "seeds", "hose", "tulips", "shears"],
}
COLOURS = ["red", "blue", "green", "black", "white"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*SPECIAL, "[", "]", "sep", *THEMES, *(word for words in THEMES.values() for word in words), *COLOURS]
AT = 1_700_000_000_000
MINUTE = 60_000

_events = count()


def encoder_folder(folder: Path, inputs: Sequence[str] = ("input_ids", "attention_mask")) -> Path:
    """Writes model.onnx and tokenizer.json; the same folder name or not, always the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    table = np.random.default_rng(0).normal(0, 0.15, (len(WORDS), DIM)).astype(np.float32)
    for axis, (theme, words) in enumerate(THEMES.items()):
        for word in (theme, *words):
            table[WORDS.index(word), axis] += 1.0
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])],
        "words",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["T", "L"]) for name in inputs],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["T", "L", DIM])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(SPECIAL)
    ends = [("[CLS]", WORDS.index("[CLS]")), ("[SEP]", WORDS.index("[SEP]"))]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def make_bundle(folder: Path, **told: Any) -> Bundle:
    """A zero-shot bundle of the small encoder; `told` as `init` takes it."""
    return init(str(encoder_folder(folder / "encoder")), folder / "bundle", **told)


def line(kind: Kind | str = Kind.CLICK, item_id: str = "", **told: Any) -> Line:
    """A line, a minute after the one made before it unless `at_ms` is told."""
    number = next(_events)
    made = {
        "at_ms": AT + number * MINUTE,
        "event_id": f"e-{number:05d}",
        "text": "",
        "dwell_ms": None,
        "rating": None,
        "price": None,
        "quantity": None,
    }
    return Line(kind=Kind(kind), item_id=item_id, **(made | told))


def window(*lines: Line, most: int = 32) -> Window:
    """The window after these lines."""
    made = EMPTY
    for each in lines:
        made = made.push(each, most, 10**12)
    return made


def shelved(item_id: str, vector: Sequence[float] | np.ndarray[Any, Any], **told: Any) -> Shelved:
    """An item of the shelf."""
    made: dict[str, Any] = {
        "title": item_id,
        "category": "",
        "brand": "",
        "price": None,
        "available": True,
        "counts": {},
    }
    return Shelved(item_id=item_id, vector=np.asarray(vector, np.float16), **(made | told))


class Shop:
    """A bundle, its encoder and a shelf with one item per word of every theme in every colour: "red boots"."""

    def __init__(self, folder: Path, **told: Any) -> None:
        self.bundle = make_bundle(folder, **told)
        self.encoder = Encoder(self.bundle)
        self.catalogue = Catalogue(item_tower(self.bundle), self.bundle.half_life_ms)
        self.themes = {
            f"{colour} {word}": theme for theme, words in THEMES.items() for word in words for colour in COLOURS
        }
        self.put(*self.themes)

    def put(self, *item_ids: str, **told: Any) -> None:
        """Puts items on the shelf whose titles are their ids."""
        vectors = self.encoder.vectors(item_ids)
        self.catalogue.apply(
            [
                (item_id, shelved(item_id, vector, **({"category": self.themes.get(item_id, "")} | told)))
                for item_id, vector in zip(item_ids, vectors, strict=True)
            ]
        )

    def recommender(self, **told: Any) -> Recommender:
        """A recommender over this shop."""
        return Recommender(self.bundle, self.catalogue, self.encoder, **told)
