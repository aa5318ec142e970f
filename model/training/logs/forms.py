"""The forms of logs by name. Knows nothing of what is in any.

A new form is one more file and one more line here.
"""

from importlib import import_module
from typing import Literal, cast, get_args

from model.training.logs.files import Form, LogError

Format = Literal["firstclick", "common", "amazon2018", "amazon2023", "recbole", "movielens", "journey"]
FORMATS: tuple[str, ...] = get_args(Format)


def form(name: str) -> Form:
    """The form of this name.

    Raises:
        LogError: there is none.
    """
    if name not in FORMATS:
        raise LogError(f"no form of logs is called {name!r}; known are {', '.join(FORMATS)}")
    return cast("Form", import_module(f"model.training.logs.{name}"))
