"""Before training: how far the reading of a log is, for whoever waits in front of a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model.training.logs import columns


@contextmanager
def bar(title: str, of: Literal["bytes", "records"] = "bytes") -> Iterator[columns.Progress | None]:
    """A bar on stderr, gone when done; None where that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    counted = DownloadColumn() if of == "bytes" else MofNCompleteColumn()
    parts = (TextColumn("{task.description}"), BarColumn(), counted, TimeRemainingColumn())
    with Progress(*parts, console=console, transient=True) as shown:
        task = shown.add_task(title, total=None)
        yield lambda done, of: shown.update(task, completed=done, total=of)
