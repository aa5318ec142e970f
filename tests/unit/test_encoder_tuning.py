"""An encoder that learns from pairs; needs torch, transformers and peft, the extra `[train]`."""

import itertools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bert import bert_folder, torch
from tests.shop import COLOURS, THEMES

pytest.importorskip("peft", reason="peft is not installed: make install-train")

from model.encoder import Encoder
from model.training.encoder_tuning import Step, TuningSettings, _Plan, _temperature, tune
from model.training.encoders import EncoderError
from model.training.text_network import TextNetwork
from model.training.watching import watched
from model.training.zeroshot import init

ADAPTERS: list[Any] = ["lora", "adalora", "full"]
SETTINGS = TuningSettings(
    temperature=0.05,
    rank=16,
    batch=16,
    chunk=8,
    epochs=3,
    learning_rate=5e-3,
    anchor=0.1,
    max_tokens=16,
    checkpoint_steps=3,
)
TITLES = {theme: [f"{c} {w}" for w in words for c in COLOURS] for theme, words in THEMES.items()}
TEXTS = [title for titles in TITLES.values() for title in titles]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_folder(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    """Shoppers stay within a theme."""
    dice = random.Random(0)
    return [tuple(dice.sample(TITLES[dice.choice(list(TITLES))], 2)) for _ in range(96)]  # type: ignore[misc]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(str(folder / "model.safetensors")))


def settings_of(adapter: Any) -> TuningSettings:
    return replace(SETTINGS, adapter=adapter, learning_rate={"full": 3e-3, "lora": 4e-3, "adalora": 3e-2}[adapter])


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_goes_together_comes_together(
    folder: Path, pairs: list[tuple[str, str]], tmp_path: Path, adapter: Any
) -> None:
    steps: list[Step] = []
    out = tune(folder, pairs, tmp_path / "tuned", replace(settings_of(adapter), epochs=10), watch=steps.append)
    assert [step.number for step in steps] == list(range(1, 10 * 6 + 1))
    first, last = (np.mean([step.contrast for step in some]) for some in (steps[:4], steps[-4:]))
    assert last < 0.9 * first
    assert 0 < steps[-1].anchor < 1
    lines = [Encoder(init(str(each), tmp_path / f"bundle of {each.name}")).vectors(TEXTS) for each in (folder, out)]
    themes = np.repeat(np.arange(len(TITLES)), len(TEXTS) // len(TITLES))
    same = themes[:, None] == themes[None]
    before, after = ((unit @ unit.T)[same].mean() - (unit @ unit.T)[~same].mean() for unit in lines)
    assert after > before + 0.02


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_interrupted_run_ends_in_the_same_weights(
    folder: Path, pairs: list[tuple[str, str]], tmp_path: Path, adapter: Any
) -> None:
    settings = settings_of(adapter)
    whole = weights(tune(folder, pairs, tmp_path / "whole", settings))

    def interrupt(step: Step) -> None:
        if step.number == 8:  # Two steps after a checkpoint.
            raise KeyboardInterrupt

    out = tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        tune(folder, pairs, out, settings, watch=interrupt)
    assert not out.exists()
    seen: list[Step] = []
    again = weights(tune(folder, pairs, out, settings, watch=seen.append))
    assert seen[0].number == 7
    assert [path.name for path in tmp_path.iterdir()] in (["whole", "resumed"], ["resumed", "whole"])
    assert whole.keys() == again.keys()
    for name, told in whole.items():
        assert torch.equal(told, again[name]), name
    tune(folder, pairs, out, settings, watch=lambda _: seen.clear())
    assert seen, "what lay there already was learned again"
    other = weights(tune(folder, pairs, tmp_path / "seed", replace(settings, seed=1)))
    assert any(not torch.equal(told, other[name]) for name, told in whole.items())


@pytest.mark.parametrize("adapter", ["lora", "adalora"])
def test_merged_weights_give_the_adapters_vectors(folder: Path, tmp_path: Path, adapter: Any) -> None:
    network = TextNetwork(folder, adapter, rank=4, steps=10)
    with torch.no_grad():
        for number, each in enumerate(network.trained.values()):
            each.copy_(torch.randn(each.shape, generator=torch.Generator().manual_seed(number)) * 0.3)
        ids = network.ids(TEXTS[:20])
        moved = network.vectors(ids)
        (tmp_path / "merged").mkdir()
        network.save(tmp_path / "merged")
        plain = TextNetwork(tmp_path / "merged")
        assert not plain.trained
        torch.testing.assert_close(plain.vectors(ids), moved, rtol=0, atol=1e-5)
        assert (TextNetwork(folder).vectors(ids) * moved).sum(1).max() < 0.999
    served = Encoder(init(str(tmp_path / "merged"), tmp_path / "bundle")).vectors(TEXTS[:20])
    np.testing.assert_allclose(served, moved.numpy(), atol=1e-5)


def test_adalora_ends_with_the_ranks_that_it_was_told(folder: Path) -> None:
    network = TextNetwork(folder, "adalora", rank=4, steps=20)
    target = torch.nn.functional.normalize(torch.randn(8, 32, generator=torch.Generator().manual_seed(0)), dim=1)
    optimizer = torch.optim.SGD(network.trained.values(), 0.5)
    for step in range(20):
        (1 - (network.vectors(network.ids(TEXTS[:8])) * target).sum(1)).mean().backward()
        network.backward_penalty()
        optimizer.step()
        network.keep_ranks(step)
        optimizer.zero_grad()
    ranks = [int((each != 0).sum()) for name, each in network.trained.items() if "lora_E" in name]
    assert len(ranks) == 2 * 6
    assert sum(ranks) == 4 * len(ranks), "six each at first"


def test_a_chunk_of_any_size_gives_the_same_weights(folder: Path, pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    found = [
        weights(tune(folder, pairs, tmp_path / str(chunk), replace(SETTINGS, chunk=chunk, epochs=1)))
        for chunk in (5, 1000)
    ]
    for name, told in found[0].items():
        torch.testing.assert_close(told, found[1][name], rtol=0, atol=2e-4)


def test_the_more_it_is_anchored_the_less_it_moves(folder: Path, pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    moved = []
    for anchor in (0.0, 20.0):
        steps: list[Step] = []
        tune(folder, pairs, tmp_path / "tuned", replace(SETTINGS, anchor=anchor), watch=steps.append)
        moved.append(steps[-1].anchor)
    assert moved[1] < 0.7 * moved[0]


def test_bf16_learns_nearly_the_same(folder: Path, pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    losses = []
    for bf16 in (False, True):
        steps: list[Step] = []
        tune(folder, pairs, tmp_path / "tuned", replace(SETTINGS, bf16=bf16), watch=steps.append)
        losses.append([step.contrast for step in steps])
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.1)


def test_frozen_is_the_encoder_as_it_was(folder: Path, pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    out = tune(folder, pairs, tmp_path / "frozen", replace(SETTINGS, adapter="frozen"))
    before, after = weights(folder), weights(out)
    assert all(torch.equal(told, before[name]) for name, told in after.items())


def test_a_checkpoint_of_another_run_is_refused(folder: Path, pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    def interrupt(step: Step) -> None:
        if step.number == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(folder, pairs, tmp_path / "tuned", SETTINGS, watch=interrupt)
    with pytest.raises(EncoderError, match="other pairs or settings; delete it"):
        tune(folder, pairs[:-1], tmp_path / "tuned", SETTINGS)


def test_what_cannot_be_tuned_is_named(folder: Path, pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no model\.safetensors"):
        tune(tmp_path, pairs, tmp_path / "tuned")
    with pytest.raises(ValueError, match="empty"):
        tune(folder, [("jam", "")], tmp_path / "tuned")
    with pytest.raises(ValueError, match="no pairs"):
        tune(folder, [], tmp_path / "tuned")
    if not torch.cuda.is_available():
        with pytest.raises(EncoderError, match="device = cpu"):
            tune(folder, pairs, tmp_path / "tuned", replace(SETTINGS, device="cuda"))


def test_who_looks_on_sees_a_bar_and_curves(
    folder: Path, pairs: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: make install-train")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with watched(tmp_path / "curves") as watch:
        tune(folder, pairs, tmp_path / "tuned", SETTINGS, watch=watch)
    assert "18/18" in capsys.readouterr().err
    curves = EventAccumulator(str(tmp_path / "curves"))
    curves.Reload()
    points = curves.Scalars("encoder/contrast")
    assert [point.step for point in points] == [1, 10, 18]
    rates = [point.value for point in curves.Scalars("encoder/learning_rate")]
    assert rates[-1] < rates[1] <= SETTINGS.learning_rate


def test_the_temperature_is_the_one_that_suits_the_frozen_vectors() -> None:
    """Pairs at right angles to each other, and near each other by so much: the nearer, the lower."""
    chosen = []
    for nearness in (0.95, 0.3):
        vectors = torch.eye(64).repeat_interleave(2, 0)
        noise = torch.nn.functional.normalize(torch.randn(128, 64, generator=torch.Generator().manual_seed(0)), dim=1)
        vectors = torch.nn.functional.normalize(nearness * vectors + (1 - nearness) * noise, dim=1)
        pairs = [(f"left {number}", f"right {number}") for number in range(64)]
        chosen.append(_temperature(_Plan(pairs, replace(SETTINGS, batch=16), None, None), vectors))
    assert chosen[0] < chosen[1]


def test_every_pair_comes_once_an_epoch_in_another_order(folder: Path, tmp_path: Path) -> None:
    told = list(itertools.pairwise(TEXTS[:33]))
    plan = _Plan(told, replace(SETTINGS, epochs=2, batch=8), None, None)
    epochs: list[list[tuple[str, str]]] = [[], []]
    for number, batch in plan.batches(0):
        texts = [plan.texts[text] for text in batch.texts]
        epochs[number // 4] += [(texts[a], texts[b]) for a, b in zip(batch.left, batch.right, strict=True)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(told)
    assert epochs[0] != epochs[1]
    later = [(number, batch.texts) for number, batch in plan.batches(5)]
    assert later == [(number, batch.texts) for number, batch in plan.batches(0)][5:]
