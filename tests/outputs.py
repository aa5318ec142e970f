"""Outputs as a worker publishes them, made by hand."""

from typing import Any

import orjson
from confluent_kafka import Producer

from stream import topics

AT_MS = 1_764_041_599_000


def a_list(user_id: str = "u-17", version: int = 1050, **fields: Any) -> bytes:
    """A record of `recommendations`."""
    told = {
        "rec_id": f"rec-{user_id}-{version}",
        "user_id": user_id,
        "at": AT_MS + version,
        "model": "m-1",
        "stage": "cold",
        "n_events": 9,
        "trigger": {"event_id": f"e-{version}", "topic": "clicks", "partition": 0, "offset": version},
        "version": version,
        "items": [
            {
                "item_id": f"i-{version}-{rank}",
                "rank": rank,
                "score": 1 / rank,
                "because": [{"event_id": "e-5", "weight": 0.21}],
            }
            for rank in range(1, 11)
        ],
    }
    return orjson.dumps(told | fields)


def an_interest(user_id: str = "u-17", version: int = 1050, **fields: Any) -> bytes:
    """A record of `interests`."""
    told = {"user_id": user_id, "at": AT_MS + version, "model": "m-1", "version": version, "dim": 3}
    return orjson.dumps(told | {"vector": [0.6, 0.0, 0.8], "n_events": 9} | fields)


def publish(bootstrap: str, *records: tuple[str, str, bytes | None], partitioner: str = "murmur2_random") -> None:
    """(topic, user id, value) of each, in order, and returns when the broker has them."""
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": partitioner, "linger.ms": 0, "log_level": 0})
    for topic, user_id, value in records:
        producer.produce(topic, value, user_id.encode())
    assert producer.flush(30) == 0
    producer.close()


def of_both(user_id: str, version: int) -> list[tuple[str, str, bytes | None]]:
    """A list and a vector."""
    lists = topics.RECOMMENDATIONS, user_id, a_list(user_id, version)
    return [lists, (topics.INTERESTS, user_id, an_interest(user_id, version))]
