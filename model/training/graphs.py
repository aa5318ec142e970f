"""The zero-shot interest tower and scorer, written as ONNX graphs: all that they know stands in the tables below.

Needs `onnx`, not torch. A trained bundle has other graphs with the same inputs and outputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.event import Kind
from model.interest import KINDS, NUMBERS
from model.scorer import FEATURES

OPSET = 17
IR_VERSION = 8  # onnxruntime 1.14 and later read it.

KIND_WEIGHTS: dict[Kind, float] = {
    Kind.IMPRESSION: 0.0,
    Kind.CLICK: 1.0,
    Kind.BROWSE: 1.0,
    Kind.SEARCH: 1.0,
    Kind.FAVOURITE: 1.5,
    Kind.CART: 1.5,
    Kind.PURCHASE: 1.5,
    Kind.RETURN: -1.0,
    Kind.REVIEW: 1.5,
    Kind.SIGNUP: 1.0,
    Kind.DISLIKE: -1.0,
}
"""What a line of a kind says about its vector; negative pushes away. An impression says nothing, and ages nothing.

A refusal must outweigh the wish for the same item just before it (1.5, decayed to .75), and not by much: what is left
points away from the item, and from all that is anything like it.
"""


@dataclass(frozen=True)
class Weights:
    """Every number of the zero-shot model. Chosen on Beauty's validation split: `python -m tests.bench.beauty`."""

    decay: float = 0.5
    """What one newer line leaves of a line's weight."""
    kinds: Mapping[Kind, float] = field(default_factory=lambda: KIND_WEIGHTS)
    short_dwell_s: float = 3.0
    """A browse shorter than this was a mistake,"""
    short_dwell: float = -0.8
    """and counts so: more than the click before it (decayed to 0.5) that led there."""
    directed: float = 8.0
    symmetric: float = 5.0
    popularity: float = 0.5
    """Of a user without an event; with n events it is divided by 1 + n."""


def interest_graph(weights: Weights) -> bytes:
    """Sum of line vectors, weighted by recency, kind, dwell and rating; for R variants of each window at once.

    Inputs vectors (B, N, D), kinds (B, N), numbers (B, N, F), keep (B, R, N); outputs interests (B, R, D) of unit
    length (zero stays zero) and weights (B, R, N). A line's age is the number of newer lines that the variant keeps:
    without a line, those before it move up, exactly as if it had never been.
    """
    graph = _Graph()
    graph.constant("kind_weights", [weights.kinds[kind] for kind in KINDS])
    graph.constant("kind_steps", [float(weights.kinds[kind] != 0) for kind in KINDS])
    graph.constant("dwell_at", NUMBERS.index("dwell_s"), np.int64)
    graph.constant("rating_at", NUMBERS.index("rating"), np.int64)
    graph.constant("line_axis", 2, np.int64)
    graph.constant("row", [1], np.int64)
    graph.constant("zero", 0.0)
    graph.constant("one", 1.0)

    graph.add("Gather", ["kind_weights", "kinds"], "kind")
    # Dwell: not told 1; short negative; then .5 at 3 s, 1 at 13 s, 1.5 from 23 s on.
    graph.add("Gather", ["numbers", "dwell_at"], "dwell", axis=2)
    graph.line("dwell", "dwell_long", slope=0.05, at_zero=0.35, low=0.5, high=1.5)
    graph.constant("short_dwell_s", weights.short_dwell_s)
    graph.constant("short_dwell", weights.short_dwell)
    graph.add("Less", ["dwell", "short_dwell_s"], "is_short")
    graph.add("Where", ["is_short", "short_dwell", "dwell_long"], "dwell_any")
    graph.add("Less", ["dwell", "zero"], "no_dwell")
    graph.add("Where", ["no_dwell", "one", "dwell_any"], "dwell_factor")
    # Rating: not told 1; 5 -> 1, 4 -> .7, 3 -> .4; 2 -> -.55, 1 -> -.8.
    graph.add("Gather", ["numbers", "rating_at"], "rating", axis=2)
    graph.line("rating", "rating_good", slope=0.3, at_zero=-0.5, low=0.1, high=1.0)
    graph.line("rating", "rating_bad", slope=0.25, at_zero=-1.05, low=-0.8, high=-0.55)
    graph.constant("bad_rating", 2.0)
    graph.add("LessOrEqual", ["rating", "bad_rating"], "is_bad")
    graph.add("Where", ["is_bad", "rating_bad", "rating_good"], "rating_any")
    graph.add("Less", ["rating", "zero"], "no_rating")
    graph.add("Where", ["no_rating", "one", "rating_any"], "rating_factor")
    # Two reasons to push away do not make one to draw near: the least sign, times the sizes.
    signs, sizes = [], []
    for name in ("kind", "dwell_factor", "rating_factor"):
        signs.append(graph.add("Sign", [name], f"{name}_sign"))
        sizes.append(graph.add("Abs", [name], f"{name}_size"))
    graph.add("Min", signs, "sign")
    graph.add("Mul", sizes[:2], "size_of_two")
    graph.add("Mul", ["size_of_two", sizes[2]], "size")
    graph.add("Mul", ["sign", "size"], "strength")
    graph.add("Unsqueeze", ["strength", "row"], "strengths")

    graph.add("Gather", ["kind_steps", "kinds"], "steps")
    graph.add("Unsqueeze", ["steps", "row"], "step_rows")
    graph.add("Mul", ["keep", "step_rows"], "kept_steps")
    graph.add("CumSum", ["kept_steps", "line_axis"], "age", exclusive=1, reverse=1)
    graph.constant("decay", weights.decay)
    graph.add("Pow", ["decay", "age"], "recency")
    graph.add("Mul", ["recency", "strengths"], "strengths_now")
    graph.add("Mul", ["strengths_now", "keep"], "weights")
    graph.add("MatMul", ["weights", "vectors"], "sums")
    graph.unit("sums", "interests")
    return graph.bytes(
        "interest",
        {
            "vectors": (TensorProto.FLOAT, ["B", "N", "D"]),
            "kinds": (TensorProto.INT64, ["B", "N"]),
            "numbers": (TensorProto.FLOAT, ["B", "N", len(NUMBERS)]),
            "keep": (TensorProto.FLOAT, ["B", "R", "N"]),
        },
        {"interests": ["B", "R", "D"], "weights": ["B", "R", "N"]},
    )


def scorer_graph(weights: Weights) -> bytes:
    """Cosine + co-occurrence + a popularity prior that fades as a user's events grow.

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
    for name in ("directed", "symmetric", "popularity"):
        graph.constant(f"{name}_weight", getattr(weights, name))
        graph.add("Mul", [name, f"{name}_weight"], f"{name}_part")
    graph.constant("one", 1.0)
    graph.add("Add", ["events", "one"], "events_and_one")
    graph.add("Div", ["popularity_part", "events_and_one"], "prior")
    graph.add("Add", ["directed_part", "symmetric_part"], "together")
    graph.add("Add", ["cosines", "together"], "personal")
    graph.add("Add", ["personal", "prior"], "scores")
    return graph.bytes(
        "scorer",
        {
            "interests": (TensorProto.FLOAT, ["B", "R", "D"]),
            "items": (TensorProto.FLOAT, ["B", "K", "D"]),
            "features": (TensorProto.FLOAT, ["B", "R", "K", len(FEATURES)]),
        },
        {"scores": ["B", "R", "K"]},
    )


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

    def line(self, value: str, output: str, *, slope: float, at_zero: float, low: float, high: float) -> None:
        """output = slope * value + at_zero, within low and high."""
        for name, number in (("slope", slope), ("at_zero", at_zero), ("low", low), ("high", high)):
            self.constant(f"{output}_{name}", number)
        self.add("Mul", [value, f"{output}_slope"], f"{output}_sloped")
        self.add("Add", [f"{output}_sloped", f"{output}_at_zero"], f"{output}_free")
        self.add("Clip", [f"{output}_free", f"{output}_low", f"{output}_high"], output)

    def unit(self, value: str, output: str) -> None:
        """output = value / its length over the last axis; what is shorter than 1e-6 is nothing, and all zeros."""
        self.constant("least_length", 1e-6)
        self.constant("last_axis", [-1], np.int64)
        self.add("Mul", [value, value], "squares")
        self.add("ReduceSum", ["squares", "last_axis"], "square", keepdims=1)
        self.add("Sqrt", ["square"], "length")
        self.add("Max", ["length", "least_length"], "length_at_least")
        self.add("Div", [value, "length_at_least"], "divided")
        self.add("Greater", ["length", "least_length"], "is_something")
        self.add("Where", ["is_something", "divided", "zero"], output)

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
