"""The format `metarank`: events of Metarank.

An `interaction` is one event of ours, by its `type`, whose names are free: those that shops mostly use are known,
whatever their case and punctuation. A `ranking` is a search, where its fields tell a query, and an impression for each
of its items. An `item` is a product, for the topic of items.

Specification: https://docs.metarank.ai/reference/event-schema

Where no user is told, the session stands for the user. Passed over: `user` and `item` events, and other types.
"""

from collections.abc import Sequence
from typing import Any

from model.foreign import ACTIONS, Draft, NoBehaviour, Source
from model.values import listed, moment, number, text

TEXTS = ("title", "category", "brand", "description")


def split(record: Source) -> Sequence[Source]:
    """The interaction; the ranking, if it tells a query, and its items."""
    of_type = record.named("event", {"interaction": "interaction", "ranking": "ranking"})
    if of_type == "interaction":
        record.named("type", ACTIONS, free=True)
        return [record]
    query = _fields(record).fields.get("query")
    shown = record.each("items")
    if not query and not shown:
        raise NoBehaviour("ranking without items")
    return [record, *shown] if query else shown


def event(part: Source) -> Draft:
    """The event of an interaction, of a ranking's query or of an item in it."""
    record = part if part.place < 0 else part.parent
    interaction = record.fields["event"] == "interaction"
    draft = Draft(
        record.named("type", ACTIONS, free=True) if interaction else "search" if part is record else "impression"
    )
    draft.take("event_id", record, "id", read=text)
    draft.user(record, "user", "session")
    draft.take("at", record, "timestamp", read=moment)
    draft.take("session_id", record, "session", read=text)
    told = _fields(record)
    if draft.fields["kind"] == "search":
        draft.take("query", told, "query", read=text)
    elif part is record:
        draft.take("recommendation_id", record, "ranking", read=text)
        draft.take("item_id", record, "item", read=text)
        draft.take("quantity", told, "quantity", "count", read=number)
        draft.take("price", told, "price", read=number)
        draft.take("rating", told, "rating", read=number)
    else:
        draft.take("item_id", part, "id", read=text)
    return draft


def item(record: Source) -> Draft | None:
    """The product of an `item` event."""
    if record.word("event") != "item":
        return None
    draft, told = Draft(), _fields(record)
    draft.take("item_id", record, "item", read=text)
    for name in TEXTS:
        draft.take(name, told, name, read=listed)
    draft.take("price", told, "price", read=number)
    return draft


def _fields(record: Source) -> Source:
    """The fields by their names: a list of {name, value}."""
    found: dict[str, Any] = {}
    for field in record.each("fields"):
        name = field.checked().word("name")
        found[name] = field.fields.get("value")
    return Source(found, "fields", record)
