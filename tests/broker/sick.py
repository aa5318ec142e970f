"""A worker that falls ill at the word of a shopper who searches for it.

    python -m tests.broker.sick FOLDER

| search for | what becomes of the worker                                                          |
|------------|-------------------------------------------------------------------------------------|
| stumble    | the model raises, and its message quotes the search                                 |
| block      | the model does not come back while FOLDER holds a file `hold`                        |
| die        | the task that tells the lag dies, a bug of ours                                     |
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from model.window import Window
from stream.app import run
from stream.errors import exit_code, one_line
from stream.parts import Parts, build
from stream.recommender import Advice
from stream.settings import Settings

PAUSE_S = 0.02


def main(folder: str) -> int:
    hold = Path(folder) / "hold"

    def joined(settings: Settings) -> Parts:
        parts = build(settings)
        well, lag = parts.recommender.recommend, parts.intake.lag
        dying: list[str] = []

        def recommend(windows: Sequence[Window]) -> list[Advice]:
            for text in (window.lines[-1].text for window in windows if window.lines):
                if "stumble" in text:
                    raise ValueError(f"no such word: {text}")
                while "block" in text and hold.exists():
                    time.sleep(PAUSE_S)
                dying.extend(["die"] * ("die" in text.split()))
            return well(windows)

        def lags() -> object:
            if dying:
                raise KeyError("lag")
            return lag()

        parts.recommender.recommend = recommend  # type: ignore[method-assign, assignment]
        parts.intake.lag = lags  # type: ignore[method-assign, assignment]
        return parts

    try:
        return run(Settings.load(), joined)
    except Exception as error:  # As the command ends.
        print(f"firstclick: {one_line(error)}", file=sys.stderr)
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
