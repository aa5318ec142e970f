"""Baseline: SASRec, self-attention over item ids (Kang & McAuley 2018), with the softmax over all items."""

from torch import Tensor, nn

from model.training.baselines.networks import DROPOUT, HIDDEN, Attention, Network, every_place


class Layer(nn.Module):
    """x + attention(norm x), then x + feed-forward(norm x)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention(heads=1)
        self.forward_ = nn.Sequential(
            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, HIDDEN), nn.Dropout(DROPOUT)
        )
        self.norms = nn.ModuleList([nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)])
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, hidden: Tensor, seen: Tensor) -> Tensor:
        """(B, L, H) of the same."""
        hidden = hidden + self.dropout(self.attention(self.norms[0](hidden), seen))
        told: Tensor = hidden + self.forward_(self.norms[1](hidden))
        return told


class SasRec(Network):
    """Two layers of one head; every place of a user's sequence is asked for the next item."""

    name = "SASRec, full softmax"
    layer, examples = Layer, staticmethod(every_place)
