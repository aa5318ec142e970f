"""All baselines by name, in the order in which a table shows them. Torch and implicit are loaded when one is made."""

from collections.abc import Callable, Sequence

from model.training.baselines.protocol import Baseline, BaselineError


def _popularity() -> Baseline:
    from model.training.baselines.popularity import Popularity

    return Popularity()


def _recent() -> Baseline:
    from model.training.baselines.popularity import RecentPopularity

    return RecentPopularity()


def _now() -> Baseline:
    from model.training.baselines.popularity import PopularityNow

    return PopularityNow()


def _cooccurrence() -> Baseline:
    from model.training.baselines.cooccurrence import Cooccurrence

    return Cooccurrence()


def _live() -> Baseline:
    from model.training.baselines.live import LiveCooccurrence

    return LiveCooccurrence()


def _neighbours() -> Baseline:
    from model.training.baselines.neighbours import ItemNeighbours

    return ItemNeighbours()


def _als() -> Baseline:
    from model.training.baselines.factors import Als

    return Als()


def _bpr() -> Baseline:
    from model.training.baselines.factors import Bpr

    return Bpr()


def _ease() -> Baseline:
    from model.training.baselines.ease import Ease

    return Ease()


def _sasrec() -> Baseline:
    from model.training.baselines.sasrec import SasRec

    return SasRec()


def _bsarec() -> Baseline:
    from model.training.baselines.bsarec import BsaRec

    return BsaRec()


def _bm25() -> Baseline:
    from model.training.baselines.titles import Bm25

    return Bm25()


def _frozen(how: str, decays: Sequence[float]) -> Callable[[], Baseline]:
    def make() -> Baseline:
        from model.training.baselines.titles import Frozen

        return Frozen(how, decays)

    return make


def _flat() -> Baseline:
    from model.training.baselines.titles import FlatWindow

    return FlatWindow()


def _hybrid(name: str, first: str, second: str) -> Callable[[], Baseline]:
    def make() -> Baseline:
        from model.training.baselines.hybrid import Hybrid

        return Hybrid(name, MENU[first](), MENU[second]())

    return make


MENU: dict[str, Callable[[], Baseline]] = {
    "popularity": _popularity,
    "recent": _recent,
    "cooccurrence": _cooccurrence,
    "knn": _neighbours,
    "bpr": _bpr,
    "als": _als,
    "ease": _ease,
    "bm25": _bm25,
    "frozen-mean": _frozen("mean", (1.0,)),
    "frozen-last": _frozen("last", (0.0,)),
    "frozen-recency": _frozen("recency", (0.5, 0.3, 0.7, 0.85)),
    "frozen+cooccurrence": _hybrid("frozen titles + co-occurrence", "frozen-recency", "cooccurrence"),
    "ease+frozen": _hybrid("EASE + frozen titles", "ease", "frozen-recency"),
    "sasrec": _sasrec,
    "bsarec": _bsarec,
    "flat": _flat,
    "now": _now,
    "live": _live,
    "cooccurrence+now": _hybrid("co-occurrence + popularity now", "cooccurrence", "now"),
    "frozen+live": _hybrid("frozen titles + co-occurrence, live", "frozen-recency", "live"),
    "frozen+cooccurrence+now": _hybrid("frozen + co-occurrence + popularity now", "frozen+cooccurrence", "now"),
}
"""Short name -> makes it. Those that read the clock come last: they are judged in the clock's rows alone."""


def chosen(names: str) -> list[str]:
    """Short names of `all`, `none` or a list with commas.

    Raises:
        BaselineError: there is none of such a name.
    """
    if names in ("all", "none"):
        return list(MENU) if names == "all" else []
    told = [name.strip() for name in names.split(",") if name.strip()]
    strange = [name for name in told if name not in MENU]
    if strange:
        raise BaselineError(f"there is no baseline {', '.join(strange)}; there are {', '.join(MENU)}")
    return [name for name in MENU if name in told]
