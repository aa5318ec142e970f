"""What a text encoder learns a shop from: pairs of training rows alone, each once."""

from pathlib import Path

import numpy as np
import pytest

from model.interest import KINDS
from model.training.adapting import adapt, pairs_of
from model.training.lessons import codes_of, lessons, training_requests
from model.training.logs.columns import Log
from tests.logs import log_of
from tests.shop import AT, MINUTE

REVIEW = "The soles came off after a week of rain"


@pytest.fixture
def log() -> Log:
    rows = [
        {"kind": "click", "item_id": "boots"},
        {"kind": "purchase", "item_id": "socks"},
        {"kind": "review", "item_id": "boots", "rating": 2.0, "text": REVIEW},
        {"kind": "review", "item_id": "socks", "rating": 5.0, "text": "Great!"},
        {"kind": "click", "item_id": "laces"},
    ]
    items = [{"item_id": name, "title": f"The {name}"} for name in ("boots", "socks", "laces")]
    return log_of(({"user_id": "u", "at": AT + place * MINUTE, **row} for place, row in enumerate(rows)), items)


def pairs(log: Log, rows: np.ndarray, most: int = 100) -> set[tuple[str, str]]:  # type: ignore[type-arg]
    mask = np.isin(np.arange(len(log)), rows)
    learning = lessons(log, training_requests(log, mask, 32, 10**12), codes_of(log))
    learning = learning.only(np.flatnonzero((learning.items >= 0).any(axis=1)))
    found = pairs_of(log, rows, learning, most)
    assert len(found) == len(set(found))
    return set(found)


def test_a_title_goes_with_the_next_and_a_review_with_its_item(log: Log) -> None:
    assert pairs(log, np.arange(5)) == {
        ("The boots", "The socks"),
        ("The socks", "The boots"),
        ("The boots", "The socks"),
        ("The socks", "The laces"),
        (REVIEW, "The boots"),
    }


def test_rows_that_are_not_for_learning_give_no_pair(log: Log) -> None:
    assert pairs(log, np.arange(2)) == {("The boots", "The socks")}


def test_an_item_without_a_text_gives_no_pair(log: Log) -> None:
    titles = [{"item_id": name, "title": "" if name == "boots" else f"The {name}"} for name in log.items.ids]
    rows = [
        {"user_id": log.users[user], "kind": KINDS[kind], "at": at, "item_id": log.items.ids[item], "text": text}
        for user, kind, at, item, text in zip(
            log.user, log.kind, log.at_ms.tolist(), log.item, log.texts.to_pylist(), strict=True
        )
    ]
    assert pairs(log_of(rows, titles), np.arange(5)) == {("The socks", "The laces")}


def test_no_more_than_asked_and_some_of_them_reviews(log: Log) -> None:
    found = pairs(log, np.arange(5), most=4)
    assert len(found) <= 4
    assert (REVIEW, "The boots") in found


def test_without_pairs_the_weights_are_taken_and_no_graph_beside_them(tmp_path: Path) -> None:
    """A model's folder may hold it as int8, too, which converts to nothing."""
    from model.training.encoder_tuning import TuningSettings
    from tests.bert import bert_folder

    folder = bert_folder(tmp_path / "bert")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"spoilt")
    made = adapt(folder, [], [], tmp_path / "kept", TuningSettings(), "fp32", "bare")
    again = adapt(folder, [], [], tmp_path / "kept", TuningSettings(), "fp32", "bare")
    assert made.text_dim == 32
    assert again.model == made.model
