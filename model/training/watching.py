"""Who looks on while an encoder learns: a progress bar, and TensorBoard.

Knows nothing of what is learned.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from model.session import Floats
from model.training.encoder_tuning import Step

if TYPE_CHECKING:
    from model.training.train import Watch

WRITTEN_EVERY = 10  # Steps between two points of a curve.


@contextmanager
def watched(tensorboard: Path | None = None, *, bar: bool = True) -> Iterator[Callable[[Step], None]]:
    """What `tune` calls after each step.

    Args:
        tensorboard: folder for its logs; None: none.
        bar: whether a progress bar is shown on stderr.
    """
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    writer = None
    if tensorboard is not None:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(tensorboard))  # type: ignore[no-untyped-call, unused-ignore]
    # Begins with the first step: a frozen encoder has none, nor has one that is tuned already.
    progress = Progress(*columns, console=Console(stderr=True), disable=not bar)
    with ExitStack() as stack:
        task: TaskID | None = None

        def step(told: Step) -> None:
            nonlocal task
            if task is None:
                stack.enter_context(progress)
                task = progress.add_task("")
            said = f"the encoder learns: loss {told.loss:.3f}, hits {told.hits:.2f}, moved {told.anchor:.3f}"
            progress.update(task, completed=told.number, total=told.of, description=said)
            if writer is not None and (told.number % WRITTEN_EVERY == 0 or told.number in (1, told.of)):
                for name in ("loss", "contrast", "anchor", "hits", "learning_rate"):
                    writer.add_scalar(f"encoder/{name}", getattr(told, name), told.number)  # type: ignore[no-untyped-call, unused-ignore]

        try:
            yield step
        finally:
            if writer is not None:
                writer.close()  # type: ignore[no-untyped-call, unused-ignore]


@contextmanager
def towers_watched(tensorboard: Path | None = None, *, bar: bool = True, first: bool = True) -> "Iterator[Watch]":
    """Who looks on while the towers learn.

    Args:
        tensorboard: folder for its logs; None: none.
        bar: whether a progress bar is shown on stderr, beside sentences.
        first: whether this is the first of several processes: the others say and write nothing.
    """
    from rich.console import Console

    from model.training.fit import Epoch, FitWatch
    from model.training.fit import Step as TowerStep
    from model.training.train import Watch

    console = Console(stderr=True, quiet=not first)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    writer: Any = None
    if tensorboard is not None and first:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(tensorboard))  # type: ignore[no-untyped-call, unused-ignore]
    rounds = 0  # The second training begins at step 1 again: its curves have names of their own.
    with Progress(*columns, console=console, disable=not (bar and first and console.is_terminal)) as progress:
        task = progress.add_task("the towers learn")

        def step(told: TowerStep) -> None:
            nonlocal rounds
            rounds += told.number == 1
            progress.update(task, completed=told.number, total=told.of, description=f"learning: loss {told.loss:.3f}")
            if writer is not None and told.number % WRITTEN_EVERY == 0:
                writer.add_scalar(f"towers {rounds}/loss", told.loss, told.number)
                writer.add_scalar(f"towers {rounds}/learning_rate", told.learning_rate, told.number)

        def epoch(told: Epoch) -> None:
            valid = "" if told.ndcg != told.ndcg else f", NDCG@10 on validation {told.ndcg:.4f}"
            console.print(f"epoch {told.number}: loss {told.loss:.3f}{valid}{' (best)' if told.best and valid else ''}")
            if writer is not None and valid:
                writer.add_scalar(f"towers {rounds}/valid_ndcg_10", told.ndcg, told.number)

        def shelf(titles: Sequence[str], candidates: Floats) -> None:
            if writer is not None:
                writer.add_embedding(candidates, metadata=list(titles), tag="items")

        try:
            yield Watch(console.print, FitWatch(step, epoch), shelf)
        finally:
            if writer is not None:
                writer.close()
