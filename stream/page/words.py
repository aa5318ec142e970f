"""Beside the line: a line of a window in the words of whoever did it: "you looked at Bananas".

Knows nothing of where a line came from, or how it is shown.
"""

from typing import assert_never

from model.event import Kind
from model.text import Line

QUOTED_CHARS = 60  # Of what somebody typed: one row of a phone.


def told(line: Line, title: str) -> str:
    """What was done, to be read after "because".

    Args:
        title: of the line's item; "" where it has none.
    """
    match line.kind:
        case Kind.CLICK | Kind.BROWSE:
            return f"you looked at {title}"
        case Kind.IMPRESSION:
            return f"you were shown {title}"
        case Kind.SEARCH:
            return f"you searched “{_short(line.text)}”"
        case Kind.FAVOURITE:
            return f"you saved {title}"
        case Kind.CART:
            return f"you put {title} into the basket"
        case Kind.PURCHASE:
            return f"you bought {title}"
        case Kind.RETURN:
            return f"you returned {title}"
        case Kind.REVIEW:
            return f"you reviewed {title}"
        case Kind.SIGNUP:
            return f"you like {_short(line.text)}"
        case Kind.DISLIKE:
            return f"you did not want {title}"
        case _:
            assert_never(line.kind)


def detail(line: Line) -> str:
    """What a line tells besides: seconds, stars, the review's text; "" where nothing."""
    told = []
    if line.dwell_ms is not None:
        told.append(f"for {line.dwell_ms / 1000:.1f} s")
    if line.rating is not None:
        told.append(f"{line.rating:g} of 5 stars")
    if line.kind is Kind.REVIEW and line.text:
        told.append(f"“{_short(line.text)}”")
    return ", ".join(told)


def _short(text: str) -> str:
    return text if len(text) <= QUOTED_CHARS else text[: QUOTED_CHARS - 1].rstrip() + "…"
