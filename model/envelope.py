"""Part of step 1: from a record's value and headers to one JSON object, through content types and CloudEvents.

Knows nothing of what the fields mean. CloudEvents 1.0: binary mode (`ce_*` headers) and structured mode (the envelope
is the value); their id, time and type fill in for `event_id`, `at` and `kind` where the payload itself has none.
"""

import base64
import binascii
import re
from collections.abc import Sequence

import orjson

from model.fields import Fields, shown
from model.rejection import EventError, Reason

MAX_EVENT_BYTES = 1 << 20
"""Longest value. Kafka's own default limit for a record; parsing more would stall the partition's neighbours."""

KIND_FIELDS = ("kind", "type", "event_name")
"""Where a payload may name its kind; the first that is not null counts. `type` is what logs mostly call it,
`event_name` what GA4 does."""

Headers = Sequence[tuple[str, bytes | None]]

_VERSION = re.compile(r"v\d+", re.ASCII)


def unwrap(value: bytes, headers: Headers | None) -> Fields:
    """The one JSON object in a record, its CloudEvents envelope taken off.

    Raises:
        EventError: TOO_LARGE, CONTENT_TYPE, NOT_JSON, NOT_AN_OBJECT or CLOUDEVENT.
    """
    if len(value) > MAX_EVENT_BYTES:
        raise EventError(Reason.TOO_LARGE, f"the value has {len(value)} bytes; at most {MAX_EVENT_BYTES} are taken")
    if headers:
        return _unwrap_with_headers(value, headers)
    fields = _load_object(value, "the value")
    if "specversion" in fields and ("data" in fields or "data_base64" in fields):
        return _structured(fields)  # Many producers of structured mode forget its content type.
    return fields


def _unwrap_with_headers(value: bytes, headers: Headers) -> Fields:
    content_type = None
    attributes: dict[str, bytes] = {}
    for name, content in headers:
        lowered = name.lower()
        if lowered == "content-type":
            content_type = content
        elif lowered.startswith("ce_") and content is not None:
            attributes[lowered[3:]] = content
    structured = content_type is not None and _is_cloudevent(content_type)
    fields = _load_object(value, "the value")
    if structured or (not attributes and "specversion" in fields and ("data" in fields or "data_base64" in fields)):
        return _structured(fields)
    return _binary(fields, attributes) if attributes else fields


def _is_cloudevent(content_type: bytes) -> bool:
    """Whether a content type announces structured mode; refuses everything that is not JSON in UTF-8."""
    media_type, _, parameters = content_type.decode("latin-1").lower().partition(";")
    media_type = media_type.strip()
    if media_type not in ("application/json", "application/cloudevents+json"):
        raise EventError(Reason.CONTENT_TYPE, f"the content type is {shown(content_type)}; send application/json")
    for parameter in parameters.split(";"):
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip().strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise EventError(Reason.CONTENT_TYPE, f"the content type is {shown(content_type)}; send UTF-8")
    return media_type == "application/cloudevents+json"


def _load_object(value: bytes, what: str) -> Fields:
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise EventError(Reason.NOT_JSON, f"{what} is not JSON: {_guess(value) or error}") from None
    if type(fields) is not dict:
        raise EventError(Reason.NOT_AN_OBJECT, f"{what} is JSON, but not an object: {shown(fields)}")
    return fields


def _guess(value: bytes) -> str:
    """What a value that is not JSON seems to be, for the producer; "" where nothing is known."""
    if not value:
        return "it is empty (a tombstone is a null value)"
    if value[0] == 0:
        return "it begins with the magic byte 0: Confluent wire format (schema registry serializer); send plain JSON"
    if value.startswith(b"\x1f\x8b"):
        return "it is gzip; let the producer compress (compression.type), not the value"
    if value.startswith(b"\xef\xbb\xbf"):
        return "it begins with a byte order mark; send plain UTF-8"
    if value.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it seems to be UTF-16; send UTF-8"
    return ""


def _binary(fields: Fields, attributes: dict[str, bytes]) -> Fields:
    """CloudEvents binary mode: the value is the payload, the attributes are headers."""
    try:
        texts = {name: content.decode() for name, content in attributes.items()}
    except UnicodeDecodeError:
        raise EventError(Reason.CLOUDEVENT, "a ce_ header is not UTF-8") from None
    return _filled(fields, texts.get("specversion"), texts.get("type"), texts.get("id"), texts.get("time"))


def _structured(envelope: Fields) -> Fields:
    """CloudEvents structured mode: the value is the envelope, the payload its `data` or `data_base64`."""
    content_type = envelope.get("datacontenttype")
    if content_type is not None:
        if type(content_type) is not str:
            raise EventError(Reason.CLOUDEVENT, f"datacontenttype is {shown(content_type)}; send a string")
        if _is_cloudevent(content_type.encode()):
            raise EventError(Reason.CONTENT_TYPE, "an envelope in an envelope: datacontenttype must be JSON")
    payload = envelope.get("data")
    if payload is None:
        payload = _decoded(envelope.get("data_base64"))
    if type(payload) is not dict:
        raise EventError(Reason.NOT_AN_OBJECT, f"data is not an object: {shown(payload)}")
    return _filled(payload, envelope.get("specversion"), envelope.get("type"), envelope.get("id"), envelope.get("time"))


def _decoded(payload: object) -> Fields:
    if type(payload) is not str:
        raise EventError(Reason.CLOUDEVENT, "the envelope has neither data nor data_base64")
    try:
        return _load_object(base64.b64decode(payload, validate=True), "data_base64")
    except (binascii.Error, ValueError) as error:
        if isinstance(error, EventError):
            raise
        raise EventError(Reason.CLOUDEVENT, "data_base64 is not base64") from None


def _filled(fields: Fields, version: object, kind: object, event_id: object, at: object) -> Fields:
    """`fields` with what the envelope says where they themselves say nothing."""
    if version != "1.0":
        raise EventError(Reason.CLOUDEVENT, f"the specversion is {shown(version)}; 1.0 is taken")
    for name, attribute in (("type", kind), ("id", event_id), ("time", at)):
        if attribute is not None and type(attribute) is not str:
            raise EventError(Reason.CLOUDEVENT, f"the attribute {name} is {shown(attribute)}; send a string")
    if fields.get("event_id") is None:
        fields["event_id"] = event_id
    if fields.get("at") is None:
        fields["at"] = at
    if isinstance(kind, str) and all(fields.get(name) is None for name in KIND_FIELDS):
        fields["kind"] = _last_word(kind)
    return fields


def _last_word(name: str) -> str:
    """The kind in a CloudEvents type: `com.shop.click` and `com.shop.click.v1` both say `click`."""
    words = name.split(".")
    return words[-2] if len(words) > 1 and _VERSION.fullmatch(words[-1]) else words[-1]
