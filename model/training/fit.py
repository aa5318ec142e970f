"""Training of the towers: from lessons to learned numbers, resumable, the same for the same seed.

Knows nothing of logs, bundles or ONNX. Adam's epsilon is large on purpose: with a small one every component of a rare
item's vector moves as far as a popular item's, and what it moves by is the noise of being a negative.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.session import Floats
from model.training import checkpoint, together
from model.training.answers import ndcg_at_10
from model.training.baselines.protocol import Asked
from model.training.checkpoint import Progress
from model.training.examples import Mask
from model.training.lessons import Lessons, repeated
from model.training.network import Towers
from model.training.queries import lenders

STEPS_AN_EPOCH = 64
"""So many at least, if BATCHES allow. Measured on Beauty: of 64, 128 and 512 steps the fewest won."""
BATCHES = (64, 2048)
"""Smallest and largest."""
EPSILON = 0.2
"""Adam's, times the batch: a component's gradient from one example is about 1 / batch. Measured: NDCG@10 on validation
.0801 -> .0810, and more for users with one event."""
WARM_UP = 100
"""Steps until the learning rate is reached, or a tenth of all."""
LINES_RATE = 10.0
"""Of the learning rate, for line weights: a few dozen numbers about which every example says something."""
CLIPPED = 5.0
"""Longest gradient."""
LEAST_RATE = 0.05
"""Of the learning rate, at the end of the cosine (Loshchilov & Hutter 2017)."""


TEXT_SCALES = (1.0, 0.5, 16)
"""Where an item has no example; the least; examples an item that would bring it to nothing, in a straight line. Of what
few events say, more is learned by heart the shorter the texts are. NDCG@10 on test with .5, .7 and 1: Amazon Industrial
(3.6 examples an item) .0935 .0962 .0965, Office (3.8) .1195 .1235 .1229, Beauty (11) .0768 - .0772, MovieLens 100K (58)
.1171 .1129 .1079."""


@dataclass(frozen=True)
class FitSettings:
    """How the towers are trained."""

    dim: int = 256
    """D. More: finer, slower to train and to serve."""
    epochs: int = 5
    learning_rate: float = 2e-3
    dropout: float = 0.3
    text_scale: float = 0.0
    """How long a text's vector is before training, against learned vectors that begin at zero; 0: by TEXT_SCALES."""
    batch: int = 0
    """Examples of one step; 0: so that an epoch has STEPS_AN_EPOCH, within BATCHES."""
    negatives: int = 0
    """Items of a sampled softmax beside the batch's own; 0: all items up to FULL, else SAMPLED."""
    adjustment: float = 0.15
    """Share of the log of an item's examples that its score is lent while towers learn, and not when they serve: a
    logit adjustment (Menon et al. 2021, Long-tail learning, eq. 10). Vectors then need not say who sells, and of rare
    items they say more. Beauty's validation with the clock, Recall@10 of all, of items with 1 to 4 events: .153, .078
    with 0, .156, .086 with .15, .154, .082 with .4."""
    cut: float = 0.0
    """Share of the windows that are cut to their newest 1 ... n lines in each step."""
    patience: int = 2
    """Epochs without a better validation after which training ends."""
    seed: int = 0
    device: str = "cpu"
    bf16: bool | None = None
    """Products in bfloat16; None: where the machine has them."""


FULL = 60_000
"""Items up to which the softmax is full: 2,048 x 60,000 scores are 490 MB."""
SAMPLED = 16_384


class Step(NamedTuple):
    """What one step came to."""

    number: int
    of: int
    epoch: int
    loss: float
    learning_rate: float


class Epoch(NamedTuple):
    """What validation said after an epoch."""

    number: int
    loss: float
    ndcg: float
    """NDCG@10 on validation; NaN where none was asked for."""
    best: bool


class FitWatch(NamedTuple):
    """Who looks on."""

    on_step: Callable[[Step], None] = lambda _: None
    on_epoch: Callable[[Epoch], None] = lambda _: None


class Fitted(NamedTuple):
    """Towers that have learned."""

    towers: Towers
    epochs: int
    """After which validation was best, or all."""
    ndcg: float


def fit(
    texts: Floats,
    lessons: Lessons,
    known: Mask,
    settings: FitSettings,
    *,
    queries: Floats | None = None,
    valid: tuple[Asked, Lessons] | None = None,
    until: int | None = None,
    folder: Path | None = None,
    watch: FitWatch = FitWatch(),  # noqa: B008 - immutable
) -> Fitted:
    """Trains towers; with `valid` it stops early and gives those of the best epoch.

    Args:
        texts: (I, E) unit vectors of the items' texts.
        lessons: Q windows and targets.
        known: (I,) items of the softmax; every target is one.
        settings: how.
        queries: (S, E) unit vectors of texts that are no item's; None: the windows hold none.
        valid: requests and the same as lessons; None: the last epoch is the best.
        until: epochs after which to stop, as if by validation: the learning rate goes as it would have gone.
        folder: where a checkpoint is kept after each epoch, and resumed from; None: nowhere.
        watch: who looks on.

    Raises:
        ValueError: there is nothing to learn from, the folder's checkpoint does not fit, or the loss is no number.
    """
    if not len(lessons.targets):
        raise ValueError("there is nothing to learn from: no user has two touches")
    device = torch.device(settings.device)
    torch.manual_seed(settings.seed)
    dim = min(settings.dim, texts.shape[1])
    words = None if queries is None else (torch.tensor(queries), torch.tensor(lenders(queries, texts, known)))
    text_scale = settings.text_scale or text_scale_of(len(lessons.targets) / max(int(known.sum()), 1))
    towers = Towers(torch.tensor(texts), dim, lessons.items.shape[1], text_scale, settings.dropout, words).to(device)
    together.as_the_first(towers)
    run = _Run(towers, lessons, known, settings, device)
    best: dict[str, Tensor] = {}
    at = Progress(epochs=0, best_epochs=0, best_ndcg=-1.0, waited=0)
    this = {"settings": asdict(settings), "examples": len(lessons.targets), "texts": read(towers.texts.cpu().numpy())}
    if folder is not None and (held := checkpoint.resume(folder, towers, run.optimizer, this)) is not None:
        best, at = held
    for number in range(at.epochs, until or settings.epochs):
        if at.waited >= settings.patience:
            break
        loss = run.epoch(number, watch.on_step)
        ndcg = ndcg_at_10(Scoring(towers, valid[1]), valid[0]) if valid is not None else math.nan
        ndcg = together.said_by_the_first(ndcg, device)
        better = valid is None or ndcg > at.best_ndcg
        at = at._replace(epochs=number + 1, waited=at.waited + 1)
        if better:
            at = Progress(number + 1, number + 1, ndcg, waited=0)
            best = {name: told.detach().clone() for name, told in towers.state_dict().items()}
        watch.on_epoch(Epoch(number + 1, loss, ndcg, better))
        if folder is not None and together.rank() == 0:
            checkpoint.save(folder, towers, run.optimizer, best, at, this)
    if best:
        towers.load_state_dict(best)
    return Fitted(towers.eval(), at.best_epochs, at.best_ndcg)


def read(texts: Floats) -> str:
    """What tells text vectors from others: towers that have read others are others."""
    return hashlib.blake2b(texts.tobytes(), digest_size=8).hexdigest()


class Scoring:
    """Towers in training, asked as a baseline is: by place in the requests."""

    def __init__(self, towers: Towers, lessons: Lessons) -> None:
        self._towers = towers.eval()
        self._items = torch.tensor(lessons.items.astype(np.int64))
        self._lines = torch.tensor(lessons.lines.astype(np.int64))
        self._next = 0
        with torch.inference_mode():
            candidates, self._contexts = towers.items()
            self._candidates = functional.normalize(candidates, dim=1)

    def scores(self, asked: Asked) -> Floats:
        """(B, I) of the next B requests: batches come in order."""
        part = slice(self._next, self._next + len(asked.targets))
        self._next = part.stop
        device = self._contexts.device
        with torch.inference_mode():
            items, lines = self._items[part].to(device), self._lines[part].to(device)
            interests = self._towers.interests(items, lines, self._contexts)
            found: Floats = (interests @ self._candidates.T).float().cpu().numpy()
        return found


class _Run:
    """One training: the network, its optimiser and where the seed has got to."""

    def __init__(
        self, towers: Towers, lessons: Lessons, known: Mask, settings: FitSettings, device: torch.device
    ) -> None:
        self.towers, self.settings, self.device = towers, settings, device
        self.items = torch.tensor(lessons.items.astype(np.int64))
        self.lines = torch.tensor(lessons.lines.astype(np.int64))
        self.targets = torch.tensor(lessons.targets.astype(np.int64))
        self.known = torch.tensor(np.flatnonzero(known))
        self.place_of = torch.full((len(known),), -1)
        self.place_of[self.known] = torch.arange(len(self.known))
        self.batch = settings.batch or batch_size(len(self.targets))
        self.steps = max(len(self.targets) // self.batch, 1)
        self.shares = torch.bincount(self.targets, minlength=len(known)) / len(self.targets)
        self.lent = settings.adjustment * torch.log1p(self.shares * len(self.targets))
        self.sampled = settings.negatives or (0 if len(self.known) <= FULL else SAMPLED)
        others = [towers.projection, towers.own, towers.context, towers.log_scale, towers.log_recency]
        self.optimizer = torch.optim.Adam(
            [{"params": others, "times": 1.0}, {"params": [towers.line_changes], "times": LINES_RATE}],
            settings.learning_rate,
            betas=(0.9, 0.98),
            eps=EPSILON / self.batch,
        )
        self.bf16 = has_bf16(device.type) if settings.bf16 is None else settings.bf16

    def cast(self) -> Any:
        """Within it products are in bfloat16, where the machine has them."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def epoch(self, number: int, on_step: Callable[[Step], None]) -> float:
        """Every example once; the mean loss.

        Raises:
            ValueError: it is no number.
        """
        self.towers.train()
        losses = torch.zeros((), device=self.device)
        total = self.settings.epochs * self.steps
        for step, places in enumerate(self._batches(number), number * self.steps):
            rate = self.settings.learning_rate * _rate(step, total)
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["times"]
            loss = self._loss(places)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            together.average_gradients(self.towers.parameters())
            nn.utils.clip_grad_norm_(self.towers.parameters(), CLIPPED)
            self.optimizer.step()
            self.towers.hold()
            losses += loss.detach()
            on_step(Step(step + 1, total, number, float(loss.detach()), rate))
        if not math.isfinite(float(losses)):
            raise ValueError(f"the loss of epoch {number + 1} is no number: a lower learning_rate may help")
        return float(losses) / self.steps

    def _batches(self, number: int) -> Iterator[Tensor]:
        """Places of each step's examples. An epoch has its own seed: a resumed training shuffles as it would have."""
        seed = self.settings.seed * 1_000_003 + number
        order = torch.randperm(len(self.targets), generator=torch.Generator().manual_seed(seed))
        torch.manual_seed(seed * together.size() + together.rank())
        for step in range(self.steps):
            yield together.share(order[step * self.batch : (step + 1) * self.batch])

    def _loss(self, places: Tensor) -> Tensor:
        items, lines, targets = self.items[places], self.lines[places], self.targets[places]
        if self.settings.cut:
            items, lines = cut(items, lines, self.settings.cut, len(self.place_of))
        among, correction = self._among(targets)
        with self.cast():
            scores = self.towers(items.to(self.device), lines.to(self.device), among.to(self.device))
        place_of = self.place_of
        if self.sampled:
            place_of = torch.full_like(place_of, -1)
            place_of[among] = torch.arange(len(among))
        logits = scores.float() - correction.to(self.device)
        return functional.cross_entropy(logits, place_of[targets].to(self.device))

    def _among(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(A,) items of this step's softmax, and what their scores are too high by: the log of how often each of them
        is expected among A, less what it is lent."""
        if not self.sampled:
            return self.known, -self.lent[self.known]
        drawn = self.known[torch.randint(len(self.known), (self.sampled,))]
        among = torch.unique(torch.cat([targets, drawn]))  # type: ignore[no-untyped-call, unused-ignore]
        expected = len(targets) * self.shares[among] + self.sampled / len(self.known)
        return among, expected.clamp(max=1.0).log() - self.lent[among]


def text_scale_of(examples_an_item: float) -> float:
    """How long a text's vector is before training."""
    most, least, enough = TEXT_SCALES
    return max(least, most - examples_an_item / enough)


def batch_size(examples: int) -> int:
    """Examples of a step: a power of two that leaves an epoch STEPS_AN_EPOCH, within BATCHES."""
    smallest, largest = BATCHES
    return int(min(max(2 ** int(math.log2(max(examples / STEPS_AN_EPOCH, 1))), smallest), largest))


def has_bf16(device: str) -> bool:
    """Whether products in bfloat16 are faster on `cpu` or `cuda` than in float32."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(supported())


def cut(items: Tensor, lines: Tensor, share: float, size: int) -> tuple[Tensor, Tensor]:
    """A share of the windows cut to their newest 1 ... n lines: users who have only begun.

    Args:
        items: (B, N) numbers, newest first, -1 behind.
        lines: (B, N) their codes: what is cut away is not repeated any more.
        share: of the windows.
        size: I, the number from which on they are texts'.
    """
    sizes = (items >= 0).sum(1)
    kept = 1 + (torch.rand(len(items)) * sizes).long()
    kept = torch.where(torch.rand(len(items)) < share, kept, sizes)
    items = torch.where(torch.arange(items.shape[1]) < kept[:, None], items, -1)
    told = repeated(lines.numpy().astype(np.int32), items.numpy().astype(np.int32), size)
    return items, torch.tensor(told.astype(np.int64))


def _rate(step: int, total: int) -> float:
    """Of the learning rate: up to 1 while warming up, then down a cosine."""
    warm_up = min(WARM_UP, max(total // 10, 1))
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0)))
    return min(1.0, (step + 1) / warm_up) * max(LEAST_RATE, cosine)
