"""Where Java's producers put a key: Kafka's own public vectors, and librdkafka's hash of the same name."""

import pytest
from confluent_kafka import Producer

from stream.murmur2 import murmur2, partition_of

VECTORS = {  # org.apache.kafka.common.utils.UtilsTest
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", VECTORS)
def test_the_hash_is_kafkas(key: bytes) -> None:
    signed = murmur2(key)
    assert (signed - (1 << 32) if signed >> 31 else signed) == VECTORS[key]


@pytest.mark.parametrize(("key", "partitions"), [(b"21", 4), (b"foobar", 7), (b"abc", 12)])
def test_the_partition_is_the_hash_without_its_sign(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (VECTORS[key] & 0x7FFFFFFF) % partitions


def test_users_spread_over_all_partitions() -> None:
    counts = [0] * 8
    for user in range(8_000):
        counts[partition_of(f"user-{user}".encode(), 8)] += 1
    assert min(counts) > 900
    assert max(counts) < 1_100


def test_librdkafka_with_murmur2_agrees() -> None:
    # Its mock cluster lives in the client: no broker, no network. The partition is known once a record is delivered.
    keys = [
        b"",
        b"\xff\x00",
        "ü".encode(),
        *VECTORS,
        *(f"user-{user}".encode() * (user % 4 + 1) for user in range(200)),
    ]
    producer = Producer({"test.mock.num.brokers": 1, "partitioner": "murmur2", "linger.ms": 0})
    found: dict[bytes, int] = {}

    def heard(error: object, record: object) -> None:
        assert error is None
        found[record.key() or b""] = record.partition()  # type: ignore[attr-defined]

    for key in keys:
        producer.produce("t", b"", key, on_delivery=heard)
    assert producer.flush(20) == 0
    assert found == {key: partition_of(key, 4) for key in keys}
