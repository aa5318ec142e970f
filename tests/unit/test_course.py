"""What the towers learn from: which rows, which targets, and what stays unseen."""

from pathlib import Path

import numpy as np
import pytest

from model.bundle import Bundle
from model.encoder import offline_device
from model.training.course import Course
from model.training.hidden import hide_items
from model.training.logs.columns import Log
from model.training.splits import leave_one_out
from model.training.zeroshot import init
from tests.logs import log_of
from tests.shop import AT, MINUTE, make_bundle

ITEMS = ["red boots", "red jam", "red guitar", "red spade"]


@pytest.fixture(scope="module")
def log() -> Log:
    """Two buyers who buy the first thing again in between."""
    bought = [*ITEMS[:2], ITEMS[0], *ITEMS[2:]]
    return log_of(
        {"user_id": user, "kind": "purchase", "item_id": item, "at": AT + place * MINUTE}
        for user in ("a", "b")
        for place, item in enumerate(bought)
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.bert import bert_folder  # Needs torch, as nothing else here does: skips where it is not there.

    return bert_folder(tmp_path_factory.mktemp("bert"))


def names(log: Log, numbers: np.ndarray) -> list[str]:  # type: ignore[type-arg]
    return [log.items.ids[number] for number in numbers]


def test_what_a_user_has_already_and_a_first_touch_are_no_targets(log: Log, base: Bundle) -> None:
    course = Course(log, leave_one_out(log), base)
    learning, known = course.learning(course.rows)
    assert names(log, learning.targets) == ["red jam"] * 2
    assert sorted(names(log, np.flatnonzero(known))) == ["red boots", "red jam"]


def test_validation_joins_and_test_never_does(log: Log, base: Bundle) -> None:
    course = Course(log, leave_one_out(log), base)
    learning, known = course.learning(course.all_rows)
    assert sorted(names(log, learning.targets)) == ["red guitar"] * 2 + ["red jam"] * 2
    assert "red spade" not in names(log, np.flatnonzero(known))


def test_a_validation_target_that_training_never_saw_chooses_no_epoch(log: Log, base: Bundle) -> None:
    course = Course(log, leave_one_out(log), base)
    assert names(log, course.valid[0].targets) == ["red guitar"] * 2
    assert course.sample is None


def test_nobody_asks_for_hidden_items_on_validation(log: Log, base: Bundle) -> None:
    split, hidden = hide_items(log, leave_one_out(log), 0.5, seed=1)
    assert not hidden[Course(log, split, base, hidden).valid[0].targets].any()
    everything = np.ones_like(hidden)
    assert len(Course(log, split, base, everything).valid[0].targets) == 0


def test_hidden_items_stay_hidden_when_validation_joins(log: Log, base: Bundle) -> None:
    split, hidden = hide_items(log, leave_one_out(log), 0.5, seed=1)
    course = Course(log, split, base, hidden)
    _, known = course.learning(course.all_rows)
    assert not known[hidden].any()


def test_texts_are_what_the_catalogue_topic_carries(log: Log, base: Bundle) -> None:
    texts = Course(log, leave_one_out(log), base).texts
    assert texts.shape == (len(ITEMS), base.text_dim)
    assert np.array_equal(texts, texts.astype(np.float16).astype(np.float32))


def test_an_int8_encoder_reads_on_the_cpu_what_is_trained_on_a_gpu(log: Log, bert: Path, tmp_path: Path) -> None:
    made = {precision: init(str(bert), tmp_path / precision, precision=precision) for precision in ("fp16", "int8")}
    devices = {name: [offline_device(bundle, device) for device in ("cpu", "cuda:1")] for name, bundle in made.items()}
    assert devices == {"fp16": ["cpu", "cuda:1"], "int8": ["cpu", "cpu"]}
    beside_a_gpu, alone = (Course(log, leave_one_out(log), made["int8"], device=device) for device in ("cuda", "cpu"))
    np.testing.assert_array_equal(beside_a_gpu.texts, alone.texts)
