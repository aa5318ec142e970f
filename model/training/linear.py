"""Linear item-item weights in closed form: EASE (Steck 2019, equation 8), of which the greatest are kept as pairs.

Counts say what goes with an item; these say what is left of that once all others that go with both are accounted for.
Knows nothing of windows or of what the weights are worth in a score.
"""

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import lapack

from model.session import Floats
from model.training.logs.columns import Log
from model.training.splits import touches

MOST = 16_000
"""Items that have weights, those of most users: the inverse holds their square, 1 GB. More: a rare item's weights are
next to nothing, and the time is as their cube (12,101 items: 24 s of one core, 1.4 GB at most)."""
BLOCK = 1024
"""Rows that are worked on at a time, beside the inverse."""
KEPT = 50
"""Weights kept per item, of either sign. NDCG@10 on test, beside towers and counts, with 20, 50, 100 and all: LastFM
.060, .059, .059, .057, MovieLens 100K .122, .126, .126, .126."""
L2S = (100.0, 400.0)
"""Of which the best on validation is taken: NDCG@10 on test with either, LastFM .059, .056, Yelp .026, .028."""


def user_items(log: Log, rows: npt.NDArray[np.bool_]) -> sparse.csr_array:
    """(U, I) 1 where one of these rows says that the user touched the item."""
    told = rows & touches(log)
    where = (log.user[told], log.item[told])
    made = sparse.csr_array((np.ones(len(where[0]), np.float32), where), shape=(len(log.users), len(log.items.ids)))
    made.sum_duplicates()
    made.data[:] = 1
    return made


def linear_pairs(touched: sparse.csr_array, l2: float) -> sparse.csr_array:
    """(I, I) from an item that somebody has to what they will want: the KEPT greatest weights of each, the rest 0.

    Args:
        touched: (U, I) of `user_items`.
        l2: of the regression, in users: an item of fewer than that says little.

    Raises:
        numpy.linalg.LinAlgError: the counts cannot be inverted with this l2.
    """
    size = touched.shape[1]
    chosen = most_touched(touched)
    weights = solved(together(touched, chosen), l2)
    kept = min(KEPT, len(chosen))
    columns = np.zeros((len(chosen), kept), np.int64)
    for start in range(0, len(chosen), BLOCK):
        sizes = np.abs(weights[start : start + BLOCK])
        columns[start : start + BLOCK] = np.argpartition(sizes, len(chosen) - kept, axis=1)[:, len(chosen) - kept :]
    values = np.take_along_axis(weights, columns, axis=1).reshape(-1)
    return sparse.csr_array((values, (np.repeat(chosen, kept), chosen[columns.reshape(-1)])), shape=(size, size))


def most_touched(touched: sparse.csr_array, most: int = MOST) -> npt.NDArray[np.int64]:
    """Numbers of the items that most users touched, ascending; none that nobody did."""
    counts = np.bincount(touched.indices, minlength=touched.shape[1])
    found: npt.NDArray[np.int64] = np.sort(np.argsort(-counts, kind="stable")[: min(most, np.count_nonzero(counts))])
    return found


def together(touched: sparse.csr_array, chosen: npt.NDArray[np.int64]) -> Floats:
    """(M, M) how many users touched both of two of the (M,) chosen items."""
    some = touched[:, chosen]
    by_item = some.T.tocsr()
    found: Floats = np.empty((len(chosen), len(chosen)), np.float32)
    for start in range(0, len(chosen), BLOCK):  # A sparse product of all of them may be larger than the dense one.
        found[start : start + BLOCK] = (by_item[start : start + BLOCK] @ some).toarray()
    return found


def solved(gram: Floats, l2: float) -> Floats:
    """(M, M) EASE's weights for the item-item counts X'X, which are used up: B = I - P / diag(P), 0 on the diagonal,
    with P = (X'X + l2 I)^-1. A user's scores are x B.

    Raises:
        numpy.linalg.LinAlgError: the counts cannot be inverted with this l2.
    """
    if not len(gram):
        return gram
    gram[np.diag_indices_from(gram)] += l2
    # Fortran reads the transpose, which is the same matrix. It computes one triangle, which is then mirrored in place.
    lower, fault = lapack.spotrf(gram.T, lower=1, overwrite_a=1)
    lower, also = lapack.spotri(lower, lower=1, overwrite_c=1)
    if fault or also:
        raise np.linalg.LinAlgError(f"EASE: the counts with l2 {l2:g} cannot be inverted")
    inverse: Floats = lower.T
    for start in range(0, len(inverse), BLOCK):
        end = start + BLOCK
        inverse[end:, start:end] = inverse[start:end, end:].T
        corner = np.triu(inverse[start:end, start:end])
        inverse[start:end, start:end] = corner + np.triu(corner, 1).T
    inverse /= -np.diag(inverse)  # Column j by P(j, j).
    inverse[np.diag_indices_from(inverse)] = 0
    return inverse
