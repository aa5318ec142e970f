"""A text encoder learns from a shop's pairs: what was had and what came next, a review and its item.

Knows nothing of logs, bundles or ONNX: pairs of texts in, a folder out that `encoder_export.export` takes. The same
encoder, pairs and settings give the same weights, on a CPU to the bit, whether the run was interrupted or not; where
they lie already, nothing is learned again.

MiniLM-L6 on Beauty, LoRA, 15,000 pairs of titles from the train split, 58 steps, 400 s on one core with bf16: Recall@10
of the next item by titles alone .0566 -> .0722, users without ties .0336 -> .0426, items hidden from the pairs .0462 ->
.0619 (`tests/bench/tuning.py`).
"""

import hashlib
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model.training.contrast import Loss, PairBatch, backward, pair_loss
from model.training.encoders import EncoderError
from model.training.text_network import Adapter, TextNetwork

CLIPPED = 1.0  # Longest gradient. The first steps of a whole encoder are ten times as long.

TEMPERATURES = (0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
KEY = "tuned-from"  # A file beside the weights: the run that made them.
TRIED = 8  # Batches on which the temperature is chosen.


@dataclass(frozen=True)
class TuningSettings:
    """How an encoder is tuned."""

    adapter: Adapter = "lora"
    """frozen: not at all. lora, adalora: small matrices beside the weights. full: every weight; needs a tenth of the
    learning rate and a GPU."""
    rank: int = 16
    epochs: int = 1
    batch: int = 256
    """Pairs of one softmax. More: harder negatives, fewer steps."""
    chunk: int = 128
    """Texts through the network at once. More: faster, more memory (128 of 20 tokens, MiniLM: .8 GB). The result is the
    same."""
    learning_rate: float = 5e-4
    warmup: float = 0.1
    """Share of the steps until the learning rate is reached; after that it falls to 0, linearly."""
    weight_decay: float = 0.01
    temperature: float | None = None
    """Of the softmax. Lower: the hardest negatives count alone. None: of TEMPERATURES the one at which the frozen
    encoder's loss is least, so that no step is spent on bringing all texts nearer or further."""
    anchor: float = 1.0
    """Weight of 1 - cosine to the frozen encoder's vector. Less: learns more of this shop, and forgets what it knew of
    products that nobody has touched."""
    max_tokens: int = 64
    seed: int = 0
    device: str = "cpu"
    bf16: bool = False
    """Products in bfloat16: twice as fast on a CPU with AVX512-BF16, more on a GPU."""
    checkpoint_steps: int = 100


class Step(NamedTuple):
    """What one step of training came to."""

    number: int
    of: int
    loss: float
    contrast: float
    anchor: float
    hits: float
    learning_rate: float


def tune(
    encoder: Path,
    pairs: Sequence[tuple[str, str]],
    out: Path,
    settings: TuningSettings = TuningSettings(),
    *,
    weights: Sequence[float] | None = None,
    log_q: Sequence[float] | None = None,
    watch: Callable[[Step], None] = lambda _: None,
) -> Path:
    """Tunes the encoder in the folder `encoder` and writes it to `out`; goes on where an interrupted run stopped.

    Args:
        encoder: safetensors, config.json and tokenizer.json.
        pairs: (left, right); right is what should be near, among the batch's other right texts. None is empty.
        out: it appears whole or not at all. What was there is replaced, unless this very run made it: then it is the
            answer. The checkpoint lies beside it until then.
        settings: how.
        weights: of each pair in the loss; None: 1.
        log_q: of each pair's right text: logarithm of its share among what is drawn; None: counted from `pairs`.
        watch: called after each step; `watching.py` has a progress bar and TensorBoard.

    Raises:
        EncoderError: no encoder there, no device, or a checkpoint of other pairs or settings.
    """
    plan = _Plan(pairs, settings, weights, log_q)
    network = TextNetwork(
        encoder,
        settings.adapter,
        settings.rank,
        plan.steps,
        settings.max_tokens,
        settings.device,
        settings.bf16,
        settings.seed,
    )
    key = _key(encoder, pairs, plan)
    if (out / KEY).is_file() and (out / KEY).read_text() == key:
        return out
    checkpoint = out.parent / f".{out.name}.checkpoint"
    if network.trained:
        _train(network, plan, checkpoint, key, watch)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
        made = Path(beside) / out.name
        made.mkdir()
        network.save(made)
        (made / KEY).write_text(key)
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)
    checkpoint.unlink(missing_ok=True)
    return out


class _Plan:
    """Which pairs are in which step, as numbers of texts."""

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        settings: TuningSettings,
        weights: Sequence[float] | None,
        log_q: Sequence[float] | None,
    ) -> None:
        if not pairs or not all(left and right for left, right in pairs):
            raise ValueError("there are no pairs, or one has an empty text")
        self.settings = settings
        numbers = {text: number for number, text in enumerate(dict.fromkeys(text for pair in pairs for text in pair))}
        self.texts = list(numbers)
        self.sides = torch.tensor([[numbers[left], numbers[right]] for left, right in pairs])  # (P, 2)
        self.weights = torch.ones(len(pairs)) if weights is None else torch.tensor(weights, dtype=torch.float32)
        if log_q is None:
            drawn = Counter(right for _, right in pairs)
            log_q = [math.log(drawn[right] / len(pairs)) for _, right in pairs]
        self.log_q = torch.tensor(log_q, dtype=torch.float32)
        self.per_epoch = max(1, len(pairs) // settings.batch)  # The rest of an epoch comes in others.
        self.steps = settings.epochs * self.per_epoch

    def batches(self, start: int) -> Iterator[tuple[int, PairBatch]]:
        """(number of the step, its pairs), from step `start` on. An epoch's order depends on the seed and it alone."""
        for epoch in range(start // self.per_epoch, self.settings.epochs):
            dice = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + epoch)
            order = torch.randperm(len(self.sides), generator=dice)
            for place in range(self.per_epoch):
                number = epoch * self.per_epoch + place
                if number >= start:
                    rows = order[place * self.settings.batch : (place + 1) * self.settings.batch]
                    texts, at = torch.unique(self.sides[rows], return_inverse=True)
                    yield number, PairBatch(texts.tolist(), at[:, 0], at[:, 1], self.log_q[rows], self.weights[rows])

    def learning_rate(self, step: int) -> float:
        """Rises linearly over the warm-up, then falls to 0."""
        warm = max(1, round(self.settings.warmup * self.steps))
        share = (step + 1) / warm if step < warm else (self.steps - step) / max(1, self.steps - warm)
        return self.settings.learning_rate * min(1.0, share)


def _train(network: TextNetwork, plan: _Plan, checkpoint: Path, key: str, watch: Callable[[Step], None]) -> None:
    settings, trained = plan.settings, network.trained
    ids = network.ids(plan.texts)
    frozen = _frozen(network, ids, settings.chunk)
    temperature = settings.temperature or _temperature(plan, frozen)
    optimizer = torch.optim.AdamW(trained.values(), settings.learning_rate, weight_decay=settings.weight_decay)
    start = 0
    if checkpoint.is_file():
        told = torch.load(checkpoint, map_location=settings.device, weights_only=True)
        if told["key"] != key:
            raise EncoderError(f"{checkpoint} is of other pairs or settings; delete it to begin anew")
        network.restore(told["network"])
        optimizer.load_state_dict(told["optimizer"])
        start = told["step"]
    for number, batch in plan.batches(start):
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate(number)
        found = _gradient(network, ids, frozen, batch, settings, temperature)
        network.backward_penalty()
        torch.nn.utils.clip_grad_norm_(trained.values(), CLIPPED)
        optimizer.step()
        network.keep_ranks(number)
        optimizer.zero_grad()
        if (number + 1) % settings.checkpoint_steps == 0:
            state = {"key": key, "step": number + 1, "network": network.state(), "optimizer": optimizer.state_dict()}
            _write(checkpoint, state)
        whole, contrast, anchor, hits = (float(each.detach()) for each in found)
        watch(Step(number + 1, plan.steps, whole, contrast, anchor, hits, plan.learning_rate(number)))


def _gradient(
    network: TextNetwork,
    ids: Sequence[Sequence[int]],
    frozen: Tensor,
    batch: PairBatch,
    settings: TuningSettings,
    temperature: float,
) -> Loss:
    """Adds the batch's gradient to the network's parameters. Texts of like length share a chunk."""
    by_length = sorted(range(len(batch.texts)), key=lambda place: len(ids[batch.texts[place]]))
    place_of = torch.empty(len(by_length), dtype=torch.long)
    place_of[by_length] = torch.arange(len(by_length))
    texts = [batch.texts[place] for place in by_length]
    device = frozen.device
    left, right = place_of[batch.left], place_of[batch.right]
    sorted_batch = PairBatch(texts, left, right, batch.log_q, batch.weights).to(device)
    here = frozen[torch.tensor(texts, device=device)]
    return backward(
        lambda chunk: network.vectors([ids[text] for text in chunk]),
        [texts[start : start + settings.chunk] for start in range(0, len(texts), settings.chunk)],
        lambda vectors: pair_loss(vectors, here, sorted_batch, temperature, settings.anchor),
    )


def _temperature(plan: _Plan, frozen: Tensor) -> float:
    """Of TEMPERATURES the one that suits the frozen vectors best."""
    batches = [batch.to(frozen.device) for _, batch in islice(plan.batches(0), TRIED)]

    def loss(temperature: float) -> float:
        parts = [(frozen[torch.tensor(batch.texts, device=frozen.device)], batch) for batch in batches]
        return sum(float(pair_loss(here, here, batch, temperature, 0).contrast) for here, batch in parts)

    return min(TEMPERATURES, key=loss)


def _frozen(network: TextNetwork, ids: Sequence[Sequence[int]], chunk: int) -> Tensor:
    """(texts, D) vectors before the first step: adapters begin with nothing."""
    order = sorted(range(len(ids)), key=lambda text: len(ids[text]))
    with torch.no_grad():
        parts = [
            network.vectors([ids[text] for text in order[start : start + chunk]])
            for start in range(0, len(order), chunk)
        ]
    vectors = torch.cat(parts)
    found = torch.empty_like(vectors)
    found[torch.tensor(order, device=vectors.device)] = vectors
    return found


def _key(encoder: Path, pairs: Sequence[tuple[str, str]], plan: _Plan) -> str:
    """Names all that a run depends on; how often it writes checkpoints is not among it."""
    told: dict[str, Any] = asdict(plan.settings) | {"checkpoint_steps": 0}
    digest = hashlib.sha256(repr(sorted(told.items())).encode())
    for name in ("model.safetensors", "tokenizer.json"):
        digest.update((encoder / name).read_bytes())
    digest.update(repr(pairs).encode())
    digest.update(plan.weights.numpy().tobytes())
    digest.update(plan.log_q.numpy().tobytes())
    return digest.hexdigest()


def _write(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.half")
    torch.save(state, half)
    half.rename(path)
