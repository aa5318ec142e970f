"""Training: it learns what can be learned, stops by validation, and resumes to the same."""

import hashlib
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from model.event import Kind
from model.interest import KINDS
from model.training import checkpoint
from model.training.baselines.protocol import Asked
from model.training.examples import truncated
from model.training.fit import BATCHES, FitSettings, FitWatch, batch_size, cut, fit, text_scale_of
from model.training.lessons import Lessons, Read, codes_of, lessons, repeated, training_requests
from model.training.queries import queries
from tests.logs import log_of
from tests.shop import AT, MINUTE

ITEMS, DIM = 40, 16
CLICK = KINDS.index(Kind.CLICK)
"""A line that tells nothing but its kind."""
SETTINGS = FitSettings(dim=DIM, epochs=6, batch=64, learning_rate=2e-2, dropout=0.1, bf16=False)


def random_texts() -> np.ndarray:  # type: ignore[type-arg]
    """Of no use: random directions, so that only what is learned can help."""
    told = np.random.default_rng(0).normal(size=(ITEMS, DIM))
    return (told / np.linalg.norm(told, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def texts() -> np.ndarray:  # type: ignore[type-arg]
    return random_texts()


def chain(size: int, seed: int) -> Lessons:
    """After item i comes i + 1, whatever came before i: the answer is known."""
    dice = np.random.default_rng(seed)
    last = dice.integers(0, ITEMS, size)
    items = np.stack([last, dice.integers(0, ITEMS, size), np.full(size, -1)], axis=1).astype(np.int32)
    return Lessons(
        items, np.full(items.shape, CLICK, np.int32), ((last + 1) % ITEMS).astype(np.int32), np.zeros(size, np.int64)
    )


def asked_of(lessons: Lessons) -> Asked:
    size = len(lessons.targets)
    nothing = np.zeros(0, np.int32)
    zeros = np.zeros(size, np.int64)
    twos, starts = np.full(size, 2, np.int32), np.zeros(size + 1, np.int64)
    return Asked(lessons.items, starts, nothing, lessons.targets, twos, zeros, zeros > 0, twos)


def test_what_follows_what_is_learned(texts: np.ndarray) -> None:  # type: ignore[type-arg]
    valid = chain(400, 1)
    found = fit(texts, chain(4000, 0), np.ones(ITEMS, np.bool_), SETTINGS, valid=(asked_of(valid), valid))
    assert found.ndcg > 0.8  # Chance gives .11.
    assert 0 < found.epochs <= SETTINGS.epochs
    recency = torch.exp(found.towers.log_recency - found.towers.log_recency[0])
    assert recency[1] < 0.38  # The second newest line is noise, and its weight has fallen.


def test_the_same_seed_learns_the_same_and_another_does_not(texts: np.ndarray) -> None:  # type: ignore[type-arg]
    told = [fit(texts, chain(500, 0), np.ones(ITEMS, np.bool_), replace(SETTINGS, epochs=2, seed=s)) for s in (0, 0, 1)]
    one, same, other = (each.towers.state_dict()["own"] for each in told)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


class Stopped(Exception):
    """The power went."""


def test_an_interrupted_training_resumes_to_the_same(texts: np.ndarray, tmp_path: Path) -> None:  # type: ignore[type-arg]
    lessons, known, valid = chain(500, 0), np.ones(ITEMS, np.bool_), chain(100, 1)
    hold = {"valid": (asked_of(valid), valid)}
    whole = fit(texts, lessons, known, SETTINGS, valid=hold["valid"])

    def stop(told: object) -> None:
        if getattr(told, "number", 0) == 20:  # In the middle of the third epoch.
            raise Stopped

    with pytest.raises(Stopped):
        fit(texts, lessons, known, SETTINGS, valid=hold["valid"], folder=tmp_path, watch=FitWatch(on_step=stop))
    steps: list[int] = []
    watch = FitWatch(on_step=lambda told: steps.append(told.number))
    resumed = fit(texts, lessons, known, SETTINGS, valid=hold["valid"], folder=tmp_path, watch=watch)
    assert steps[0] > 1
    assert resumed.epochs == whole.epochs
    for name, told in whole.towers.state_dict().items():
        assert torch.equal(told, resumed.towers.state_dict()[name]), name


def test_a_checkpoint_of_another_training_is_refused(texts: np.ndarray, tmp_path: Path) -> None:  # type: ignore[type-arg]
    known = np.ones(ITEMS, np.bool_)
    fit(texts, chain(200, 0), known, replace(SETTINGS, epochs=1), folder=tmp_path)
    with pytest.raises(ValueError, match="another training"):
        fit(texts, chain(200, 0), known, replace(SETTINGS, epochs=1, dropout=0.5), folder=tmp_path)
    with pytest.raises(ValueError, match="another training"):
        fit(texts[::-1].copy(), chain(200, 0), known, replace(SETTINGS, epochs=1), folder=tmp_path)


def test_a_damaged_checkpoint_is_named(texts: np.ndarray, tmp_path: Path) -> None:  # type: ignore[type-arg]
    known, settings = np.ones(ITEMS, np.bool_), replace(SETTINGS, epochs=1)
    fit(texts, chain(200, 0), known, settings, folder=tmp_path)
    written = (tmp_path / checkpoint.FILE).read_bytes()
    for left in (0, 100, len(written) - 1):
        (tmp_path / checkpoint.FILE).write_bytes(written[:left])
        with pytest.raises(ValueError, match=f"{checkpoint.FILE} is damaged .*: remove it"):
            fit(texts, chain(200, 0), known, settings, folder=tmp_path)


def test_a_loss_that_is_no_number_ends_the_training(texts: np.ndarray) -> None:  # type: ignore[type-arg]
    settings = replace(SETTINGS, learning_rate=1e30)
    with pytest.raises(ValueError, match=r"loss of epoch \d is no number: a lower learning_rate"):
        fit(texts, chain(200, 0), np.ones(ITEMS, np.bool_), settings)


def test_a_checkpoint_without_a_parameter_or_of_another_shape_is_another_training(
    texts: np.ndarray,  # type: ignore[type-arg]
    tmp_path: Path,
) -> None:
    """As before line weights were learned: the parameter was not there, or a kind's place in its table."""
    known, lessons, settings = np.ones(ITEMS, np.bool_), chain(200, 0), replace(SETTINGS, epochs=1)
    towers = fit(texts, lessons, known, settings).towers
    adam = torch.optim.Adam(towers.parameters())
    read = hashlib.blake2b(texts.tobytes(), digest_size=8).hexdigest()
    training = {"settings": asdict(settings), "examples": 200, "texts": read}
    for number, shape in enumerate([None, 3]):
        older, folder = deepcopy(towers), tmp_path / str(number)
        del older.line_changes
        if shape is not None:
            older.line_changes = torch.nn.Parameter(torch.zeros(shape))
        checkpoint.save(folder, older, adam, {}, checkpoint.Progress(1, 1, 0.5, 0), training)
        with pytest.raises(ValueError, match="another training: its parameters"):
            fit(texts, lessons, known, settings, folder=folder)


def test_a_checkpoint_that_knew_parameters_by_their_places_is_another_training(
    texts: np.ndarray,  # type: ignore[type-arg]
    tmp_path: Path,
) -> None:
    """Versions before kept what tells a training from others beside it, and Adam's state by number."""
    settings = replace(SETTINGS, epochs=1)
    save_file({"adam.0.step": torch.zeros(1)}, tmp_path / checkpoint.FILE)
    with pytest.raises(ValueError, match="another training: its settings"):
        fit(texts, chain(200, 0), np.ones(ITEMS, np.bool_), settings, folder=tmp_path)


def test_adams_state_goes_to_its_parameter_whatever_their_order(tmp_path: Path) -> None:
    """A vector and another of the same shape, which the optimisers hold in opposite orders."""

    def made(turned: bool) -> tuple[torch.nn.Module, torch.optim.Adam]:
        torch.manual_seed(0)
        net = torch.nn.ParameterDict({name: torch.nn.Parameter(torch.ones(3)) for name in ("a", "b")})
        return net, torch.optim.Adam(list(net.values())[:: -1 if turned else 1])

    def step(net: torch.nn.Module, adam: torch.optim.Adam) -> None:
        adam.zero_grad()
        (net["a"].square() - 3 * net["b"]).sum().backward()
        adam.step()

    whole, adam = made(turned=False)
    step(whole, adam)
    checkpoint.save(tmp_path, whole, adam, {}, checkpoint.Progress(1, 1, 0.5, 0), {})
    step(whole, adam)
    resumed, other = made(turned=True)
    assert checkpoint.resume(tmp_path, resumed, other, {}) == ({}, checkpoint.Progress(1, 1, 0.5, 0))
    step(resumed, other)
    for mine, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_cut_window_is_as_if_the_user_had_come_later() -> None:
    """What its lines repeat is cut away with the lines that they repeat."""
    dice = np.random.default_rng(0)
    bought = [*dice.choice(["a", "b", "c"], 30).tolist(), "d"]
    rows: list[dict[str, Any]] = [{"kind": "click", "item_id": item} for item in bought]
    rows.insert(12, {"kind": "search", "query": "boots"})
    rows.insert(13, {"kind": "search", "query": "boots"})
    log = log_of({"user_id": "u", "at": AT + place * MINUTE, **row} for place, row in enumerate(rows))
    every = np.ones(len(log), np.bool_)
    told, wide = codes_of(log), 10
    requests = training_requests(log, every, wide, 10**12)
    read = Read(wide, queries(log, every).of, told)
    whole = lessons(log, requests, told, read)
    items, lines = (torch.tensor(each.astype(np.int64)) for each in (whole.items, whole.lines))
    torch.manual_seed(0)
    kept, codes = cut(items, lines, 0.8, len(log.items))
    sizes = (kept >= 0).sum(1).numpy()
    assert 0 < (sizes < (whole.items >= 0).sum(1)).sum() < len(sizes)
    assert (codes != lines * (kept >= 0)).any()
    later = lessons(log, truncated(requests, sizes), told, read)
    assert np.array_equal(kept[:, : later.items.shape[1]], later.items)
    assert np.array_equal((codes * (kept >= 0))[:, : later.lines.shape[1]], later.lines)


def test_where_windows_are_cut_what_they_repeat_is_counted_anew(texts: np.ndarray) -> None:  # type: ignore[type-arg]
    once = chain(200, 0)
    once.items[:, 1] = once.items[:, 0]
    twice = once._replace(lines=repeated(once.lines, once.items, ITEMS))

    def learned(lessons: Lessons, share: float) -> torch.Tensor:
        settings = replace(SETTINGS, epochs=1, cut=share)
        return fit(texts, lessons, np.ones(ITEMS, np.bool_), settings).towers.own.detach()

    assert not torch.equal(learned(once, 0.0), learned(twice, 0.0))
    assert torch.equal(learned(once, 0.5), learned(twice, 0.5))


def test_a_sampled_softmax_learns_the_same_chain(texts: np.ndarray) -> None:  # type: ignore[type-arg]
    valid = chain(400, 1)
    settings = replace(SETTINGS, negatives=12)
    found = fit(texts, chain(4000, 0), np.ones(ITEMS, np.bool_), settings, valid=(asked_of(valid), valid))
    assert found.ndcg > 0.8


@pytest.mark.parametrize("negatives", [0, 12])
def test_the_adjustment_says_who_sells_so_that_vectors_need_not(texts: np.ndarray, negatives: int) -> None:  # type: ignore[type-arg]
    dice = np.random.default_rng(0)
    sells = np.where(np.arange(ITEMS) < 4, 30.0, 1.0)  # Whatever stands in the window.
    lessons = chain(6000, 0)._replace(targets=dice.choice(ITEMS, 6000, p=sells / sells.sum()).astype(np.int32))

    def ahead(adjustment: float) -> float:
        """By how much what sells is scored above what does not."""
        settings = replace(SETTINGS, adjustment=adjustment, negatives=negatives)
        towers = fit(texts, lessons, np.ones(ITEMS, np.bool_), settings).towers
        some = lessons.only(np.arange(500))
        with torch.inference_mode():
            items, lines = (torch.tensor(each.astype(np.int64)) for each in (some.items, some.lines))
            means = towers(items, lines, torch.arange(ITEMS)).mean(0)
        return float(means[:4].mean() - means[4:].mean())

    none, half, all_of_it = (ahead(adjustment) for adjustment in (0.0, 0.5, 1.0))
    assert none > 2.5  # log 30 is 3.4.
    assert 0.3 * none < half < 0.7 * none
    assert abs(all_of_it) < 0.2 * none


def test_items_that_training_has_not_seen_are_not_pushed_away(texts: np.ndarray) -> None:  # type: ignore[type-arg]
    known = np.arange(ITEMS) != 7
    lessons = chain(500, 0)
    lessons = lessons.only(np.flatnonzero((lessons.targets != 7) & (lessons.items != 7).all(axis=1)))
    found = fit(texts, lessons, known, replace(SETTINGS, epochs=1))
    assert not found.towers.own[7].any()
    assert found.towers.own[8].any()


def test_nothing_to_learn_from_is_said(texts: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match="nothing to learn from"):
        fit(texts, chain(0, 0), np.ones(ITEMS, np.bool_), SETTINGS)


@pytest.mark.parametrize(("examples", "batch"), [(0, 64), (3_000, 64), (131_413, 2048), (10_000_000, 2048)])
def test_a_batch_follows_the_logs_size(examples: int, batch: int) -> None:
    assert batch_size(examples) == batch
    assert BATCHES[0] <= batch <= BATCHES[1]


@pytest.mark.parametrize(("examples_an_item", "scale"), [(0, 1), (4, 0.75), (8, 0.5), (1000, 0.5)])
def test_the_fewer_events_speak_the_longer_are_texts(examples_an_item: float, scale: float) -> None:
    assert text_scale_of(examples_an_item) == scale
