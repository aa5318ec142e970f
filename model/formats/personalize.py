"""The format `personalize`: PutEvents requests of Amazon Personalize.

A request holds up to 10 events of one user and session (`userId`, `sessionId`, `eventList`); each is one of ours, and
each item of its `impression` an impression beside it. Names of event types are free: those that shops mostly use are
known, whatever their case and punctuation; a rating is the `eventValue`.

Specification: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutEvents.html and
https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_Event.html

A user who is not known yet has no `userId`: then the session stands for the user. Other types are passed over.
"""

from collections.abc import Sequence
from typing import Any

from model.foreign import ACTIONS, Draft, NoBehaviour, Source, each_call, number, seconds, text, utc
from model.rejection import EventError


def split(record: Source) -> Sequence[Source | EventError]:
    """Each event, and its impressions."""
    return each_call(record.some("eventList"), _split)


def _split(call: Source) -> Sequence[Source]:
    shown = [Source({"": one.fields}, one.path, call, one.place) for one in call.each("impression")]
    try:
        call.named("eventType", ACTIONS)
    except NoBehaviour:
        if not shown:
            raise
        return shown
    return [call, *shown]


def event(part: Source) -> Draft:
    """The event, or one of its impressions."""
    call = part.parent if "" in part.fields else part
    request = call.parent
    draft = Draft("impression" if part is not call else call.named("eventType", ACTIONS))
    draft.take("event_id", call, "eventId", read=text)
    draft.user(request, "userId", "sessionId")
    draft.take("at", call, "sentAt", read=_sent)
    draft.take("session_id", request, "sessionId", read=text)
    draft.take("recommendation_id", call, "recommendationId", read=text)
    if part is not call:
        draft.take("item_id", part, "", read=text)
        return draft
    draft.take("item_id", call, "itemId", read=text)
    if draft.fields["kind"] == "review":
        draft.take("rating", call, "eventValue", read=number)
    if draft.fields["kind"] == "search":
        draft.take("query", call, "properties")
    return draft


def _sent(value: Any) -> object:
    """Seconds since 1970, as the API has it; its clients write their times, too."""
    return utc(value) if type(value) is str and not value.replace(".", "", 1).isdecimal() else seconds(value)
