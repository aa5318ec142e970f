"""Who looks on while an encoder learns: a progress bar, and TensorBoard.

Knows nothing of what is learned.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model.training.encoder_tuning import Step

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
    with Progress(*columns, console=Console(stderr=True), disable=not bar) as progress:
        task = progress.add_task("the encoder learns")

        def step(told: Step) -> None:
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
