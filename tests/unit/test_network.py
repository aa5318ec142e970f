"""The towers: what they are before training, worked out without them, and that padding changes nothing."""

import numpy as np
import pytest
import torch

from model.event import Kind
from model.interest import KINDS
from model.training.export import learned_of
from model.training.line_weights import LEAST
from model.training.network import RECENCY, SCALE, Towers, principal

I, E, D, N = 30, 10, 6, 5  # noqa: E741 - the design's letters


@pytest.fixture
def texts() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(I, E), dim=1)


def towers(texts: torch.Tensor, dim: int = E, dropout: float = 0.0) -> Towers:
    return Towers(texts, dim, N, 0.5, dropout).eval()


def test_untrained_towers_are_the_recency_weighted_mean_of_frozen_texts(texts: torch.Tensor) -> None:
    net = towers(texts)
    items = torch.tensor([[3, 7, 1, -1, -1]])
    kinds = [Kind.CLICK, Kind.PURCHASE, Kind.DISLIKE, Kind.CLICK, Kind.CLICK]
    lines = torch.tensor([[KINDS.index(kind) for kind in kinds]])
    scores = net(items, lines, torch.arange(I))[0].detach().numpy()
    vectors = texts.numpy()
    interest = 1.0 * vectors[3] + 1.5 * RECENCY * vectors[7] - RECENCY**2 * vectors[1]
    expected = SCALE * vectors @ interest / np.linalg.norm(interest)
    assert scores == pytest.approx(expected, abs=1e-4)


def test_learned_vectors_count_in_both_roles_and_context_in_one(texts: torch.Tensor) -> None:
    net = towers(texts)
    own, context = np.random.default_rng(1).normal(0, 0.3, (2, I, E)).astype(np.float32)
    with torch.no_grad():
        net.own.copy_(torch.tensor(own))
        net.context.copy_(torch.tensor(context))
    candidates, contexts = (told.detach().numpy() for told in net.items())
    turned = texts.numpy() @ net.projection.detach().numpy()
    assert candidates == pytest.approx(turned + own, abs=1e-5)
    assert contexts == pytest.approx(turned + own + context, abs=1e-5)


def test_padding_changes_nothing(texts: torch.Tensor) -> None:
    net = towers(texts)
    short = net(torch.tensor([[4, 2]]), torch.ones(1, 2, dtype=torch.long), torch.arange(I))
    padded = net(torch.tensor([[4, 2, -1, -1, -1]]), torch.ones(1, 5, dtype=torch.long), torch.arange(I))
    assert torch.equal(short, padded)


def test_an_empty_window_has_no_interest(texts: torch.Tensor) -> None:
    net = towers(texts)
    assert not net(torch.full((1, N), -1), torch.zeros(1, N, dtype=torch.long), torch.arange(I)).any()


def test_the_roles_drop_apart(texts: torch.Tensor) -> None:
    net = towers(texts, dropout=0.5).train()
    candidates, contexts = net.items()
    assert not torch.equal(candidates == 0, contexts == 0)


def test_the_principal_directions_are_orthonormal_and_keep_what_differs_most(texts: torch.Tensor) -> None:
    found = principal(texts, D)
    assert found.shape == (E, D)
    assert torch.allclose(found.T @ found, torch.eye(D), atol=1e-5)
    kept = (texts - texts.mean(0)).numpy() @ found.numpy()
    _, sizes, _ = np.linalg.svd((texts - texts.mean(0)).numpy(), full_matrices=False)
    assert (kept**2).sum() == pytest.approx(float((sizes[:D] ** 2).sum()), rel=1e-4)


def test_all_directions_keep_every_cosine(texts: torch.Tensor) -> None:
    turned = texts @ principal(texts, E)
    assert torch.allclose(turned @ turned.T, texts @ texts.T, atol=1e-5)


def test_a_text_without_an_item_is_a_context_that_borrows(texts: torch.Tensor) -> None:
    words = torch.nn.functional.normalize(torch.randn(2, E), dim=1)
    net = Towers(texts, E, N, 0.5, 0.0, (words, torch.tensor([[0, 1, 2], [3, 4, 5]]))).eval()
    with torch.no_grad():
        net.own.normal_()
        net.context.normal_()
        candidates, contexts = net.items()
        assert (len(candidates), len(contexts)) == (I, I + 2)
        lent = (net.own + net.context)[3:6].mean(0)
        assert torch.allclose(contexts[I + 1], words[1] @ net.projection + lent, atol=1e-5)
    assert learned_of(net).contexts() == pytest.approx(contexts.numpy(), abs=1e-5)


def test_a_step_computes_the_texts_that_it_holds_and_scores_as_with_all(texts: torch.Tensor) -> None:
    typed, lenders = torch.eye(E)[torch.tensor([3, 1, 0, 2, 1])], torch.arange(5)[:, None]
    net = Towers(texts, E, N, 0.5, 0.0, (typed, lenders))
    with torch.no_grad():
        net.own.normal_()
        net.context.normal_()
    items = torch.tensor([[I + 4, 1, I + 2, -1], [I + 2, I + 4, -1, -1], [0, -1, -1, -1]])
    lines = torch.full(items.shape, KINDS.index(Kind.SEARCH))
    candidates, contexts = net.items()
    whole = net.scores(net.interests(items, lines, contexts), candidates)
    held: list[int] = []
    net.dropout.register_forward_hook(lambda _, told, __: held.append(len(told[0])))
    assert torch.allclose(net(items, lines, torch.arange(I)), whole, atol=1e-5)
    assert held == [I, I + 2]


def test_a_kind_that_spoke_for_its_item_still_does_and_a_refusal_stays_as_it_is(texts: torch.Tensor) -> None:
    net = Towers(texts, D, N, 0.5, 0.0)
    with torch.no_grad():
        net.line_changes.fill_(-5.0)
    net.hold()
    table = dict(zip(KINDS, net.line_table()[: len(KINDS)].tolist(), strict=True))
    assert table[Kind.CLICK] == table[Kind.PURCHASE] == pytest.approx(LEAST)
    assert (table[Kind.DISLIKE], table[Kind.IMPRESSION]) == (-1.0, 0.0)
    assert (net.line_changes[len(KINDS) :] == -5.0).all()  # What few stars say is another matter.
