"""Ids come back from their table as they went in."""

import numpy as np
import pytest

from model.packed_ids import pack, unpack


@pytest.mark.parametrize("ids", [(), ("a",), ("", "b", ""), ("保温杯", "vélo", "x" * 10_000, "👎🏽")])
def test_what_was_packed_is_unpacked(ids: tuple[str, ...]) -> None:
    assert unpack(*pack(ids)) == ids


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        unpack(np.array([255, 254], np.uint8), np.array([2]))
