"""The format `firstclick`: the contract itself, `model/contract/event.json`. A record is one event."""

from collections.abc import Sequence

from model.foreign import Draft, Source


def split(record: Source) -> Sequence[Source]:
    """The record."""
    return [record]


def event(part: Source) -> Draft:
    """As it stands."""
    draft = Draft()
    draft.fields = dict(part.fields)
    return draft
