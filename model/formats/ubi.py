"""The format `ubi`: OpenSearch User Behavior Insights, documents of the indexes `ubi_events` and `ubi_queries`.

An event is one of ours, of the object that it is about (`event_attributes.object`); a query (no `action_name`) is a
search. Names of actions are free in UBI: those that shops mostly use are known, whatever their case and punctuation.
Documents may stand in `_source`, as a search or a dump gives them.

Specification: https://github.com/o19s/ubi (schemas 1.0 to 1.3),
https://docs.opensearch.org/latest/search-plugins/ubi/schemas/ and
https://github.com/opensearch-project/user-behavior-insights (what the plugin stores of a query)

The user is the `client_id`, which queries and events share; `user_id` only where there is none. Passed over: other
actions (login, page_exit, product_sort …), actions that are about no object, searches that tell no query, queries of
nobody (a client is optional), and those for no hits: a page that shows facets asks for them beside its products.
"""

from collections.abc import Sequence
from typing import Any

from model.foreign import ACTIONS, Draft, NoBehaviour, Source
from model.values import moment, number, text

BULK = frozenset({"index", "create"})
"""The lines between documents in a file for the bulk API."""
NO_HITS = '{"size":0,'
"""How the plugin begins the stored `query` of a search that wants facets and no products."""


def split(record: Source) -> Sequence[Source]:
    """The document."""
    if len(record.fields) == 1 and BULK & record.fields.keys():
        raise NoBehaviour("a line of the bulk API")
    document = record.inner("_source") if {"_source", "_index"} & record.fields.keys() else record
    get = document.fields.get
    if get("action_name") is None and get("user_query") is None and "query_response_id" in document.fields:
        raise NoBehaviour("a query's response")
    kind = _kind(document)
    if kind == "search":
        name = get("action_name") or "a query"
        if not (document.word("user_query") or document.word("message")):
            raise NoBehaviour(f"{name} without user_query")
        if get("action_name") is None:
            _of_products(document)
    elif not document.inner("event_attributes").inner("object").fields:
        raise NoBehaviour(f"{get('action_name')} without an object")
    return [document]


def _of_products(query: Source) -> None:
    get = query.fields.get
    if not (get("client_id") or get("user_id")):
        raise NoBehaviour("a query without client_id")
    asked: Any = get("query")
    if type(asked) is str and asked.startswith(NO_HITS):
        raise NoBehaviour("a query for no hits")


def event(part: Source) -> Draft:
    """The document's event."""
    kind = _kind(part)
    draft = Draft(kind)
    if part.fields.get("action_name") is not None:
        draft.take("event_id", part.parent, "_id", read=text)
    else:  # One query_id may have many responses: each page of hits has its own.
        draft.take("event_id", part, "query_response_id", "query_id", read=text)
    draft.user(part, "client_id", "user_id")
    draft.take("at", part, "timestamp", read=moment)
    attributes = part.inner("event_attributes")
    draft.take("session_id", attributes, "session_id", read=text)
    draft.take("session_id", part, "session_id", read=text)
    if kind == "search":
        draft.take("query", part, "user_query", "message")
        return draft
    about = attributes.inner("object")
    detail = about.inner("object_detail") if type(about.fields.get("object_detail")) is dict else about
    draft.take("item_id", about, "object_id", read=text)
    price = detail.fields.get("price")
    if type(price) in (int, float) and price >= 0:  # The shop's own field: it may be anything, or in words.
        draft.take("price", detail, "price")
    draft.take("quantity", attributes, "quantity", read=number)
    draft.item(about, title=("title", "name", "description"))
    return draft


def _kind(document: Source) -> str:
    document.either("action_name", "user_query")
    if document.fields.get("action_name") is None:
        return "search"
    return document.named("action_name", ACTIONS, free=True)
