"""Beside the baselines SASRec and BSARec: how a network over item ids is trained, stopped and asked.

Knows nothing of what is inside the network. Softmax over all items and cross entropy, never sampled: Klenitskiy &
Vasilev 2023 show that SASRec so trained beats most that came after it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.session import Floats
from model.training.answers import ndcg_at_10
from model.training.baselines.protocol import Asked, Choice, Ints, Known, Sequences

HIDDEN = 64
LAYERS = 2
DROPOUT = 0.3
LONGEST = 50
"""Items of a window at most; fewer where 95 % of the users have fewer, because cost grows with it."""
RATE = 1e-3
LOOK = 150
"""Steps, at least, between two looks at validation; a look comes after a whole pass over the log."""
PATIENCE = 5
"""Looks without a better NDCG@10 after which training ends."""


class SequenceNet(nn.Module):
    """Item and position embeddings, some layers, and the item embeddings again for the scores."""

    def __init__(self, size: int, length: int, layers: nn.ModuleList) -> None:
        """`size` items, counted from 1 here: number 0 is padding. Windows are `length` long and end in the newest."""
        super().__init__()
        self.items = nn.Embedding(size + 1, HIDDEN, padding_idx=0)
        self.places = nn.Embedding(length, HIDDEN)
        self.layers = layers
        self.dropout = nn.Dropout(DROPOUT)
        self.before, self.after = nn.LayerNorm(HIDDEN, eps=1e-12), nn.LayerNorm(HIDDEN, eps=1e-12)
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, std=0.02)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)

    def forward(self, windows: Tensor) -> Tensor:
        """(B, L, H) of (B, L) items, padded at the front; a place sees itself and what came before it."""
        length = windows.shape[1]
        real = windows > 0
        causal = torch.ones(length, length, dtype=torch.bool, device=windows.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=windows.device)
        seen = ((causal & real[:, None, :]) | itself)[:, None]  # (B, 1, L, L)
        hidden = self.items(windows) + self.places.weight[-length:]
        hidden = self.dropout(self.before(hidden))
        for layer in self.layers:
            hidden = layer(hidden, seen)
        told: Tensor = self.after(hidden)
        return told

    def scores(self, hidden: Tensor) -> Tensor:
        """(…, M) of (…, H)."""
        return hidden @ self.items.weight[1:].T


class Attention(nn.Module):
    """Multi-head self-attention, without norm or residual."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward, self.outward = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN)

    def forward(self, hidden: Tensor, seen: Tensor) -> Tensor:
        """(B, L, H) of the same."""
        users, length, _ = hidden.shape
        parts = self.inward(hidden).view(users, length, 3, self.heads, HIDDEN // self.heads).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(
            parts[0], parts[1], parts[2], attn_mask=seen, dropout_p=DROPOUT if self.training else 0.0
        )
        told: Tensor = self.outward(mixed.transpose(1, 2).reshape(users, length, HIDDEN))
        return told


Examples = Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
"""(windows (B, L) padded at the front, targets (B, L); 0 where nothing is asked)."""


class Network:
    """A baseline around a SequenceNet: trains until validation falls or the time is over, keeps the best."""

    layer: Callable[[], nn.Module]
    """Makes one of the LAYERS, whose forward takes (hidden (B, L, H), seen (B, 1, L, L))."""
    examples: Callable[[Sequences, int, np.random.Generator], Examples]
    """(sequences, length, dice) -> the batches of one epoch."""
    grid: Mapping[str, Sequence[float]] = {}
    live = False
    relearns = False

    def fit(self, known: Known, choice: Choice) -> None:
        torch.manual_seed(known.seed)
        dice = np.random.default_rng(known.seed)
        self._device, self._length = torch.device(known.device), length_of(known.sequences)
        layers = nn.ModuleList([self.layer() for _ in range(LAYERS)])
        self._net = SequenceNet(known.size, self._length, layers).to(self._device)
        optimizer = torch.optim.Adam(self._net.parameters(), lr=RATE)
        until = time.monotonic() + known.seconds
        best: tuple[float, dict[str, Any]] = (-1.0, {})
        waited = self.steps = 0
        while waited < PATIENCE and self.steps < known.steps and time.monotonic() < until:
            self._net.train()
            next_look = min(self.steps + LOOK, known.steps)
            while self.steps < next_look and time.monotonic() < until:
                for windows, targets in self.examples(known.sequences, self._length, dice):
                    self._step(optimizer, windows, targets)
                    self.steps += 1
                    if time.monotonic() > until:
                        break
            reached = ndcg_at_10(self, known.valid)
            waited += 1
            if reached > best[0]:
                best, waited = (reached, deepcopy(self._net.state_dict())), 0
        self._net.load_state_dict(best[1])
        self._net.eval()

    def _step(self, optimizer: torch.optim.Optimizer, windows: Any, targets: Any) -> None:
        wanted = torch.from_numpy(targets).to(self._device)
        hidden = self._net(torch.from_numpy(windows).to(self._device))
        asked = wanted > 0  # The softmax is nearly all of the cost: only where something is asked.
        loss = nn.functional.cross_entropy(self._net.scores(hidden[asked]), wanted[asked] - 1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        optimizer.step()

    def scores(self, asked: Asked) -> Floats:
        """(B, M)."""
        self._net.eval()
        windows = at_end(asked.items, asked.lengths, self._length)
        with torch.inference_mode():
            hidden = self._net(torch.from_numpy(windows).to(self._device))[:, -1]
            found: Floats = self._net.scores(hidden).cpu().numpy()
        return found


def length_of(told: Sequences) -> int:
    """L: items of a window."""
    _, counts = np.unique(told.users, return_counts=True)
    return int(np.clip(np.percentile(counts, 95), 4, LONGEST)) if len(counts) else 4


def at_end(items: Ints, lengths: Ints, length: int) -> npt.NDArray[np.int64]:
    """(B, L) the newest L items of each window, counted from 1, padded with 0 at the front."""
    places = lengths[:, None] - length + np.arange(length)
    found = np.take_along_axis(items, np.maximum(places, 0), axis=1).astype(np.int64) + 1
    return np.where(places >= 0, found, 0)


def every_place(told: Sequences, length: int, dice: np.random.Generator, batch: int = 128) -> Examples:
    """Each user's newest L + 1 items: every place is asked for the next one. Only for networks that are causal."""
    starts, sizes = _users(told)
    users = dice.permutation(np.flatnonzero(sizes > 1))
    for first in range(0, len(users), batch):
        ends = (starts + sizes)[users[first : first + batch]]
        begins = starts[users[first : first + batch]]
        yield _ending_at(told, begins, ends - 1, length), _ending_at(told, begins + 1, ends, length)


def every_prefix(told: Sequences, length: int, dice: np.random.Generator, batch: int = 256) -> Examples:
    """Each item but a user's first: the L items before it, asked at their last place alone."""
    starts, sizes = _users(told)
    begins = np.repeat(starts, sizes)
    places = dice.permutation(np.flatnonzero(np.arange(len(begins)) > begins))
    for first in range(0, len(places), batch):
        asked = places[first : first + batch]
        windows = _ending_at(told, begins[asked], asked, length)
        targets = np.zeros_like(windows)
        targets[:, -1] = told.items[asked] + 1
        yield windows, targets


def _users(told: Sequences) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(first place, number of items) of each user."""
    _, starts, sizes = np.unique(told.users, return_index=True, return_counts=True)
    return starts.astype(np.int64), sizes.astype(np.int64)


def _ending_at(
    told: Sequences, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], length: int
) -> npt.NDArray[np.int64]:
    """(B, L) the items of the places [end - L, end), none before its user's begin, counted from 1."""
    places = ends[:, None] - length + np.arange(length)
    found = told.items[np.maximum(places, 0)].astype(np.int64) + 1
    return np.where(places >= begins[:, None], found, 0)
