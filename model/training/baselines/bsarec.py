"""Baseline: BSARec, self-attention beside a filter of the sequence's frequencies (Shin, Choi, Wi & Park, AAAI 2024).

Each layer is alpha * filter + (1 - alpha) * attention. The filter keeps the `LOW` lowest frequencies of the window and
weighs the rest by a learned square (their equations 5 to 7). It is not causal: every prefix is an example of its own.
"""

import torch
from torch import Tensor, nn

from model.training.baselines.networks import DROPOUT, HIDDEN, Attention, Network, every_prefix

ALPHA = 0.7
LOW = 5


class Filter(nn.Module):
    """Low frequencies + beta squared * the rest, with residual and norm."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.randn(1, 1, HIDDEN))
        self.dropout, self.norm = nn.Dropout(DROPOUT), nn.LayerNorm(HIDDEN, eps=1e-12)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, L, H) of the same."""
        length = hidden.shape[1]
        waves = torch.fft.rfft(hidden, dim=1, norm="ortho")
        kept = min(LOW // 2 + 1, waves.shape[1])  # As in the paper's code: c counts both halves of the spectrum.
        low = torch.fft.irfft(
            torch.cat([waves[:, :kept], torch.zeros_like(waves[:, kept:])], dim=1), n=length, dim=1, norm="ortho"
        )
        told: Tensor = self.norm(hidden + self.dropout(low + self.beta**2 * (hidden - low)))
        return told


class Layer(nn.Module):
    """Filter beside attention, then feed-forward, each with residual and norm."""

    def __init__(self) -> None:
        super().__init__()
        self.filter, self.attention = Filter(), Attention(heads=1)
        self.dropout = nn.Dropout(DROPOUT)
        self.forward_ = nn.Sequential(
            nn.Linear(HIDDEN, 4 * HIDDEN), nn.GELU(), nn.Linear(4 * HIDDEN, HIDDEN), nn.Dropout(DROPOUT)
        )
        self.norms = nn.ModuleList([nn.LayerNorm(HIDDEN, eps=1e-12), nn.LayerNorm(HIDDEN, eps=1e-12)])

    def forward(self, hidden: Tensor, seen: Tensor) -> Tensor:
        """(B, L, H) of the same."""
        attended = self.norms[0](hidden + self.dropout(self.attention(hidden, seen)))
        both = ALPHA * self.filter(hidden) + (1 - ALPHA) * attended
        told: Tensor = self.norms[1](both + self.forward_(both))
        return told


class BsaRec(Network):
    """Two layers of one head."""

    name = "BSARec"
    layer, examples = Layer, staticmethod(every_prefix)
