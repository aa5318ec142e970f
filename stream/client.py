"""Before the line: how every client of Kafka reaches the brokers: librdkafka's properties, and the secrets among them.

Knows nothing of what the properties do: they go to every consumer, producer and admin client as they are. (Faust has
no transport of its own here: `app.py` takes it out.) Three ways to tell them:

    --kafka /etc/firstclick/client.properties     lines of name=value, as kcat -F reads them
    --kafka '{"sasl.password": "file:/run/secrets/kafka"}'
    FIRSTCLICK_KAFKA='{"sasl.password": "env:KAFKA_PASSWORD"}'

A value `file:PATH` is what the file holds without its last line end, `env:NAME` what the variable holds. A secret
itself is taken from a file or the environment, and refused on the command line: all users of the machine read that.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from stream.errors import WrongUsage

SECRET = re.compile(r"password|passphrase|secret|key\.pem$|^ssl\.key$|oauthbearer\.config|jaas", re.IGNORECASE)
FORM = 'give a file of name=value lines, or a JSON object such as {"security.protocol": "SSL"}'
HIDDEN = "********"


def told_properties(told: object, *, typed: bool = False) -> dict[str, str]:
    """The properties that `told` stands for: an object, JSON of one, or the path of a file.

    What `file:` and `env:` point to stays where it is; see `resolved`.

    Args:
        typed: whether it stood on the command line.

    Raises:
        WrongUsage: it is none of these, or a secret was typed.
    """
    found = _read(told) if isinstance(told, str) else told
    if not isinstance(found, Mapping):
        raise WrongUsage("--kafka is neither a file nor a JSON object", FORM)
    plain = {str(name): _text(name, value) for name, value in found.items()}
    here = typed and isinstance(told, str) and told.lstrip().startswith("{")
    for name, value in plain.items():
        if here and SECRET.search(name) and not value.startswith(("file:", "env:")):
            remedy = (
                f"write file:PATH or env:NAME for it, or put it into a file (--kafka PATH) or FIRSTCLICK_KAFKA ({FORM})"
            )
            raise WrongUsage(f"--kafka: {name} is a secret, and every user of this machine can read it here", remedy)
    return plain


def resolved(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties as a client takes them, with what files and variables hold.

    Raises:
        WrongUsage: a file or variable is not there.
    """
    return {name: pointed(f"--kafka: {name}", value) for name, value in properties.items()}


def shown(given: Mapping[str, Any]) -> dict[str, Any]:
    """The properties as they may be printed."""
    return {name: HIDDEN if SECRET.search(name) else value for name, value in given.items()}


def _read(told: str) -> object:
    if told.lstrip()[:1] in ("{", "["):
        try:
            return orjson.loads(told)
        except orjson.JSONDecodeError as error:
            raise WrongUsage(
                f"--kafka is no JSON ({error.msg} at {error.pos})", FORM
            ) from None  # It quotes what it read.
    try:
        lines = Path(told).read_text().splitlines()
    except OSError as error:
        raise WrongUsage(f"--kafka: no JSON object, and no file that can be read ({error.strerror})", FORM) from None
    found = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = line.partition("=")
        if not name.strip() or name.lstrip().startswith(("#", "!")):
            continue
        if not equals:
            raise WrongUsage(f"--kafka: line {number} of {told} is not name=value", FORM)
        found[name.strip()] = value.strip()
    return found


def _text(name: object, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise WrongUsage(f"--kafka: {name} is neither text nor number", FORM)
    return str(value)


def pointed(name: str, value: str) -> str:
    """What a value `file:PATH` or `env:NAME` points to; any other is meant itself.

    Args:
        name: of the setting, for the error.

    Raises:
        WrongUsage: the file or variable is not there.
    """
    kind, colon, place = value.partition(":")
    if not colon or kind not in ("file", "env"):
        return value
    if kind == "env":
        if place not in os.environ:
            raise WrongUsage(f"{name} is to come from the variable {place}, which is not set", f"export {place}")
        return os.environ[place]
    try:
        return Path(place).read_text().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise WrongUsage(f"{name} is to come from {place}, which cannot be read ({why})") from None
