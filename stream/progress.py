"""Beside the line: how far the reading of a log is, for whoever waits for it.

Knows nothing of what is read.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from model.training.logs.files import File

PLAIN_LINES = 50_000
"""Where there is no terminal: lines between two that are told."""
BAR_LINES = 1000

Step = Callable[[File, int, str], None]
"""Told the log, its lines so far, and what else to tell of them."""


@contextmanager
def following(name: str, often: bool = False) -> Iterator[tuple[Step, Callable[[str], None]]]:
    """A bar on stderr, gone when done, or a plain line now and then where that is no terminal; and what tells a line.

    Args:
        often: shows every line: they come one by one.
    """
    console = Console(stderr=True)
    if not console.is_terminal:

        def plain(log: File, lines: int, told: str) -> None:
            if lines % PLAIN_LINES == 0:
                share = f", {100 * log.read_bytes // log.bytes} %" if log.bytes else ""
                console.print(f"{lines} lines{share} of {name}")

        yield plain, lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(name, total=None, told="")

        def step(log: File, lines: int, told: str) -> None:
            if often or lines % BAR_LINES == 0:
                bar.update(task, total=log.bytes or None, completed=log.read_bytes, told=told)

        yield step, lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)


def shown_name(path: Path) -> str:
    """What a log is called on the bar."""
    return "standard input" if str(path) == "-" else path.name
