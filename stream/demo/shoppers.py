"""Before the line: who shops in the demo, and what they do, as events of the contract.

Knows nothing of Kafka and no clock. The households and all they buy are real and in the order of their time; the one
new user's interests and searches were typed by us, and the screen says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stream.demo.shop import Purchase

# Households that come often and buy little at a time, so that one can watch single events work.
WATCHED = (900, 198, 762)
CROWD = (2337, 1795, 2040, 1419, 1901, 1479, 334, 2070, 534, 1707, 1452, 853, 956, 1228, 768, 1321, 2498)

NEW_USER = "new-user"
NEW_USER_LABEL = "a new user (typed by us)"
FIRST_TYPED = 30  # The households have some lists by then.
TYPED_EVERY = 60  # Events of the households between two of the new user's; about 5 s at the usual rate.
TYPED: tuple[Mapping[str, Any], ...] = (
    {"kind": "signup", "interests": ["coffee", "baking cakes"]},
    {"kind": "search", "query": "spaghetti dinner"},
    {"kind": "search", "query": "barbecue with friends"},
    {"kind": "search", "query": "something for the cat"},
    {"kind": "search", "query": "gluten free breakfast"},
)


class Act(NamedTuple):
    """One event to send, and how a person would tell it: of somebody ("bought …"), and to them ("you bought …")."""

    user_id: str
    event_id: str
    event: dict[str, Any]
    told: str
    reason: str


def user_of(household: int) -> str:
    """The household's user id."""
    return f"household-{household}"


def labels(folder: Path, households: Sequence[int]) -> dict[str, str]:
    """User id -> who that is: the source's own demographics."""
    import pyarrow.parquet as parquet

    known = {row["household_id"]: row for row in parquet.read_table(folder / "demographics.parquet").to_pylist()}
    told = {}
    for household in households:
        row = known.get(household)
        who = f", {row['household_comp'].lower()}, {row['age']}" if row else ""
        told[user_of(household)] = f"household {household}{who}"
    return told


def acts(purchases: Sequence[Purchase], titles: Mapping[str, str]) -> Iterator[Act]:
    """The households' purchases in time order, and now and then something that the new user typed."""
    typed = iter(TYPED)
    for number, purchase in enumerate(purchases):
        if number >= FIRST_TYPED and (number - FIRST_TYPED) % TYPED_EVERY == 0:
            fields = next(typed, None)
            if fields is not None:
                yield _typed(fields, purchase.at_ms)
        yield _bought(purchase, titles[purchase.item_id])


def event_of(purchase: Purchase) -> dict[str, Any]:
    """The purchase as an event of the contract."""
    return {
        "event_id": f"{purchase.basket}-{purchase.item_id}",
        "user_id": user_of(purchase.household),
        "kind": "purchase",
        "item_id": purchase.item_id,
        "at": purchase.at_ms,
        "quantity": purchase.quantity,
        "price": purchase.price,
        "session_id": purchase.basket,
    }


def _bought(purchase: Purchase, title: str) -> Act:
    event = event_of(purchase)
    return Act(event["user_id"], event["event_id"], event, f"bought {title}", f"you bought {title}")


def _typed(fields: Mapping[str, Any], at_ms: int) -> Act:
    """At the shop's time, not at today's: the decayed counts would take the years between for a lull."""
    event_id = f"{NEW_USER}-{fields['kind']}-{at_ms}"
    event = {"event_id": event_id, "user_id": NEW_USER, "at": at_ms, **fields}
    if "query" in fields:
        searched = f"searched “{fields['query']}”"
        return Act(NEW_USER, event_id, event, searched, f"you {searched}")
    interests = " and ".join(fields["interests"])
    return Act(NEW_USER, event_id, event, f"signed up, likes {interests}", f"you like {interests}")
