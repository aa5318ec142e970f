"""Beside step 1: records that a schema registry's serializer has framed (magic byte 0, schema id) become plain JSON.

Knows nothing of events. A schema is asked for once and kept: an id never stands for another. What a record is to blame
for (no such schema, other bytes than it says) rejects that record; that the registry does not answer is no record's
fault: it is asked again for ASK_S, then the worker ends, and nothing is lost.
"""

import base64
import io
import logging
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import orjson

from model.rejection import EventError, Reason
from stream.errors import NotAllowed, Unreachable

log = logging.getLogger(__name__)

FRAMED = b"\0"
"""What a framed value begins with."""
HEAD_BYTES = 5
"""The magic byte and the id, four bytes, the highest first."""
ASK_S = 30.0
"""How long a registry may be away: a restart of it, not an evening. Meanwhile the lane's partitions wait."""
TIMEOUT_S = 5.0
PAUSE_S = 2.0
UNKNOWN_S = 10.0
"""How long an id counts as unknown: a producer that invents ids must not cost a request for each record."""

Opened = Callable[[bytes | None], bytes | None]
"""A value without its frame; raises EventError."""
Payload = Callable[[bytes], bytes]
"""What follows the head, as JSON; raises anything that Avro can."""


class Registry:
    """A schema registry, or none.

    Args:
        url: "" is none: a framed record is rejected.
        clock: seconds, and `sleep` for so many: a test turns them.
    """

    def __init__(
        self, url: str, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        parts = urlsplit(url)
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if parts.username is not None:
            pair = f"{parts.username}:{parts.password or ''}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        netloc = parts.netloc.rpartition("@")[2]  # Never told to anybody with its secret.
        self._url = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
        self._clock, self._sleep = clock, sleep
        self._payloads: dict[int, Payload] = {}
        self._unknown: dict[int, tuple[float, EventError]] = {}

    def opened(self, value: bytes | None) -> bytes | None:
        """The value as plain JSON; one that is not framed stays itself.

        Raises:
            EventError: SCHEMA.
            Unreachable, NotAllowed: the registry does not answer.
        """
        if value is None or value[:1] != FRAMED:
            return value
        if len(value) < HEAD_BYTES:
            raise EventError(
                Reason.SCHEMA, f"the value has {len(value)} bytes and begins with 0; a frame has 5 and more"
            )
        number = int.from_bytes(value[1:HEAD_BYTES])
        if not self._url:
            raise EventError(
                Reason.SCHEMA,
                f"the value is framed by a schema registry (schema {number}); give the worker --registry URL, or send "
                "plain JSON",
            )
        payload = self._payloads.get(number) or self._asked(number)
        try:
            return payload(value[HEAD_BYTES:])
        except EventError:
            raise
        except Exception as error:  # Whatever Avro's bytes may bring about.
            wrong = f"the value is not what schema {number} says: {type(error).__name__}: {error}"
            raise EventError(Reason.SCHEMA, wrong) from None

    def _asked(self, number: int) -> Payload:
        until, known = self._unknown.get(number, (0.0, None))
        if known is not None and self._clock() < until:
            raise known
        try:
            payload = self._payload(number, self._get(f"schemas/ids/{number}", f"schema {number}"))
        except EventError as error:
            self._unknown[number] = self._clock() + UNKNOWN_S, error
            raise
        self._payloads[number] = payload
        return payload

    def _payload(self, number: int, told: dict[str, Any]) -> Payload:
        kind = told.get("schemaType", "AVRO")  # The registry leaves its oldest kind out.
        if kind == "JSON":
            return lambda payload: payload
        if kind != "AVRO":
            raise EventError(Reason.SCHEMA, f"schema {number} is of the kind {kind}; JSON and AVRO are read")
        from fastavro import schemaless_reader

        try:
            schema = self._avro(told, {})
        except EventError:
            raise
        except Exception as error:
            wrong = f"schema {number} is no Avro schema: {type(error).__name__}: {error}"
            raise EventError(Reason.SCHEMA, wrong) from None

        def read(payload: bytes) -> bytes:
            stream = io.BytesIO(payload)
            found = schemaless_reader(stream, schema, None)
            if rest := len(payload) - stream.tell():
                raise ValueError(f"{rest} bytes are left over")
            return orjson.dumps(found, default=_plain)

        return read

    def _avro(self, told: dict[str, Any], named: dict[str, Any]) -> Any:
        """The schema, after those that it refers to."""
        from fastavro import parse_schema

        for reference in told.get("references", ()):
            subject, version = reference["subject"], reference["version"]
            path = f"subjects/{quote(subject, safe='')}/versions/{version}"
            self._avro(self._get(path, f"version {version} of {subject}"), named)
        return parse_schema(orjson.loads(told["schema"]), named_schemas=named)

    def _get(self, path: str, what: str) -> dict[str, Any]:
        request, deadline = Request(f"{self._url}/{path}", headers=self._headers), self._clock() + ASK_S
        while True:
            try:
                with urlopen(request, timeout=TIMEOUT_S) as answer:
                    told = orjson.loads(answer.read())
                if isinstance(told, dict) and isinstance(told.get("schema"), str):
                    return told
                why = "it answers with something other than a schema"
            except HTTPError as error:
                error.close()
                if error.code == 404:
                    raise EventError(Reason.SCHEMA, f"the registry at {self._url} has no {what}") from None
                if error.code in (401, 403):
                    raise NotAllowed(
                        f"the registry at {self._url} refuses this worker ({error.code})",
                        "give --registry with a name and secret (FIRSTCLICK_REGISTRY)",
                    ) from None
                why = f"it answers with {error.code}"
            except (URLError, OSError, ValueError) as error:
                why = str(getattr(error, "reason", error))
            if self._clock() >= deadline:
                raise Unreachable(f"the registry at {self._url} does not tell {what}: {why}", "check --registry")
            log.warning("the registry at %s does not tell %s yet: %s", self._url, what, why)
            self._sleep(PAUSE_S)


plain: Opened = Registry("").opened
"""Takes no frame off."""


def _plain(value: Any) -> Any:
    """What Avro's logical types are in JSON, where orjson does not know: decimals and bytes."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode()
    raise TypeError(f"{type(value).__name__} is nothing in JSON")
