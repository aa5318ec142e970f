"""An item's two vectors: learned where training saw it, borrowed where not, and the same bits in any company."""

from pathlib import Path

import numpy as np
import pytest

from model.bundle import BundleError
from model.item_tower import LENDERS, AsTheyAre, Learned, Trained, load, nearest, save
from model.session import Floats, Session
from model.training.graphs import item_graph

E, D, I = 12, 8, 40  # noqa: E741 - the design's letters
HEADS = 2


@pytest.fixture(scope="module")
def learned() -> Learned:
    dice = np.random.default_rng(0)
    texts = dice.normal(size=(I, E))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    own, context = dice.normal(0, 0.5, (2, I, D))
    ids = tuple(f"item {number} ✓" for number in range(I))
    return Learned(ids, texts.astype(np.float16), own.astype(np.float16), context.astype(np.float16))


@pytest.fixture(scope="module")
def projection() -> Floats:
    return np.random.default_rng(1).normal(size=(E, D)).astype(np.float32)


@pytest.fixture(scope="module")
def tower(learned: Learned, projection: Floats) -> Trained:
    return Trained(Session(item_graph(projection, HEADS)), learned)


def by_hand(text: Floats, own: Floats, context: Floats, projection: Floats) -> tuple[Floats, Floats]:
    both = text @ projection + own
    halves = both.reshape(HEADS, -1)
    halves = halves / np.linalg.norm(halves, axis=1, keepdims=True) / np.sqrt(HEADS)
    return halves.reshape(-1), both + context


def test_a_known_item_has_what_was_learned_of_it(tower: Trained, learned: Learned, projection: Floats) -> None:
    text = learned.texts[5].astype(np.float32)
    found = tower([learned.item_ids[5]], text[None])
    candidate, context = by_hand(
        text, learned.own[5].astype(np.float32), learned.context[5].astype(np.float32), projection
    )
    assert found.lenders.tolist() == [[-1] * LENDERS]
    assert found.candidates[0] == pytest.approx(candidate, abs=1e-5)
    assert found.contexts[0] == pytest.approx(context, abs=1e-5)
    assert np.linalg.norm(found.candidates[0]) == pytest.approx(1.0, abs=1e-5)


def test_an_unknown_item_borrows_the_mean_of_the_nearest_texts(
    tower: Trained, learned: Learned, projection: Floats
) -> None:
    text = np.random.default_rng(2).normal(size=E).astype(np.float32)
    lenders = sorted(range(I), key=lambda place: -float(learned.texts[place].astype(np.float32) @ text))[:LENDERS]
    own = np.mean([learned.own[place].astype(np.float32) for place in lenders], axis=0)
    context = np.mean([learned.context[place].astype(np.float32) for place in lenders], axis=0)
    found = tower(["nobody has touched this"], text[None])
    candidate, context = by_hand(text, own, context, projection)
    assert found.lenders.tolist() == [sorted(lenders)]
    assert found.candidates[0] == pytest.approx(candidate, abs=1e-5)
    assert found.contexts[0] == pytest.approx(context, abs=1e-5)


def test_a_items_vectors_have_the_same_bits_in_any_company(tower: Trained, learned: Learned) -> None:
    dice = np.random.default_rng(3)
    texts = dice.normal(size=(150, E)).astype(np.float32)
    ids = [learned.item_ids[place % I] if place % 3 else f"new {place}" for place in range(150)]
    together = tower(ids, texts)
    for place in (0, 1, 63, 64, 100, 149):
        alone = tower([ids[place]], texts[place : place + 1])
        assert alone.candidates[0].tobytes() == together.candidates[place].tobytes()
        assert alone.contexts[0].tobytes() == together.contexts[place].tobytes()


def test_no_texts_have_no_vectors(tower: Trained) -> None:
    found = tower([], np.zeros((0, E), np.float32))
    assert found.candidates.shape == found.contexts.shape == (0, D)


def test_without_training_a_text_is_both() -> None:
    texts = np.eye(3, dtype=np.float32)
    found = AsTheyAre(3)(["a", "", "b"], texts)
    assert found.candidates is texts
    assert found.contexts is texts
    assert (found.lenders == -1).all()


def test_the_nearest_come_in_ascending_order() -> None:
    assert nearest(np.array([[0.1, 0.9, 0.5, 0.7]], np.float32), 2).tolist() == [[1, 3]]


def test_what_was_saved_is_loaded_and_the_same_is_the_same_bytes(learned: Learned, tmp_path: Path) -> None:
    save(tmp_path / "a.npz", learned)
    save(tmp_path / "b.npz", learned)
    found = load(tmp_path / "a.npz")
    assert found.item_ids == learned.item_ids
    for mine, told in zip(found[1:], learned[1:], strict=True):
        assert np.asarray(mine).tobytes() == np.asarray(told).tobytes()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("fault", ["cut", "missing", "short"])
def test_a_table_that_is_none_is_refused(learned: Learned, tmp_path: Path, fault: str) -> None:
    path = tmp_path / "items.npz"
    save(path, learned._replace(own=learned.own[:-1]) if fault == "short" else learned)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:100])
    if fault == "missing":
        path.unlink()
    with pytest.raises(BundleError, match=r"items\.npz"):
        load(path)
