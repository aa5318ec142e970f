"""Beside the baselines: one of each grid's values is chosen on validation, for each name in turn, best NDCG@10 first.

Knows nothing of the test. A product of all grids would cost hundreds of fits; one pass over the names costs their sum.
"""

from typing import NamedTuple

from model.training.answers import ndcg_at_10
from model.training.baselines.protocol import Baseline, Choice, Known


class Tuned(NamedTuple):
    """What validation said."""

    choice: Choice
    ndcg: float
    """NDCG@10 on the validation requests that are known."""
    tried: int


def tune(baseline: Baseline, known: Known) -> Tuned:
    """Chooses, and leaves the baseline fitted with what was chosen."""
    choice = {name: values[0] for name, values in baseline.grid.items()}
    fitted = dict(choice)
    baseline.fit(known, choice)
    best, tried = ndcg_at_10(baseline, known.valid), 1
    for name, values in baseline.grid.items():
        for value in values[1:]:
            fitted = choice | {name: value}
            baseline.fit(known, fitted)
            reached, tried = ndcg_at_10(baseline, known.valid), tried + 1
            if reached > best:
                best, choice = reached, fitted
    if fitted != choice:
        baseline.fit(known, choice)
    return Tuned(choice, best, tried)
