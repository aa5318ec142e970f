"""Beside the line: products that stood on their topic when this worker started, and that nobody had taken in yet.

Knows nothing of what a product is. Who comes before them would get a list from a part of the shelf, or from none, and
keep it until the next event: so events wait for them. For what comes later they do not wait, nor where nothing stands
there: a shop without products has shoppers too.
"""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.errors import NotAllowed
from stream.follower import ASK_S, Follower, Place, ends, last_seen

DENIED = frozenset({KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED})


class Backlog:
    """What of the products' topic has to be on this worker's shelf before it takes in events.

    Args:
        client: librdkafka's settings.
        admin: of the same brokers.
        group: whose workers take products in, each those of its partitions.
        topic: of products.
        partitions: how many it has, and the catalogue too.
        catalogue: where products go, and who brings them from there to this worker's shelf.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        admin: AdminClient,
        group: str,
        topic: str,
        partitions: int,
        catalogue: tuple[str, Follower],
    ) -> None:
        self._client, self._admin, self._group = client, admin, group
        self._places = [(topic, number) for number in range(partitions)]
        self._catalogue, self._follower = catalogue
        self._wanted: dict[Place, int] = {}
        self._written: dict[int, int] | None = None
        self.records = 0
        """About how many records it is."""
        self.over = False
        """Whether nothing has to be waited for (any more)."""

    def again(self) -> "Backlog":
        """Of the same topic, for what stands there later."""
        of_topic = self._places[0][0], len(self._places)
        return Backlog(self._client, self._admin, self._group, *of_topic, (self._catalogue, self._follower))

    def look(self) -> None:
        """Sees what stands there. To be called once; before this worker joins the group, or at any later time.

        Raises:
            NotAllowed: Kafka does not tell.
        """
        done = self._committed()
        behind = {place: done.get(place, 0) for place, end in ends(self._admin, self._places).items()
                  if end > done.get(place, 0)}  # fmt: skip
        # Read, not reckoned: an end may lie behind the marker of a transaction, and that is no product.
        seen = last_seen(self._client, behind) if behind else {}
        self._wanted = {place: offset + 1 for place, offset in seen.items() if offset >= behind[place]}
        self.over = not self._wanted
        self.records = sum(end - behind[place] for place, end in self._wanted.items())

    def ask(self) -> bool:
        """Whether it is over by now: all that stood there is taken in, and on this worker's shelf."""
        if self._wanted:
            done = self._committed()
            self._wanted = {place: end for place, end in self._wanted.items() if done.get(place, 0) < end}
        if not self._wanted:
            if self._written is None:
                # Of what is taken in the offset may be known before the record can be read: hence the high watermark.
                places = [(self._catalogue, number) for _, number in self._places]
                self._written = {number: end for (_, number), end in ends(self._admin, places).items()}
            self.over = all(self._follower.reached.get(number, 0) >= end for number, end in self._written.items())
        return self.over

    def _committed(self) -> dict[Place, int]:
        """The offsets that the group has committed; without those that cannot be had just now."""
        asked = [ConsumerGroupTopicPartitions(self._group, [TopicPartition(*place) for place in self._places])]
        try:
            found = self._admin.list_consumer_group_offsets(asked, request_timeout=ASK_S)[self._group].result()
        except KafkaException as error:
            if error.args[0].code() in DENIED:
                raise NotAllowed(
                    f"Kafka does not tell this worker how far its group is: {error.args[0].str()}",
                    "grant DESCRIBE on the group and the topics",
                ) from error
            return {}  # Nobody was in it yet, or it is moving: asked again, it tells.
        told = found.topic_partitions or []
        return {(each.topic, each.partition): each.offset for each in told if each.error is None and each.offset >= 0}
