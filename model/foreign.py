"""Part of step 1: what the adapters in `model/formats` are made of: reading another system's fields by their own names.

Knows nothing of any one format. A draft remembers what its format calls each value, so that a rejection names the field
that the producer's developer has in front of them, and not the contract's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model.event import Event, Item, event_of, item_of
from model.fields import Fields, identifier, shown
from model.rejection import EventError, Reason
from model.values import Conversion, Unfit, listed, loaded, text

NAME_CHARS = 100
"""Longest name of what is passed over: it is told to people."""


class NoBehaviour(Exception):
    """A record of the format that holds no behaviour of the contract's kinds, such as a page view. Not a mistake.

    Args:
        name: what the format calls such a record.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name[:NAME_CHARS]


class Source:
    """An object of a record, and where in the record it stands.

    Attributes:
        fields: the object; what stands in its place where the record is wrong is found by `checked`.
        place: in its parent's list; -1 where it stands in none.
    """

    __slots__ = ("_parent", "fields", "path", "place")

    def __init__(self, fields: Any, path: str = "", parent: "Source | None" = None, place: int = -1) -> None:
        self.fields, self.path, self.place = fields, path, place
        self._parent = parent  # Not itself: a circle would keep the whole record until garbage is collected.

    @property
    def parent(self) -> "Source":
        """The object that holds it, or itself."""
        return self._parent or self

    def name(self, key: str) -> str:
        """A field's whole name: `items[2].price`."""
        return f"{self.path}.{key}" if self.path and key else self.path or key

    def checked(self) -> "Source":
        """Itself, if it is an object."""
        if type(self.fields) is not dict:
            raise EventError(Reason.FIELD_INVALID, f"{self.path} is {shown(self.fields)}; send an object", self.path)
        return self

    def word(self, key: str) -> str:
        """A field that is a string; "" where it is absent."""
        value = self.fields.get(key)
        if value is None or type(value) is str:
            return value or ""
        raise self.fault(key, f"is {shown(value)}; send a string")

    def named(self, key: str, known: Mapping[str, str], free: bool = False) -> str:
        """What a format's name of a behaviour, in `key`, is in the contract.

        Args:
            known: names as the format writes them.
            free: producers write them as they like: `known` are `folded`.

        Raises:
            NoBehaviour: it is none of these.
        """
        name = self.word(key)
        if not name:
            raise self.fault(key, "is missing", Reason.FIELD_MISSING)
        kind = known.get(name)
        if kind is None and free:
            kind = known.get(folded(name))
        if kind is None:
            raise NoBehaviour(name)
        return kind

    def inner(self, key: str) -> "Source":
        """The object in a field, or written as JSON in a string there; an empty one where it is absent."""
        value = self.fields.get(key)
        if type(value) is str:
            value = loaded(value)
        return Source({} if value is None else value, self.name(key), self).checked()

    def each(self, key: str) -> list["Source"]:
        """The elements of a list, each to be checked; one where an object stands for it, none where it is absent."""
        value = self.fields.get(key)
        if value is None:
            return []
        if type(value) is dict:  # As Google's own samples of Retail have it.
            value = [value]
        if type(value) is not list:
            raise self.fault(key, f"is {shown(value)}; send a list")
        path = self.name(key)
        return [Source(one, f"{path}[{place}]", self, place) for place, one in enumerate(value)]

    def some(self, key: str, optional: bool = False, what: str = "products") -> list["Source"]:
        """The elements of a list that must have some, or there is no behaviour where it is `optional`.

        Args:
            what: they are.
        """
        found = self.each(key)
        if found:
            return found
        if optional:
            raise NoBehaviour(f"without {key}")
        raise self.fault(key, f"is missing or empty; send the {what}", Reason.FIELD_MISSING)

    def either(self, *keys: str) -> None:
        """Refuses the record if it has none of these."""
        if all(self.fields.get(key) is None for key in keys):
            raise self.fault(" or ".join(keys), "is missing", Reason.FIELD_MISSING)

    def fault(self, key: str, says: str, reason: Reason = Reason.FIELD_INVALID) -> EventError:
        """The rejection for a field."""
        return EventError(reason, f"{self.name(key)} {says}", self.name(key))


class Draft:
    """An event in the making, in the contract's names.

    Attributes:
        fields: as `model.event.event_of` takes them.
        names: the source and the key there of each field; item_names, of the product's.
        users: the ids of the same user: a topic may be keyed by any of them.
        on_arrival: the format says that an event without a time happened when it arrived.
    """

    __slots__ = ("fields", "item_names", "names", "on_arrival", "users")

    def __init__(self, kind: str = "", on_arrival: bool = False) -> None:
        self.fields: Fields = {"kind": kind} if kind else {}
        self.names: dict[str, tuple[Source, str]] = {}
        self.item_names = self.names
        self.users: list[str] = []
        self.on_arrival = on_arrival

    def take(self, name: str, source: Source, *keys: str, read: Conversion | None = None) -> object:
        """`name` from the first of the source's fields that is there and not "", converted by `read`.

        Raises:
            EventError: `read` does not take it.
        """
        get = source.fields.get
        for key in keys:
            value = get(key)
            if value is None or value == "":
                continue
            if read is not None:
                try:
                    value = read(value)
                except Unfit as unfit:
                    raise source.fault(key, f"is {shown(value)}; send {unfit.expected}", unfit.reason) from None
            self.fields[name] = value
            self.names[name] = source, key
            return value
        if name not in self.fields:
            self.names[name] = source, " or ".join(keys)
        return None

    def user(self, source: Source, *keys: str) -> None:
        """The user's id from the first of these fields, if there is none yet; the others are the user's, too."""
        if "user_id" not in self.fields:
            self.take("user_id", source, *keys, read=text)
        get = source.fields.get
        self.users += [str(user) for key in keys if type(user := get(key)) is str or type(user) is int]

    def item(self, source: Source, **keys: tuple[str, ...]) -> None:
        """What the record tells of its product, by the contract's names; left out where nothing can be read of it.

        To be called after the event's price is taken, which is the product's, too.
        """
        told = Draft()
        for name, theirs in keys.items():
            told.take(name, source, *theirs, read=listed)
        for value in told.fields.values():
            if type(value) is str and value.strip():
                break
        else:
            return
        if "price" in self.fields:
            told.fields["price"], told.names["price"] = self.fields["price"], self.names["price"]
        self.fields["item"], self.item_names = told.fields, told.names

    def event(self, key: bytes | None = None, arrived_ms: int = 0) -> Event:
        """The event.

        Args:
            key: as `event_of` has it, but for the user's other ids: that one counts by which the record is keyed.

        Raises:
            EventError: it is none; named by the format's own fields.
        """
        if key is not None and len(self.users) > 1:
            keyed = next((user for user in self.users if user.encode("utf-8", "replace") == key), "")
            self.fields["user_id"] = keyed or self.fields["user_id"]
        if self.on_arrival and arrived_ms > 0:
            self.fields.setdefault("at", arrived_ms)
        try:
            return event_of(self.fields, key, arrived_ms)
        except EventError as error:
            raise self._renamed(error) from None

    def product(self) -> Item:
        """The item, where the draft is of one.

        Raises:
            EventError: it is none; named by the format's own fields.
        """
        try:
            return item_of(self.fields, identifier(self.fields, "item_id"))
        except EventError as error:
            raise self._renamed(error) from None

    def _renamed(self, error: EventError) -> EventError:
        inner = error.field.startswith("item.")
        place = self.item_names.get(error.field[5:]) if inner else self.names.get(error.field)
        if place is None:
            return error
        name = place[0].name(place[1])
        return EventError(error.reason, name + error.detail.removeprefix(error.field), name)


def folded(name: str) -> str:
    """A name without its case, blanks and punctuation: `Add to Cart`, `add_to_cart` and `addToCart` are one."""
    return "".join(filter(str.isalnum, name.lower()))


ACTIONS = {
    folded(name): kind
    for kind, names in {
        "impression": "impression view_item_list list_view shown",
        "click": "click on_click click_through item_click product_click search_click result_click select_item",
        "browse": "view watch browse item_view product_view view_item view_product detail_page_view read play",
        "search": "search on_search query search_query user_search product_search",
        "favourite": "favourite favorite like save bookmark wishlist add_to_wishlist add_to_favorites",
        "cart": "cart add_to_cart cart_add basket add_to_basket",
        "purchase": "purchase buy order transaction conversion item_purchase product_purchase order_completed",
        "return": "return refund",
        "review": "review rate rating",
        "dislike": "dislike not_interested hide declined_product",
    }.items()
    for name in names.split()
}
"""What behaviours are mostly called, folded, where a format leaves their names to its users."""


def each_call(
    calls: Sequence[Source], split: Callable[[Source], Sequence["Source | EventError"]]
) -> list["Source | EventError"]:
    """The parts of all calls of a batch; one that is wrong takes no other with it.

    Raises:
        NoBehaviour: there is none in any of them.
    """
    found: list[Source | EventError] = []
    passed_over: list[str] = []
    for call in calls:
        try:
            found += split(call.checked())
        except EventError as error:
            found.append(error)
        except NoBehaviour as nothing:
            passed_over.append(nothing.name)
    if not found:
        raise NoBehaviour(", ".join(dict.fromkeys(passed_over)) or "an empty batch")
    return found
