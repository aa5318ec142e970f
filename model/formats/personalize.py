"""The format `personalize`: Amazon Personalize, PutEvents requests and the CSV of a dataset of item interactions.

A request holds up to 10 events of one user and session (`userId`, `sessionId`, `eventList`); each is one of ours, and
each item of its `impression` an impression beside it. A row of the CSV is one event (`USER_ID`, `ITEM_ID`, `TIMESTAMP`
in seconds, perhaps `EVENT_TYPE`, `EVENT_VALUE` and `IMPRESSION`, parted by `|`), a click where there are no types.
Names of types are free: those that shops mostly use are known, whatever their case and punctuation; a rating is the
event's value, a search's words are told in its `properties`.

Specification: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutEvents.html,
https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_Event.html and
https://docs.aws.amazon.com/personalize/latest/dg/interactions-datasets.html

A user who is not known yet has no `userId`: then the session stands for the user. Passed over: other types, and
searches that tell no words.
"""

from collections.abc import Sequence
from typing import Any

from model.foreign import ACTIONS, Draft, NoBehaviour, Source, each_call
from model.rejection import EventError
from model.values import number, seconds, text, utc

COLUMNS = ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE")
WORDS = ("query", "searchQuery", "search_query", "searchTerm", "search_term", "keywords")
"""What a search's words may be called: `properties` are the shop's own."""


def split(record: Source) -> Sequence[Source | EventError]:
    """Each event, and its impressions."""
    if _is_row(record):
        ids = filter(None, record.word("IMPRESSION").split("|"))
        return _split(record, [Source(one, f"IMPRESSION[{place}]", record, place) for place, one in enumerate(ids)])
    return each_call(record.some("eventList", what="events"), lambda call: _split(call, call.each("impression")))


def _split(call: Source, listed: Sequence[Source]) -> Sequence[Source]:
    shown = [Source({"": one.fields}, one.path, call, one.place) for one in listed]
    try:
        kind = _kind(call)
        if kind == "search" and not any(call.inner("properties").fields.get(name) for name in WORDS):
            raise NoBehaviour("search without words in its properties")
    except NoBehaviour:
        if not shown:
            raise
        return shown
    return [call, *shown]


def event(part: Source) -> Draft:
    """The event, or one of its impressions."""
    call = part.parent if "" in part.fields else part
    draft = Draft("impression" if part is not call else _kind(call))
    if _is_row(call):
        draft.take("user_id", call, "USER_ID", read=text)
        draft.take("at", call, "TIMESTAMP", read=_sent)
    else:
        request = call.parent
        draft.take("event_id", call, "eventId", read=text)
        draft.user(request, "userId", "sessionId")
        draft.take("at", call, "sentAt", read=_sent)
        draft.take("session_id", request, "sessionId", read=text)
        draft.take("recommendation_id", call, "recommendationId", read=text)
    if part is not call:
        draft.take("item_id", part, "", read=text)
        return draft
    draft.take("item_id", call, "itemId", "ITEM_ID", read=text)
    if draft.fields["kind"] == "review":
        draft.take("rating", call, "eventValue", "EVENT_VALUE", read=number)
    if draft.fields["kind"] == "search":
        draft.take("query", call.inner("properties"), *WORDS, read=text)
    return draft


def _is_row(call: Source) -> bool:
    return "eventType" not in call.fields and not call.fields.keys().isdisjoint(COLUMNS)


def _kind(call: Source) -> str:
    if _is_row(call):
        return call.named("EVENT_TYPE", ACTIONS, free=True) if "EVENT_TYPE" in call.fields else "click"
    return call.named("eventType", ACTIONS, free=True)


def _sent(value: Any) -> object:
    """Seconds since 1970, as the API has it; its clients write their times, too."""
    return utc(value) if type(value) is str and not value.replace(".", "", 1).isdecimal() else seconds(value)
