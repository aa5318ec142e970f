"""Whatever a window holds, a list keeps its promises."""

import math
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.event import Kind
from model.text import Line, fold
from model.training.zeroshot import Reading
from model.window import OWNING, Window
from stream.recommender import Recommender
from tests.shop import AT, COLOURS, DIM, THEMES, Shop, window


@cache
def world() -> Recommender:
    with TemporaryDirectory() as folder:
        shop = Shop(Path(folder), reading=Reading(lines=12))
        shop.put("red jam", "blue drum", available=False)
        shop.put("green seeds", "white boots", counts={"purchase": (7.0, AT)})
        return shop.recommender()


items = st.sampled_from(
    ["", "not on the shelf", *(f"{colour} {word}" for words in THEMES.values() for word in words for colour in COLOURS)]
)
texts = st.one_of(
    st.sampled_from(["", "boots", "[SEP] jam", "👎🏽 质量"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(fold),
)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    number = draw(st.integers(0, 10**6))
    return Line(
        AT + number * 1000,
        f"e{number}",
        draw(st.sampled_from(list(Kind))),
        draw(items),
        draw(texts),
        draw(st.none() | st.integers(0, 86_400_000)),
        draw(st.none() | st.floats(1, 5)),
        draw(st.none() | st.floats(0, 1e9)),
        draw(st.none() | st.floats(0.001, 1e6)),
    )


windows = st.lists(lines(), max_size=20, unique_by=lambda line: line.event_id).map(lambda told: window(*told, most=12))


@settings(max_examples=60, deadline=None)
@given(st.lists(windows, min_size=1, max_size=5))
def test_a_list_keeps_its_promises(told: list[Window]) -> None:
    recommender = world()
    for seen, advice in zip(told, recommender.recommend(told), strict=True):
        ids = [item.item_id for item in advice.items]
        assert len(ids) == len(set(ids)) == 10
        assert [item.rank for item in advice.items] == list(range(1, 11))
        scores = [item.score for item in advice.items]
        assert scores == sorted(scores, reverse=True)
        assert all(math.isfinite(score) for score in scores)
        assert not {"red jam", "blue drum", *(item_id for _, item_id in seen.owned)} & set(ids)
        assert not {line.item_id for line in seen.lines if line.kind in OWNING} & set(ids)
        length = float(np.linalg.norm(advice.vector))
        assert advice.vector.shape == (DIM,)
        assert length == 0 or abs(length - 1) < 1e-4
        assert advice.stage in ("cold", "warm", "fallback")
        events = {line.event_id for line in seen.lines}
        for item in advice.items:
            assert {event_id for event_id, _ in item.because} <= events
            assert all(0 < weight < 10 for _, weight in item.because)


@settings(max_examples=40, deadline=None)
@given(st.lists(windows, min_size=2, max_size=5))
def test_company_and_its_order_change_nothing(told: list[Window]) -> None:
    recommender = world()
    forwards, backwards = recommender.recommend(told), recommender.recommend(told[::-1])[::-1]
    for one, other, alone in zip(forwards, backwards, (recommender.recommend([seen])[0] for seen in told), strict=True):
        assert one[:2] == other[:2] == alone[:2]
        assert one.vector.tobytes() == other.vector.tobytes() == alone.vector.tobytes()
