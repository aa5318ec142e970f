"""Beside the line: topics between two times become a log that training reads, without a file between.

Knows nothing of what the records say: they are parsed as a worker parses them. The topic of products is read whole,
because it is compacted: a product that the events name may have been told of long before them, or last after them.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from model.envelope import Headers
from model.formats import CONTRACT
from model.training.logs.columns import STEP, Log, Progress, log_of
from model.training.logs.files import File, LogError, Named, Told
from model.training.logs.forms import form
from stream.past import Past
from stream.settings import split_format


class Topics:
    """Topics of events, and one of products, between two times: found when made, read when asked for the log.

    Args:
        client: librdkafka's settings, with `bootstrap.servers`.
        events: topics, in the order in which events of one user and one time count; of another format than the
            contract's as `clicks:ga4`.
        items: the topic of products; "" none.
        from_ms: first record time (Kafka's, not the event's own) that is wanted of the events.
        to_ms: first that is not; None: all that is there.

    Raises:
        Unreachable: no broker answers, or a topic is not there.
    """

    def __init__(
        self, client: Mapping[str, Any], events: Sequence[str], items: str, from_ms: int, to_ms: int | None
    ) -> None:
        self._items = [Past(client, items, 0, None, "--items-topic")] if items else []
        told = [split_format(name) for name in events]
        self._foreign = {topic: written for topic, written in told if written != CONTRACT}
        self._events = [Past(client, topic, from_ms, to_ms) for topic, _ in told]

    def log(self, progress: Progress | None = None, files: Sequence[Path] = (), log_format: str = "firstclick") -> Log:
        """Reads the log; a bad record is told as `topic[partition]:offset`.

        Args:
            progress: told how many offsets have been passed, of how many where the broker knows.
            files: further files of products.
            log_format: their form.

        Raises:
            LogError: no record is an event, or a file cannot be read.
        """
        log = log_of(self._told(self._events, progress), self._products(progress, files, log_format))
        if not len(log):
            named = ", ".join(past.topic for past in self._events)
            why = _why_empty(log)
            raise LogError(f"--topic {named}: no event; {why}")
        return log

    def _products(self, progress: Progress | None, files: Sequence[Path], log_format: str) -> Iterator[Named]:
        yield from self._told(self._items, progress)
        shape = form(log_format)
        for path in files:
            yield from ((path.name, told) for told in shape.items(File(path)))

    def _told(self, topics: Sequence[Past], progress: Progress | None) -> Iterator[Named]:
        for past in topics:
            for place, message in enumerate(past):
                headers = cast("Headers | None", message.headers())
                told = Told(cast("int", message.offset()), message.value(), message.key(), headers)
                foreign = self._foreign.get(past.topic)
                if foreign is not None:  # Some tell no time. All of the contract's do, and a dump of them no other.
                    told = told._replace(form=foreign, arrived_ms=message.timestamp()[1])
                yield f"{past.topic}[{message.partition()}]", told
                if place % STEP == 0:
                    self._tell(progress)
            self._tell(progress)

    def _tell(self, progress: Progress | None) -> None:
        if progress is not None:
            all_topics = [*self._items, *self._events]
            known = [past.offsets for past in all_topics if past.offsets is not None]
            progress(sum(past.passed for past in all_topics), sum(known) if len(known) == len(all_topics) else None)


def _why_empty(log: Log) -> str:
    fault = next((told for reason, told in log.faults.items() if not reason.startswith("item ")), "")
    if fault or not log.passed_over:
        return fault or "Kafka has no record of such a time: give an earlier --from or a later --to"
    return f"none of its records holds a behaviour: {', '.join(log.passed_over)}"
