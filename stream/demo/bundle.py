"""Before the line: the bundle that the demo's worker loads, trained on the demo's shop.

Its towers lie in this package, its encoder in the zero-shot bundle; `make install` puts them together in seconds, and
`make demo-towers` trains them anew. Knows nothing of either.
"""

from collections.abc import Callable
from pathlib import Path

from model.bundle import DEFAULT_BUNDLE, Bundle, BundleError

TOWERS = Path(__file__).parent / "towers"
"""What `firstclick model take` has written."""
DEMO_BUNDLE = DEFAULT_BUNDLE.with_name("demo")
"""Where `make install` puts them onto the encoder."""


def ready(say: Callable[[str], None], trained: Path = DEMO_BUNDLE, other: Path = DEFAULT_BUNDLE) -> Path:
    """The demo's own bundle; where that is not there or is no bundle of this version, the other, and `say` is told so.

    Loading it to find out takes .05 s.
    """
    try:
        return Bundle.load(trained).path
    except BundleError as error:
        remedy = (
            f"`rm -r {trained}`, then `make install`, make it anew" if trained.exists() else "`make install` makes it"
        )
        say(f"no bundle trained on this shop ({error.reason}; {remedy}): going on without training")
        return other


def in_words(bundle: Bundle) -> str:
    """The bundle's name, and what it has learned from."""
    events = bundle.manifest.training.get("events")
    return f"{bundle.model}, untrained" if events is None else f"{bundle.model}, trained on {events:,} events"
