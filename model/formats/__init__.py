"""Part of step 1: formats that shops already have, one module each; a record becomes the contract's events.

Knows nothing of Kafka or files, nor how a record is read (`model/reading.py`). A module in this folder is a format by
its name, and nothing else need be edited: its docstring cites the specification, `split` finds the parts of a record
that are an event each, and `event` reads one part.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from model.foreign import Draft, Source
    from model.rejection import EventError

CONTRACT = "firstclick"
"""The contract's own form."""

NAMES: tuple[str, ...] = tuple(sorted(module.name for module in iter_modules(__path__)))
"""The formats that there are."""


class Format(Protocol):
    """What the module of each format offers.

    Also perhaps `COLUMNS`, where its records may be lines of CSV, and `SEPARATOR`, where no comma parts its cells; and
    `item(record)`, where some records are products: the draft of a product, None for any other record.
    """

    def split(self, record: "Source") -> "Sequence[Source | EventError]":
        """The parts of a record that are an event each, in order, or why one is none.

        Raises:
            EventError: none can be found.
            NoBehaviour: there is nothing of the contract's kinds in it.
        """

    def event(self, part: "Source") -> "Draft":
        """The event of a part.

        Raises:
            EventError: it is none.
        """


@cache
def adapter(name: str) -> Format:
    """The format of this name.

    Raises:
        KeyError: there is none.
    """
    if name not in NAMES:
        raise KeyError(f"no format is called {name!r}; known are {', '.join(NAMES)}")
    return cast("Format", import_module(f"{__name__}.{name}"))


def columns(name: str) -> tuple[str, ...]:
    """The columns of a format whose records may be lines of CSV; () for all others."""
    return cast("tuple[str, ...]", getattr(adapter(name), "COLUMNS", ()))


def separator(name: str) -> str:
    """What parts the cells of such a line. Where it is no comma, nothing is quoted."""
    return cast("str", getattr(adapter(name), "SEPARATOR", ","))
