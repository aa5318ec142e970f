"""The losses of a text encoder that learns from pairs, and their gradient in pieces that fit the memory.

Knows nothing of tokenizers or networks: vectors in, numbers out. Letters: P pairs of a batch, U its texts, each once.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class PairBatch(NamedTuple):
    """P pairs over U texts."""

    texts: Sequence[int]
    """(U,) numbers of the texts."""
    left: Tensor
    """(P,) places in `texts`."""
    right: Tensor
    """(P,) places in `texts`."""
    log_q: Tensor
    """(P,) logarithm of how often the right text is drawn into a batch."""
    weights: Tensor
    """(P,)"""

    def to(self, device: torch.device) -> "PairBatch":
        """The same on `device`."""
        return PairBatch(self.texts, *(each.to(device) for each in self[1:]))


class Loss(NamedTuple):
    """A batch's loss and its parts, scalars."""

    whole: Tensor
    contrast: Tensor
    anchor: Tensor
    hits: Tensor
    """Share of pairs whose right text is the nearest of its batch."""


def pair_loss(vectors: Tensor, frozen: Tensor, batch: PairBatch, temperature: float, anchor: float) -> Loss:
    """InfoNCE over the batch's right texts, and how far the texts went from where they were.

    InfoNCE: van den Oord et al. 2018, equation 4. Frequent texts are often among the negatives; log q is taken off
    their logits, as Yi et al. 2019 (Sampling-bias-corrected neural modeling, equation 3) do for two towers. A right
    text that is the pair's own, on either side, is no negative. Anchor: 1 - cosine to the frozen encoder's vector.

    Args:
        vectors: (U, D) unit length.
        frozen: (U, D) unit length, of the encoder before it was tuned.
        batch: which text belongs to which.
        temperature: of the softmax. Lower: the hardest negatives count alone.
        anchor: weight of the anchor beside InfoNCE.
    """
    left, right = vectors[batch.left], vectors[batch.right]
    logits = left @ right.T / temperature - batch.log_q  # (P, P)
    itself = torch.eye(len(left), dtype=torch.bool, device=logits.device)
    own = (batch.right[None] == batch.right[:, None]) | (batch.right[None] == batch.left[:, None])
    logits = logits.masked_fill(own & ~itself, -torch.inf)
    each = torch.logsumexp(logits, 1) - logits.diagonal()
    contrast = (each * batch.weights).sum() / batch.weights.sum()
    moved = (1 - (vectors * frozen).sum(1)).mean()
    hits = (logits.argmax(1) == torch.arange(len(left), device=logits.device)).float().mean()
    return Loss(contrast + anchor * moved, contrast.detach(), moved.detach(), hits)


def backward(
    encode: Callable[[Sequence[int]], Tensor], chunks: Sequence[Sequence[int]], loss: Callable[[Tensor], Loss]
) -> Loss:
    """Adds the gradient of `loss` of all texts to the network's parameters, with one chunk in memory at a time.

    GradCache (Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup): all vectors
    without their graphs; the loss's gradient by vector; then chunk by chunk again, with that gradient. The same as at
    once, because the encoder has no dropout here, for one more forward pass.

    Args:
        encode: text numbers -> (len, D) unit vectors.
        chunks: of text numbers.
        loss: of the (U, D) vectors, in the order of the chunks.
    """
    if len(chunks) == 1:
        found = loss(encode(chunks[0]))
        found.whole.backward()  # type: ignore[no-untyped-call, unused-ignore]
        return found
    with torch.no_grad():
        vectors = torch.cat([encode(chunk) for chunk in chunks])
    vectors.requires_grad_()
    found = loss(vectors)
    (gradient,) = torch.autograd.grad(found.whole, vectors)
    for chunk, part in zip(chunks, torch.split(gradient, [len(chunk) for chunk in chunks]), strict=True):
        encode(chunk).backward(part)  # type: ignore[no-untyped-call, unused-ignore]
    return found
