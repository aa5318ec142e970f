"""Baseline: two others added, as a sensible engineer would try before training anything."""

from collections.abc import Mapping, Sequence

import numpy as np

from model.session import Floats
from model.training.baselines.protocol import Asked, Baseline, Choice, Known

SAMPLE = 1024
"""Validation requests from which the size of a part's scores is taken."""


class Hybrid:
    """first / size of first + share * second / size of second; a part's size is its mean highest score.

    Begins at the parts' own best choices where they have been tuned, and tunes their decays again: what is best alone
    is not best in company. The parts belong to it from then on.
    """

    def __init__(self, name: str, first: Baseline, second: Baseline, shares: Sequence[float] = (1, 0.25, 0.5, 2, 4)):
        self.name = name
        self._parts = (first, second)
        self._shares = shares
        self._chosen: list[dict[str, float]] = [
            {name: told[0] for name, told in part.grid.items()} for part in self._parts
        ]
        self.live = first.live or second.live
        self.relearns = first.relearns or second.relearns

    def begin_at(self, choices: Mapping[str, Choice]) -> None:
        """Takes what was chosen for the parts, by their names."""
        for part, chosen in zip(self._parts, self._chosen, strict=True):
            chosen.update(choices.get(part.name, {}))

    @property
    def grid(self) -> Mapping[str, Sequence[float]]:
        """The share, and the parts' numbers, of which all but the decays are held."""
        told: dict[str, Sequence[float]] = {"share": self._shares}
        for part, chosen in zip(self._parts, self._chosen, strict=True):
            for name, values in part.grid.items():
                first = chosen[name]
                others = [value for value in values if value != first] if name.rpartition(": ")[2] in FREE else []
                told[f"{part.name}: {name}"] = (first, *others)
        return told

    def fit(self, known: Known, choice: Choice) -> None:
        sample = known.valid.only(np.arange(min(SAMPLE, len(known.valid.targets))))
        sizes = []
        for part in self._parts:
            mine = {name: choice[f"{part.name}: {name}"] for name in part.grid}
            part.fit(known, mine)
            highest = [part.scores(batch).max(axis=1) for batch in sample.batches()]
            size = float(np.abs(np.concatenate(highest)).mean()) if highest else 1.0
            sizes.append(max(size, 1e-9))
        self._weights = (1 / sizes[0], choice["share"] / sizes[1])

    def scores(self, asked: Asked) -> Floats:
        found = self._parts[0].scores(asked) * np.float32(self._weights[0])
        found += self._parts[1].scores(asked) * np.float32(self._weights[1])
        return found


FREE = frozenset({"decay", "share", "symmetric", "gate", "half_life_days"})
"""Numbers of a part that are chosen again in company; cheap ones."""
