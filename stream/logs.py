"""Beside the line: what the worker says, as lines for people or as JSON, and what it must not say.

Knows nothing of who says it. A user's id is told as a hash with a key: without one, whoever has the logs and a list of
ids, or patience enough for all telephone numbers, would know who is who. Texts, and the message of an exception that
nobody foresaw (it may quote one), are told at level debug alone.
"""

import hashlib
import logging
import secrets
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

import orjson

from stream.errors import Exit, exit_code, one_line

CLIENT: dict[str, Any] = {"logger": logging.getLogger("librdkafka")}
"""What makes a Kafka client that is polled speak through this log."""
LINE = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"

Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


_key = secrets.token_bytes(32)


def use_key(key: bytes) -> None:
    """From now on this process hashes with this key, of at most 64 bytes, and not with one of its own."""
    global _key
    _key = key


def hashed(user_id: str) -> str:
    """The user as logs tell of one: the same wherever the key is, and nobody's name to who has not got it."""
    return "user-" + hashlib.blake2b(user_id.encode(errors="surrogatepass"), key=_key, digest_size=6).hexdigest()


class Discreet(logging.Formatter):
    """Lines for people. An unforeseen exception is told by its type and where it came from, unless debugging."""

    debug = False

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it the traceback where there is one."""
        return super().format(self._without_messages(record))

    def formatException(self, ei: Raised) -> str:
        """The traceback; without its messages where they may quote a text."""
        error = ei[1]
        if self.debug or error is None:
            return super().formatException(ei)
        return "".join(traceback.format_tb(ei[2])) + self._said(error)

    def _without_messages(self, record: logging.LogRecord) -> logging.LogRecord:
        if self.debug or not isinstance(record.args, tuple):
            return record
        told = logging.makeLogRecord(record.__dict__)
        told.args = tuple(self._said(each) if isinstance(each, BaseException) else each for each in record.args)
        return told

    def _said(self, error: BaseException) -> str:
        return type(error).__name__ if exit_code(error) is Exit.BUG and not self.debug else one_line(error)


class Json(Discreet):
    """One JSON object a line: at, level, logger, message, and traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The object."""
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._without_messages(record).getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            told["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(told, default=str).decode()


def config(form: Literal["text", "json"], level: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: everything to stderr in this form, from this level on."""
    shape: type[Discreet] = Json if form == "json" else Discreet
    made = type(shape.__name__, (shape,), {"debug": level == "debug"})
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": made, "fmt": LINE}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
    }
