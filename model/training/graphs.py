"""The item tower, the interest tower and the scorer, written as ONNX graphs: all that they know stands in `Weights`.

Needs `onnx`, not torch: zero-shot and trained bundles differ in numbers, not in graphs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.cooccurrence import VALUES
from model.event import Kind
from model.interest import KINDS, NUMBERS
from model.scorer import FEATURES
from model.session import Floats
from model.text import BAD_RATING
from model.training.line_weights import AGAIN, EDGES, PRIOR, LineWeights

OPSET = 17
IR_VERSION = 8  # onnxruntime 1.14 and later read it.

AGES = 256
"""Lines of the longest window that a manifest allows."""
TREND_AFTER_H = 12.0
"""Hours after which a user is back rather than still there: a night."""


ZERO_SHOT_RECENCY = tuple(0.5**age for age in range(AGES))
"""Chosen on Beauty's validation split: `make beauty-quick`."""


@dataclass(frozen=True)
class Weights:
    """Every number of the towers. The zero-shot ones were chosen on Beauty's validation split: `make beauty-quick`."""

    recency: tuple[float, ...] = ZERO_SHOT_RECENCY
    """By how many newer lines a line has: what is left of its weight."""
    memory: tuple[float, ...] = ()
    """The same of what is left of the weight of its pairs; (): what recency leaves."""
    unheard: frozenset[Kind] = frozenset()
    """Kinds of which training saw no line: they keep the zero-shot recency. Baskets teach that order says nothing, and
    whoever searches for a cat's food after barbecues would be shown beef."""
    heads: int = 1
    """Parts of equal length in which vectors are compared, each by its own cosine: towers trained apart."""
    scale: float = 1.0
    """Of the cosine."""
    lines: LineWeights = PRIOR
    directed: float = 8.0
    symmetric: float = 5.0
    popularity: float = 0.5
    """Of a user without an event; with n events it is divided by 1 + n."""
    kin: float = 0.0
    """Of a window's line about an item that lends to this one."""
    trend: float = 0.0
    """Of popularity for whoever comes back TREND_AFTER_H or more after the newest line; nothing within a visit."""
    borrowed: float = 0.0
    """Of an item that training has not seen: its borrowed vectors are shorter than what it would have learned."""
    apart: float = 0.0
    """Of each doubling between an item's price and those of what the user wants."""
    fresh: float = 0.0
    """Of `model.freshness`."""


def interest_graph(weights: Weights) -> bytes:
    """Sum of line vectors, weighted by recency and behaviour (`line_weights`); for R variants of each window at once.

    Inputs vectors (B, N, D), kinds (B, N), numbers (B, N, F), twins (B, N, N), keep (B, R, N); outputs interests
    (B, R, D) of unit length (zero stays zero), weights (B, R, N) and, where pairs have a memory of their own,
    remembered (B, R, N). A line's age is the number of newer lines that the variant keeps, and it says again what the
    older ones of its item said that the variant keeps: without a line all is exactly as if it had never been.
    """
    graph = _Graph()
    graph.constant("kind_factors", [weights.lines.kinds[kind] for kind in KINDS])
    graph.constant("kind_steps", [float(weights.lines.kinds[kind] != 0) for kind in KINDS])
    graph.constant("row", [1], np.int64)
    graph.constant("line_axis", 2, np.int64)
    graph.add("Gather", ["kind_factors", "kinds"], "kind_factor")
    for place, name in enumerate(NUMBERS):
        graph.constant(f"{name}_at", [place], np.int64)
        graph.add("Gather", ["numbers", f"{name}_at"], name, axis=2)
        graph.factor(name, EDGES[name], weights.lines.numbers[name])
    graph.least_sign_times_sizes([f"{name}_factor" for name in ("kind", *NUMBERS)], "strength")
    graph.add("Unsqueeze", ["strength", "row"], "strength_rows")

    graph.add("Gather", ["kind_steps", "kinds"], "steps")
    graph.add("Unsqueeze", ["steps", "row"], "step_rows")
    graph.add("Mul", ["keep", "step_rows"], "kept_steps")
    graph.constant("last_axis_of_four", [-1], np.int64)
    graph.add("MatMul", ["kept_steps", "twins"], "times_before")
    graph.add("Unsqueeze", ["times_before", "last_axis_of_four"], AGAIN)
    graph.factor(AGAIN, EDGES[AGAIN], weights.lines.numbers[AGAIN])
    graph.least_sign_times_sizes(["strength_rows", f"{AGAIN}_factor"], "strengths")
    graph.add("CumSum", ["kept_steps", "line_axis"], "age", exclusive=1, reverse=1)
    age = "age"
    if weights.unheard:  # A second table behind the first, for their lines.
        age = "age_in_table"
        graph.constant("tables", [float(AGES * (kind in weights.unheard)) for kind in KINDS])
        graph.add("Gather", ["tables", "kinds"], "table")
        graph.add("Unsqueeze", ["table", "row"], "table_rows")
        graph.add("Add", ["age", "table_rows"], age)
    graph.add("Cast", [age], "age_place", to=TensorProto.INT64)
    tables = {"weights": weights.recency} | ({"remembered": weights.memory} if weights.memory else {})
    for name, table in tables.items():
        graph.constant(f"{name}_by_age", table + (ZERO_SHOT_RECENCY if weights.unheard else ()))
        graph.add("Gather", [f"{name}_by_age", "age_place"], f"{name}_left")
        graph.add("Mul", [f"{name}_left", "strengths"], f"{name}_of_all")
        graph.add("Mul", [f"{name}_of_all", "keep"], name)
    graph.add("MatMul", ["weights", "vectors"], "sums")
    graph.unit("sums", "interests", weights.heads)
    return graph.bytes(
        "interest",
        {
            "vectors": (TensorProto.FLOAT, ["B", "N", "D"]),
            "kinds": (TensorProto.INT64, ["B", "N"]),
            "numbers": (TensorProto.FLOAT, ["B", "N", len(NUMBERS)]),
            "twins": (TensorProto.FLOAT, ["B", "N", "N"]),
            "keep": (TensorProto.FLOAT, ["B", "R", "N"]),
        },
        {"interests": ["B", "R", "D"], **{name: ["B", "R", "N"] for name in tables}},
    )


def scorer_graph(weights: Weights) -> bytes:
    """Cosine + co-occurrence + a popularity prior that fades as a user's events grow + what sells since the last visit.

    Beside them a word for new items, and one each on prices and on how fresh an item is.

    Inputs interests (B, R, D), items (B, K, D), features (B, R, K, F); output scores (B, R, K).
    """
    graph = _Graph()
    # Items times interests, not the other way round: only the small one is transposed.
    graph.add("Transpose", ["interests"], "interests_across", perm=[0, 2, 1])
    graph.add("MatMul", ["items", "interests_across"], "cosines_across")
    graph.add("Transpose", ["cosines_across"], "cosines", perm=[0, 2, 1])
    for number, name in enumerate(FEATURES):
        graph.constant(f"{name}_at", number, np.int64)
        graph.add("Gather", ["features", f"{name}_at"], name, axis=3)
    for name in (*VALUES, "popularity"):
        graph.constant(f"{name}_weight", getattr(weights, name))
        graph.add("Mul", [name, f"{name}_weight"], f"{name}_part")
    graph.constant("one", 1.0)
    graph.add("Add", ["events", "one"], "events_and_one")
    graph.add("Div", ["popularity_part", "events_and_one"], "prior")
    graph.line("gap_h", "away", slope=1 / TREND_AFTER_H, at_zero=0.0, low=0.0, high=1.0)
    graph.add("Mul", ["away", "popularity"], "away_popularity")
    graph.constant("trend_weight", weights.trend)
    graph.add("Mul", ["away_popularity", "trend_weight"], "trend")
    graph.constant("borrowed_weight", weights.borrowed)
    graph.add("Mul", ["borrowed", "borrowed_weight"], "borrowed_part")
    graph.constant("apart_weight", weights.apart)
    graph.add("Mul", ["apart", "apart_weight"], "apart_part")
    graph.constant("fresh_weight", weights.fresh)
    graph.add("Mul", ["fresh", "fresh_weight"], "fresh_part")
    graph.constant("scale", weights.scale)
    graph.add("Mul", ["cosines", "scale"], "alike")
    parts = [*(f"{name}_part" for name in VALUES), "prior", "trend", "borrowed_part", "apart_part", "fresh_part"]
    graph.add("Sum", ["alike", *parts], "scores")
    return graph.bytes(
        "scorer",
        {
            "interests": (TensorProto.FLOAT, ["B", "R", "D"]),
            "items": (TensorProto.FLOAT, ["B", "K", "D"]),
            "features": (TensorProto.FLOAT, ["B", "R", "K", len(FEATURES)]),
        },
        {"scores": ["B", "R", "K"]},
    )


def item_graph(projection: Floats, heads: int) -> bytes:
    """A text's vector, projected, plus what was learned of the item in each role.

    Inputs texts (T, E), own (T, D), context (T, D); outputs candidates (T, D) of unit length, contexts (T, D).

    Args:
        projection: (E, D).
        heads: of `Weights`.
    """
    graph = _Graph()
    graph.constant("projection", projection)
    graph.add("MatMul", ["texts", "projection"], "projected")
    graph.add("Add", ["projected", "own"], "both")
    graph.add("Add", ["both", "context"], "contexts")
    graph.unit("both", "candidates", heads, axes=2)
    text_dim, dim = projection.shape
    return graph.bytes(
        "items",
        {
            "texts": (TensorProto.FLOAT, ["T", text_dim]),
            "own": (TensorProto.FLOAT, ["T", dim]),
            "context": (TensorProto.FLOAT, ["T", dim]),
        },
        {"candidates": ["T", dim], "contexts": ["T", dim]},
    )


def sentiment_graph(direction: Floats, cuts: Floats) -> bytes:
    """Stars that a text tells: 1, and for each number of stars the chance that it is worth more; so from 1 to 5.

    Where it is more likely bad than not, at most BAD_RATING: a mean leans to the many fives, and finds 16 % of the bad
    reviews of Amazon 2023 where this finds 34 %. Row by row: in a MatMul the last bit would depend on a text's company.

    Input texts (T, E); output stars (T,).

    Args:
        direction: (E,) in which texts get better.
        cuts: (4,) where along it 1, 2, 3 and 4 stars are left behind.
    """
    graph = _Graph()
    graph.constant("direction", direction)
    graph.constant("cuts", cuts)
    graph.constant("last_axis", [-1], np.int64)
    graph.constant("bad_at", int(BAD_RATING) - 1, np.int64)
    graph.constant("bad_rating", BAD_RATING)
    graph.constant("one", 1.0)
    graph.constant("half", 0.5)
    graph.add("Mul", ["texts", "direction"], "products")
    graph.add("ReduceSum", ["products", "last_axis"], "goodness", keepdims=1)
    graph.add("Sub", ["goodness", "cuts"], "beyond")
    graph.add("Sigmoid", ["beyond"], "chances")
    graph.add("ReduceSum", ["chances", "last_axis"], "more", keepdims=0)
    graph.add("Add", ["more", "one"], "mean")
    graph.add("Gather", ["chances", "bad_at"], "good_chance", axis=1)
    graph.add("LessOrEqual", ["good_chance", "half"], "is_bad")
    graph.add("Min", ["mean", "bad_rating"], "at_most_bad")
    graph.add("Where", ["is_bad", "at_most_bad", "mean"], "stars")
    return graph.bytes("sentiment", {"texts": (TensorProto.FLOAT, ["T", len(direction)])}, {"stars": ["T"]})


class _Graph:
    """Nodes and constants of a graph, in the order written."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: object, dtype: type = np.float32) -> None:
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def factor(self, name: str, edges: Sequence[float], factors: Sequence[float]) -> None:
        """`name`_factor (...) = factors[how many edges `name` (..., 1) has reached]."""
        self.constant(f"{name}_edges", edges)
        self.constant(f"{name}_factors", factors)
        self.constant(f"{name}_axis", [-1], np.int64)
        self.add("GreaterOrEqual", [name, f"{name}_edges"], f"{name}_reached")
        self.add("Cast", [f"{name}_reached"], f"{name}_reached_each", to=TensorProto.INT64)
        self.add("ReduceSum", [f"{name}_reached_each", f"{name}_axis"], f"{name}_place", keepdims=0)
        self.add("Gather", [f"{name}_factors", f"{name}_place"], f"{name}_factor")

    def least_sign_times_sizes(self, factors: Sequence[str], output: str) -> None:
        """Two reasons to push away do not make one to draw near."""
        self.add("Min", [self.add("Sign", [name], f"{name}_sign") for name in factors], f"{output}_sign")
        size = f"{output}_sign"
        for place, name in enumerate(factors):
            last = place == len(factors) - 1
            size = self.add("Mul", [size, self.add("Abs", [name], f"{name}_size")], output if last else f"with_{name}")

    def line(self, value: str, output: str, *, slope: float, at_zero: float, low: float, high: float) -> None:
        """output = slope * value + at_zero, within low and high."""
        for name, number in (("slope", slope), ("at_zero", at_zero), ("low", low), ("high", high)):
            self.constant(f"{output}_{name}", number)
        self.add("Mul", [value, f"{output}_slope"], f"{output}_sloped")
        self.add("Add", [f"{output}_sloped", f"{output}_at_zero"], f"{output}_free")
        self.add("Clip", [f"{output}_free", f"{output}_low", f"{output}_high"], output)

    def unit(self, value: str, output: str, heads: int, axes: int = 3) -> None:
        """output = value, every head of its last axis as long as every other, together of length 1.

        A head that is shorter than 1e-6 is nothing, and all zeros.

        Args:
            value: (..., D) of so many axes.
            output: of the same shape.
            heads: parts of equal length of D.
            axes: how many.
        """
        self.constant("zero_length", 0.0)
        self.constant("least_length", 1e-6)
        self.constant("share", heads**-0.5)
        self.constant("last_axis", [-1], np.int64)
        self.constant("in_heads", [0] * (axes - 1) + [heads, -1], np.int64)
        self.constant("in_one", [0] * (axes - 1) + [-1], np.int64)
        self.add("Reshape", [value, "in_heads"], "parts")
        self.add("Mul", ["parts", "parts"], "squares")
        self.add("ReduceSum", ["squares", "last_axis"], "square", keepdims=1)
        self.add("Sqrt", ["square"], "length")
        self.add("Max", ["length", "least_length"], "length_at_least")
        self.add("Div", ["parts", "length_at_least"], "divided")
        self.add("Mul", ["divided", "share"], "shared")
        self.add("Greater", ["length", "least_length"], "is_something")
        self.add("Where", ["is_something", "shared", "zero_length"], "parts_of_unit")
        self.add("Reshape", ["parts_of_unit", "in_one"], output)

    def bytes(
        self, name: str, inputs: Mapping[str, tuple[int, list[str | int]]], outputs: Mapping[str, list[str | int]]
    ) -> bytes:
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(key, kind, shape) for key, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in outputs.items()],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="firstclick"
        )
        onnx.checker.check_model(model, full_check=True)
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized
