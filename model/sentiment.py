"""Between steps 5 and 6: from the vector of a review's text to its stars, for reviews that tell none.

A thin wrapper of the bundle's sentiment.onnx; how it was learned: `model/training/sentiment.py`. Knows nothing of
windows or items.
"""

from collections.abc import Callable

from model.bundle import SENTIMENT, Bundle
from model.event import Kind
from model.session import Floats, Session
from model.text import Line

Stars = Callable[[Floats], Floats]
"""(T, E) unit vectors of texts, as the encoder gives them -> (T,) stars, 1 to 5."""


def sentiment(bundle: Bundle) -> Stars | None:
    """The bundle's head; None where it has none: then a review without stars is as good as one of five."""
    path = bundle.file(SENTIMENT)
    if path is None:
        return None
    session = Session(path, "cpu", 1)  # A review is 400 products: a GPU would only be waited for.

    def stars(vectors: Floats) -> Floats:
        (found,) = session.run(["stars"], {"texts": vectors})
        return found

    return stars


def unrated(line: Line) -> bool:
    """Whether a line is a review that says in words alone how good its item is."""
    return line.kind is Kind.REVIEW and line.rating is None and line.text != ""
