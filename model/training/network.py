"""The towers, in torch: what an item is as candidate and as context, and what a window of them amounts to.

Knows nothing of logs, batches or ONNX; `graphs.py` writes the same towers from the numbers that are learned here.

An item is its text's vector, projected, plus an own vector in both roles, plus a second one as context alone (the
output and input tables of word2vec: Mikolov et al. 2013, Distributed Representations, eq. 2). A window's interest is
the sum of its lines' contexts, each by what the line tells and by how many newer lines there are: no attention, and but
for repetitions an O(1) state.
A score is the cosine times a learned scale, trained by a softmax over all items (Klenitskiy & Vasilev 2023) or, in
large catalogues, over a sample with the logQ correction (Bengio & Senecal 2008; Yi et al. 2019, eq. 3).

Before the first step own and context vectors are zero: the towers are then a recency-weighted mean of frozen texts.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.training.line_weights import LEAST, PRIOR, SIZES, STARTS, STEPS, learnable

RECENCY = 0.38
"""What one newer line leaves of a line's weight before training. Measured on Beauty: learned .52 .29 .12 .05."""
SCALE = 20.0
"""Of the cosine before training."""


class Towers(nn.Module):
    """I items, S other texts, windows of N lines, vectors of length D."""

    def __init__(
        self,
        texts: Tensor,
        dim: int,
        lines: int,
        text_scale: float,
        dropout: float,
        queries: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Towers that have learned nothing.

        Args:
            texts: (I, E) unit vectors of the items' texts; an item's number is its row.
            dim: D, at most E.
            lines: N.
            text_scale: length of a projected text's vector: how much of an item is its text from the start.
            dropout: of single components, apart in each role (Srivastava et al. 2014).
            queries: (S, E) unit vectors of texts that are no item's, and (S, L) the items that each borrows from.
        """
        super().__init__()
        self.register_buffer("texts", texts, persistent=False)
        self.texts: Tensor
        none = torch.zeros(0, texts.shape[1]), torch.zeros(0, 1, dtype=torch.long)
        for name, told in zip(("queries", "lenders"), queries or none, strict=True):
            self.register_buffer(name, told, persistent=False)
        self.queries: Tensor
        self.lenders: Tensor
        self.projection = nn.Parameter(principal(texts, dim) * text_scale)
        self.own = nn.Parameter(torch.zeros(len(texts), dim))
        self.context = nn.Parameter(torch.zeros(len(texts), dim))
        self.line_changes = nn.Parameter(torch.zeros(sum(SIZES)))
        self.register_buffer("line_prior", torch.tensor(PRIOR.table()), persistent=False)
        self.line_prior: Tensor
        self.register_buffer("learnable", torch.tensor(learnable()), persistent=False)
        self.learnable: Tensor
        self.log_recency = nn.Parameter(math.log(RECENCY) * torch.arange(lines, dtype=torch.float32))
        self.log_scale = nn.Parameter(torch.tensor(math.log(SCALE)))
        self.dropout = nn.Dropout(dropout)

    def items(self, some: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(I, D) as candidates and (I + S, D) as context, neither of unit length.

        Args:
            some: (S,) numbers of the texts that are wanted, from 0; None: all.
        """
        both = self.texts @ self.projection + self.own
        contexts = both + self.context
        queries, lenders = (told if some is None else told[some] for told in (self.queries, self.lenders))
        if len(queries):
            lent = (self.own + self.context)[lenders].mean(1)
            contexts = torch.cat([contexts, queries @ self.projection + lent])
        return self.dropout(both), self.dropout(contexts)

    def line_table(self) -> Tensor:
        """(T,) what the lines weigh: `line_weights.LineWeights.table`."""
        return self.line_prior + self.line_changes * self.learnable

    def hold(self) -> None:
        """After a step: a kind that spoke for its item before training still does, by LEAST."""
        kinds = slice(SIZES[0])
        least = torch.where(self.learnable[kinds], LEAST - self.line_prior[kinds], -torch.inf)
        with torch.no_grad():
            self.line_changes[kinds] = torch.maximum(self.line_changes[kinds], least)

    def strengths(self, lines: Tensor) -> Tensor:
        """(B, N) of lines by their codes; negative pushes away. The same as `line_weights.strengths`."""
        steps, sizes, starts = (torch.tensor(told, device=lines.device) for told in (STEPS, SIZES, STARTS))
        factors = self.line_table()[lines[..., None] // steps % sizes + starts]
        return factors.detach().sign().amin(-1) * factors.abs().prod(-1)

    def interests(self, items: Tensor, lines: Tensor, contexts: Tensor) -> Tensor:
        """(B, D) unit vectors.

        Args:
            items: (B, N) numbers, newest first, -1 behind; texts follow the items.
            lines: (B, N) their codes.
            contexts: (I + S, D).
        """
        longest = max(int((items >= 0).sum(1).max()), 1)
        items, lines = items[:, :longest], lines[:, :longest]
        weights = self.strengths(lines) * self.log_recency[:longest].exp() * (items >= 0)
        sums = functional.embedding_bag(items.clamp(min=0), contexts, per_sample_weights=weights, mode="sum")
        return functional.normalize(sums, dim=1)

    def forward(self, items: Tensor, lines: Tensor, among: Tensor) -> Tensor:
        """(B, A) scores of the items `among`, (A,) numbers."""
        typed = items >= len(self.own)
        some, places = torch.unique(items[typed] - len(self.own), return_inverse=True)  # A step holds few of S texts.
        candidates, contexts = self.items(some)
        interests = self.interests(items.masked_scatter(typed, places + len(self.own)), lines, contexts)
        return self.scores(interests, candidates[among])

    def scores(self, interests: Tensor, candidates: Tensor) -> Tensor:
        """(B, A) of (B, D) interests with (A, D) candidates."""
        cosines: Tensor = interests @ functional.normalize(candidates, dim=1).T
        scaled: Tensor = cosines * torch.exp(self.log_scale)
        return scaled


def principal(texts: Tensor, dim: int) -> Tensor:
    """(E, D) the directions in which the texts differ most, orthonormal; all of them where D is E.

    The signs are fixed, so that two machines begin alike.
    """
    centred = (texts - texts.mean(0)).double()
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    chosen = vectors.flip(1)[:, :dim]
    signs = torch.sign(chosen.gather(0, chosen.abs().argmax(0, keepdim=True)))
    directions: Tensor = (chosen * signs).float()
    return directions
