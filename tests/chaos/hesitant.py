"""A worker that stops where a test wants it, to be killed or frozen there, with an outbox that may be careless.

    python -m tests.chaos.hesitant WHERE FOLDER OUTBOX

It stops at WHERE while FOLDER holds a file `hold`, and says so with a file `there`:

| WHERE  | what has been done                                                                             |
|--------|------------------------------------------------------------------------------------------------|
| begin  | the micro-batch is worked out and found current; its transaction has not begun                  |
| commit | all records of the transaction are in the log, and its offsets; only the commit is missing      |
| list   | without transactions: the windows are in the log, and no list is                                |
| apart  | a careless outbox is between its two halves                                                    |

OUTBOX is `right`, or leaves the offsets out of the transaction: `offsets-first` commits them before, `offsets-last`
after it.
"""

import faulthandler
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from stream.app import run
from stream.intake import Intake
from stream.lane import Batch, Lane
from stream.messages import Record
from stream.outbox import Aborted, Deliveries, Transactions
from stream.parts import Parts, build
from stream.settings import Settings
from stream.topics import RECOMMENDATIONS

PAUSE_S = 0.01
ASK_S = 30.0
STACKS = signal.SIGRTMIN  # Faust has taken SIGUSR1 and 2. At it every thread's stack is written to the log.


class Stop:
    """Where to stop, and whether."""

    def __init__(self, where: str, folder: Path) -> None:
        self._where, self._hold, self._there = where, folder / "hold", folder / "there"

    def at(self, where: str) -> bool:
        """Whether the next `here` stops."""
        return where == self._where and self._hold.exists()

    def here(self) -> None:
        """Says that it is there, and waits until it may go on."""
        self._there.touch()
        while self._hold.exists():
            time.sleep(PAUSE_S)


def hesitant(stop: Stop) -> type[Producer]:
    """A producer that stops."""

    class Hesitant(Producer):
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(config)

        def begin_transaction(self) -> None:
            if stop.at("begin"):
                stop.here()
            super().begin_transaction()

        def commit_transaction(self, *timeout: float) -> None:
            if stop.at("commit"):
                self.flush(ASK_S)
                stop.here()
            super().commit_transaction(*timeout)

        def produce(self, topic: str, *record: Any, **more: Any) -> None:
            if topic == RECOMMENDATIONS and stop.at("list"):
                self.flush(ASK_S)
                stop.here()
            super().produce(topic, *record, **more)

    return Hesitant


class Apart(Transactions):
    """Careless: the offsets are no part of the transaction."""

    def __init__(self, settings: Settings, intake: Intake, lane: Lane, stop: Stop, offsets_first: bool) -> None:
        super().__init__(settings, intake, lane)
        self._stop, self._first = stop, offsets_first

    def commit(self, batches: Sequence[Batch], records: Sequence[Record]) -> None:
        halves = [lambda: self._offsets(batches), lambda: self._records(records)]
        for number, half in enumerate(halves if self._first else reversed(halves)):
            if number and self._stop.at("apart"):
                self._stop.here()
            half()

    def _offsets(self, batches: Sequence[Batch]) -> None:
        if not self._intake.commit_offsets(self._lane, batches):
            raise Aborted("a partition moved meanwhile")

    def _records(self, records: Sequence[Record]) -> None:
        self._producer.begin_transaction()
        for topic, partition, key, value, headers in records:
            self._producer.produce(topic, value, key, partition, headers=list(headers) or None)
        self._producer.commit_transaction(ASK_S)


def main(where: str, folder: str, outbox: str) -> int:
    faulthandler.register(STACKS)
    stop = Stop(where, Path(folder))

    def joined(settings: Settings) -> Parts:
        parts = build(settings)
        behaviour = next(turns for turns in parts.turns if turns.lane.name == "behaviour")
        if outbox == "right":
            right = Transactions if parts.guarantee == "exactly_once" else Deliveries
            behaviour.outbox = right(settings, parts.intake, behaviour.lane, producer=hesitant(stop))
        else:
            behaviour.outbox = Apart(settings, parts.intake, behaviour.lane, stop, outbox == "offsets-first")
        return parts

    return run(Settings.load(), joined)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
