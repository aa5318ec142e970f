"""Beside the line: what a worker would say of a log, without a broker.

Knows nothing of Kafka. Each line becomes the records that a replay would send (`loglines.py`), and each record goes
through step 1 as it would in a worker: what passes here is taken there, but for what only a stream can tell (the
record's time, an event id that stands for another event).
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from model.event import Event, Item
from model.foreign import NoBehaviour
from model.rejection import EventError
from model.training.logs.files import File, LogError
from stream.loglines import LineError, Subject, as_read, lines, log_file, records
from stream.progress import following, shown_name

OFFENDERS = 10
"""Rejections that are shown with their line; all of them are counted."""
SHOWN = 20
"""Reasons and names that are shown, the most frequent."""


@dataclass(slots=True)
class Offender:
    """A line's, or a part's of a line, that is rejected."""

    line: int
    reason: str
    field: str
    detail: str


@dataclass(slots=True)
class Verdict:
    """What became of the lines.

    Attributes:
        lines: read.
        accepted: events or items in them.
        rejected: parts of lines, and lines that have none.
        passed_over: what a format calls its lines that hold no behaviour -> how many.
        kinds: kind -> how many accepted events.
        with_item: accepted events that bring their product along.
        reasons: reason -> how many rejections.
        faults: reason and field at fault -> how many rejections.
        offenders: the first OFFENDERS of them.
    """

    file: str
    form: str
    lines: int = 0
    accepted: int = 0
    rejected: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    with_item: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    offenders: list[Offender] = field(default_factory=list)

    def accept(self, read: Event | Item | None) -> None:
        """One more event, item, or tombstone of an item."""
        self.accepted += 1
        if isinstance(read, Event):
            self.kinds[read.kind.value] += 1
            self.with_item += read.item is not None

    def reject(self, line: int, error: LineError) -> None:
        """One more rejection."""
        self.rejected += 1
        self.reasons[error.reason] += 1
        self.faults[str(error)] += 1
        if len(self.offenders) < OFFENDERS:
            self.offenders.append(Offender(line, error.reason, error.field, error.detail))

    def line(self) -> str:
        """One JSON line."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}  # asdict breaks counters.
        return orjson.dumps(told).decode()


def validate(path: Path, form: str, subject: Subject) -> Verdict:
    """Judges a log, with a bar on stderr.

    Args:
        path: `-` is standard input.
    """
    now_ms = round(time.time() * 1000)
    with following(shown_name(path)) as (step, _):
        return judge(log_file(path), form, subject, lambda log, so_far: step(log, so_far, ""), now_ms)


def judge(
    log: File,
    form: str,
    subject: Subject,
    step: Callable[[File, int], None] = lambda log, so_far: None,
    now_ms: int = 0,
) -> Verdict:
    """Judges each line.

    Args:
        step: told after each line how many there were.
        now_ms: as `loglines.records` has it.
    """
    verdict, name = Verdict(str(log.path), form), log.path.name
    number = 0
    try:
        for number, line in lines(log, form, subject):
            verdict.lines += 1
            for found in records(line, number, form=form, subject=subject, name=name, now_ms=now_ms):
                if isinstance(found, LineError):
                    verdict.reject(number, found)
                elif isinstance(found, NoBehaviour):
                    verdict.passed_over[found.name] += 1
                else:
                    try:
                        verdict.accept(as_read(found, subject))
                    except EventError as error:
                        verdict.reject(number, LineError.of(error))
            step(log, verdict.lines)
    except LogError as error:  # The file itself breaks off here.
        verdict.reject(number + 1, LineError("the file breaks off", str(error)))
    return verdict


def show(verdict: Verdict, console: Console) -> None:
    """The verdict for people."""
    table = Table(escape(f"{verdict.file} as {verdict.form}"), "", box=None, header_style="bold")
    table.columns[1].justify = "right"
    told = (
        ("", {"lines": verdict.lines, "accepted": verdict.accepted, "rejected": verdict.rejected}),
        ("accepted: ", dict(verdict.kinds.most_common())),
        ("passed over, no behaviour: ", dict(verdict.passed_over.most_common(SHOWN))),
        ("rejected: ", dict(verdict.faults.most_common(SHOWN))),
    )
    for prefix, counts in told:
        for name, count in counts.items():
            table.add_row(escape(prefix + name), f"{count:,}")
    console.print(table)
    for offender in verdict.offenders:
        console.print(f"line {offender.line}: {offender.detail}", markup=False, highlight=False, soft_wrap=True)
    if verdict.rejected > len(verdict.offenders):
        console.print(f"… and {verdict.rejected - len(verdict.offenders):,} more")
