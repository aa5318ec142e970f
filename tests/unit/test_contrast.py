"""The losses of an encoder that learns from pairs; worked out in numpy, one pair at a time."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make install-train")

from model.training.contrast import Loss, PairBatch, backward, pair_loss  # noqa: E402


def unit(*shape: int, seed: int = 0) -> "torch.Tensor":
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(made, dim=-1)


def batch(left: list[int], right: list[int], log_q: list[float] | None = None) -> PairBatch:
    texts = sorted({*left, *right})
    return PairBatch(
        texts,
        torch.tensor([texts.index(each) for each in left]),
        torch.tensor([texts.index(each) for each in right]),
        torch.tensor(log_q or [0.0] * len(left)),
        torch.tensor([1.0 + number for number in range(len(left))]),
    )


def test_a_pair_competes_with_the_other_right_texts_but_never_with_its_own_texts() -> None:
    """Texts 0..5; pair 1 has the right text of pair 0, and pair 2 has as left what is pair 3's right."""
    told = batch([0, 1, 2, 5], [3, 3, 4, 2], [-1.0, -1.0, -2.0, -3.0])
    vectors, frozen = unit(6, 8), unit(6, 8, seed=1)
    found = pair_loss(vectors, frozen, told, 0.1, 0.5)
    v, q = vectors.numpy(), [-1.0, -1.0, -2.0, -3.0]
    competitors = {0: [0, 2, 3], 1: [1, 2, 3], 2: [0, 1, 2], 3: [0, 1, 2, 3]}
    losses, rights = [], [3, 3, 4, 2]
    for pair, (left, right) in enumerate(zip([0, 1, 2, 5], rights, strict=True)):
        own = v[left] @ v[right] / 0.1 - q[pair]
        others = [v[left] @ v[rights[other]] / 0.1 - q[other] for other in competitors[pair]]
        losses.append(np.log(np.exp(others).sum()) - own)
    contrast = np.average(losses, weights=[1, 2, 3, 4])
    anchor = np.mean(1 - (v * frozen.numpy()).sum(1))
    assert float(found.contrast) == pytest.approx(contrast, rel=1e-5)
    assert float(found.anchor) == pytest.approx(anchor, rel=1e-5)
    assert float(found.whole) == pytest.approx(contrast + 0.5 * anchor, rel=1e-5)


def test_nothing_moved_is_no_anchor_loss_and_perfect_pairs_are_all_hits() -> None:
    vectors = torch.eye(6)
    vectors[3:] = vectors[:3]
    found = pair_loss(vectors, vectors, batch([0, 1, 2], [3, 4, 5]), 0.05, 1.0)
    assert float(found.anchor) == 0
    assert float(found.hits) == 1
    assert float(found.contrast) < 1e-6


def test_a_frequent_text_is_the_weaker_negative() -> None:
    vectors = unit(4, 8)
    seldom = pair_loss(vectors, vectors, batch([0, 1], [2, 3], [-5.0, -5.0]), 0.1, 0.0)
    as_often = pair_loss(vectors, vectors, batch([0, 1], [2, 3]), 0.1, 0.0)
    assert float(seldom.whole) == pytest.approx(float(as_often.whole), rel=1e-5), "one share for all changes nothing"
    first_pair = PairBatch(*batch([0, 1], [2, 3], [-5.0, -1.0])[:4], torch.tensor([1.0, 0.0]))
    assert float(pair_loss(vectors, vectors, first_pair, 0.1, 0.0).whole) < float(
        pair_loss(vectors, vectors, PairBatch(*batch([0, 1], [2, 3])[:4], torch.tensor([1.0, 0.0])), 0.1, 0.0).whole
    )


@pytest.mark.parametrize("chunk", [1, 3, 5])
def test_the_gradient_in_chunks_is_the_gradient_at_once(chunk: int) -> None:
    told, frozen = batch([0, 1, 2, 5], [3, 3, 4, 2]), unit(6, 8, seed=1).double()
    inputs = unit(6, 12, seed=2).double()
    gradients = []
    for size in (6, chunk):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.Tanh(), torch.nn.Linear(16, 8)).double()

        def encode(texts: "list[int]", network: "torch.nn.Module" = network) -> "torch.Tensor":
            return torch.nn.functional.normalize(network(inputs[list(texts)]), dim=1)

        def loss(vectors: "torch.Tensor") -> Loss:
            return pair_loss(vectors, frozen, told, 0.1, 0.5)

        backward(encode, [list(range(start, min(6, start + size))) for start in range(0, 6, size)], loss)
        gradients.append(torch.cat([each.grad.flatten() for each in network.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)
    assert gradients[0].abs().max() > 1e-3
