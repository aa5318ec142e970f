"""Before the line: what was written over several lines becomes one line of a log: indented JSON, a quoted cell of CSV.

Knows nothing of what it says. Logs have a value a line; documentation, `jq` and many exports indent theirs, and put
them into a list. Lines of other forms are handed on as they are.
"""

import re
from collections.abc import Iterator

from model.training.logs.files import LINE_BYTES

Numbered = tuple[int, bytes]
"""A line's number from 1, and the line without its end."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(rb"[][{}]")
_OPEN = (b"{", b"[", b",", b":")
"""How a line ends that is continued."""


def joined(lines: Iterator[Numbered]) -> Iterator[Numbered]:
    """Values of several lines as one, by the number of their first; one by one those of a list over several lines.

    A value that never closes is handed on as far as it goes, up to a line that cannot belong to it: one cut line takes
    no other with it.
    """
    held: list[bytes] = []
    number = size = 0
    within = b""  # The brackets that are open.
    for here, line in lines:
        if held and not _continues(within, held[-1], line):
            yield number, b"\n".join(held)
            held = []
        if not held:
            line = _element(line)
            if line[:1] != b"{" or not line.endswith(_OPEN):  # No value of a log is a list.
                if line:
                    yield here, line
                continue
            number, size, within = here, 0, b""
        held.append(line)
        size += len(line)
        within = _brackets(within, line)
        if not within or size > LINE_BYTES:
            yield number, b"\n".join(held).rstrip(b",")
            held = []
    if held:
        yield number, b"\n".join(held)


def quoted(lines: Iterator[Numbered]) -> Iterator[Numbered]:
    """Rows of CSV, a quoted cell of which may go over lines, by the number of their first.

    A quote that never closes takes no other row with it: a line with as many cells that are all closed is one itself.
    """
    held, number = b"", 0
    for here, line in lines:
        odd = line.count(b'"') % 2
        if held and odd:
            yield number, held + b"\n" + line
            held = b""
        elif held and (_marks(line) >= max(_marks(held), 1) or len(held) > LINE_BYTES):
            yield number, held
            yield here, line
            held = b""
        elif held:
            held += b"\n" + line
        elif odd and line[:1] not in (b"{", b"["):
            held, number = line, here
        else:
            yield here, line
    if held:
        yield number, held


def _marks(line: bytes) -> int:
    return line.count(b",") + line.count(b";")


def _element(line: bytes) -> bytes:
    """A line where a value may begin, without what belongs to a list around it; b"" where that is all."""
    if line[:1] == b"[" and line[-1:] != b"]":
        line = line[1:].lstrip()
    if line[:1] == b"{" and line[-2:] in (b"},", b"}]"):
        line = line[:-1]
    return b"" if line in (b"]", b"],") else line


def _continues(within: bytes, before: bytes, line: bytes) -> bool:
    """Whether a line may stand in the value that is open: after a comma in an object comes a name, or it ends."""
    return within[-1:] == b"[" or line[:1] in (b'"', b"}") or before[-1:] in (b":", b"[")


def _brackets(within: bytes, line: bytes) -> bytes:
    """The open brackets after a line; b"" where all are closed."""
    for bracket in _BRACKET.findall(_STRING.sub(b"", line)):
        if bracket in (b"{", b"["):
            within += bracket
        else:
            within = within[:-1]
            if not within:
                return b""
    return within
