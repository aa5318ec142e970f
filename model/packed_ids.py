"""Under the bundle's tables: ids in an .npz, end to end.

A padded text array of one 10 kB id among a million short ones would take 40 GB; an array of objects would need pickle.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Ends = npt.NDArray[np.int64]


def pack(ids: Sequence[str]) -> tuple[Bytes, Ends]:
    """The ids' bytes end to end, and (I,) where each ends."""
    encoded = [each.encode() for each in ids]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([len(each) for each in encoded], dtype=np.int64)


def unpack(packed: Bytes, ends: Ends) -> tuple[str, ...]:
    """The ids that `pack` was given; ValueError where bytes are no UTF-8."""
    told = packed.tobytes()
    return tuple(told[start:end].decode() for start, end in pairwise([0, *ends.tolist()]))
