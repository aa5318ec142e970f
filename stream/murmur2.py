"""Beside the line: which partition Java's producers, and librdkafka's with `murmur2`, give a key.

Knows nothing of topics. Public vectors of the hash stand in tests/unit/test_murmur2.py.
"""


def murmur2(key: bytes) -> int:
    """The 32-bit MurmurHash2 of Kafka's own seed, unsigned (Appleby 2008; `Utils.murmur2` in Kafka's clients)."""
    length = len(key)
    mixed = 0x9747B28C ^ length
    for place in range(0, length - 3, 4):
        k = int.from_bytes(key[place : place + 4], "little") * 0x5BD1E995 & 0xFFFFFFFF
        k = (k ^ k >> 24) * 0x5BD1E995 & 0xFFFFFFFF
        mixed = (mixed * 0x5BD1E995 & 0xFFFFFFFF) ^ k
    if length % 4:
        mixed ^= int.from_bytes(key[length & ~3 :], "little")
        mixed = mixed * 0x5BD1E995 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return mixed ^ mixed >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Where Java's default partitioner puts a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
