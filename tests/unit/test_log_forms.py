"""Each form of a log, from a few lines as its makers publish them."""

import gzip
from pathlib import Path
from typing import Any, get_args

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.event import EARLIEST_MS, Kind
from model.text import Line
from model.training.logs.amazon2018 import price, prose, review
from model.training.logs.columns import Log, read_log
from model.training.logs.files import LogError
from model.training.logs.forms import FORMATS, Format, form
from stream.options import LOG_FORMATS

AT = 1_700_000_000_000


def written(path: Path, *rows: dict[str, Any] | str | bytes, packed: bool = False) -> Path:
    """A file of JSON lines, or of lines as they are."""
    lines = [
        row if isinstance(row, bytes) else row.encode() if isinstance(row, str) else orjson.dumps(row) for row in rows
    ]
    content = b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def lines(log: Log) -> list[Line]:
    return [log.line(row)._replace(event_id="") for row in range(len(log))]


def line(kind: Kind, item_id: str, at_ms: int, text: str = "", **told: Any) -> Line:
    made = {"dwell_ms": None, "rating": None, "price": None, "quantity": None} | told
    return Line(at_ms=at_ms, event_id="", kind=kind, item_id=item_id, text=text, **made)


def test_every_form_has_its_module_and_its_option() -> None:
    assert get_args(Format) == FORMATS == LOG_FORMATS
    for name in FORMATS:
        found = form(name)
        assert callable(found.events)
        assert callable(found.items)
        assert callable(found.find)
    with pytest.raises(LogError, match=r"'csv'.*firstclick, common"):
        form("csv")


def test_the_contract_itself(tmp_path: Path) -> None:
    event = {"event_id": "1", "user_id": "ü", "kind": "add_to_cart", "item_id": "a", "at": AT, "price": 2.5}
    search = {"event_id": "2", "user_id": "ü", "kind": "search", "query": " red   boots", "at": AT + 1}
    browse = {"event_id": "3", "user_id": "ü", "kind": "browse", "item_id": "b", "at": AT + 2, "dwell_ms": 1500}
    envelope = {"specversion": "1.0", "id": "4", "type": "shop.click.v1", "time": "2023-11-14T22:13:21Z"}
    envelope |= {"data": {"user_id": "ü", "item_id": "c"}}
    headers = {"ce_specversion": "1.0", "ce_id": "5", "ce_type": "favourite", "ce_time": "2023-11-14T22:13:22Z"}
    record = {"key": "ü", "value": {"user_id": "ü", "item_id": "d"}, "headers": headers}
    path = written(tmp_path / "log.jsonl", event, search, browse, envelope, record)
    items = written(
        tmp_path / "shelf.jsonl",
        {"item_id": "a", "title": "Old name"},
        {"item_id": "a", "title": "Boots", "brand": "Ox", "price": 30},
        {"key": "z", "value": {"title": "Never touched"}},
        {"key": "a", "value": None},
    )
    log = read_log([path], [items])
    assert lines(log) == [
        line(Kind.CART, "a", AT, price=2.5),
        line(Kind.SEARCH, "", AT + 1, "red boots"),
        line(Kind.BROWSE, "b", AT + 2, dwell_ms=1500),
        line(Kind.CLICK, "c", AT + 1000),
        line(Kind.FAVOURITE, "d", AT + 2000),
    ]
    assert log.users == ["ü"]
    assert log.rejected == {}
    assert sorted(log.items.ids) == ["a", "b", "c", "d", "z"]
    texts = dict(zip(log.items.ids, log.items.texts(), strict=True))
    assert texts == {"a": "Boots, Ox", "b": "b", "c": "c", "d": "d", "z": "Never touched"}
    assert log.items.item(log.items.numbers["a"]).price == 30
    assert log.items.item(log.items.numbers["b"]).price is None


def test_a_flat_log_with_a_split(tmp_path: Path) -> None:
    """`seq` orders what `timestamp` ties; it does not move one user's events before another's."""
    row = {"user_id": "u", "item_id": "a", "type": "rating", "rating": 4.0, "timestamp": AT // 1000, "qty": 2, "seq": 1}
    written(
        tmp_path / "events.jsonl.gz",
        row | {"split": "valid"},
        row | {"user_id": "v", "item_id": "x", "type": "view", "rating": None, "seq": 7, "split": "train"},
        row | {"item_id": "b", "seq": 2, "split": "test", "text": "fine"},
        row | {"item_id": "c", "seq": 0, "split": "train", "price": 0.5, "order": "o-1"},
        packed=True,
    )
    written(tmp_path / "items.jsonl", {"item_id": "a", "title": "Boots", "category": "", "price": None})
    log = read_log([tmp_path], log_format="common")
    assert [(log.users[user], item) for user, (_, _, _, item, *_) in zip(log.user, lines(log), strict=True)] == [
        ("u", "c"),
        ("v", "x"),
        ("u", "a"),
        ("u", "b"),
    ]
    assert lines(log)[0] == line(Kind.REVIEW, "c", AT, rating=4.0, price=0.5, quantity=2.0)
    assert lines(log)[3] == line(Kind.REVIEW, "b", AT, "fine", rating=4.0, quantity=2.0)
    assert log.split is not None
    assert log.split.tolist() == [0, 0, 1, 2]
    assert log.items.texts()[log.items.numbers["a"]] == "Boots"


def test_amazon_2018(tmp_path: Path) -> None:
    written(
        tmp_path / "All_Beauty.json.gz",
        {
            "overall": 4.0,
            "verified": True,
            "reviewTime": "11 14, 2023",
            "reviewerID": "A3CIUOJXQ5VDQ2",
            "asin": "B0000530HU",
            "style": {"Size:": " 7.0 oz"},
            "reviewerName": "Shelly F",
            "reviewText": "As advertised. Reasonably priced",
            "summary": "Good &amp; cheap",
            "unixReviewTime": AT // 1000,
        },
        {"overall": 9.0, "reviewerID": "A", "asin": "B0000530HU", "unixReviewTime": AT // 1000},
        packed=True,
    )
    written(
        tmp_path / "meta_All_Beauty.json",
        {
            "category": ["Beauty", "Skin Care"],
            "description": ["A classic.", "Since 1934"],
            "title": "Aqua Velva &amp; more",
            "brand": "Aqua Velva",
            "price": "$12.99",
            "asin": "B0000530HU",
        },
        {"asin": "B000000001", "title": "", "category": [], "description": [], "price": ".a-box-inner{color:red}"},
    )
    log = read_log([tmp_path], log_format="amazon2018")
    text = "Good & cheap. As advertised. Reasonably priced"
    assert lines(log) == [line(Kind.REVIEW, "B0000530HU", AT, text, rating=4.0)]
    item = log.items.item(log.items.numbers["B0000530HU"])
    assert item[1:6] == ("Aqua Velva & more", "Beauty > Skin Care", "Aqua Velva", 12.99, "A classic. Since 1934")
    assert log.rejected == {"field_invalid": 1, "item field_missing": 1}
    assert log.faults["field_invalid"].startswith("All_Beauty.json.gz:2: rating is 9.0")


def test_amazon_2023(tmp_path: Path) -> None:
    reviews = written(
        tmp_path / "All_Beauty.jsonl",
        {
            "rating": 5.0,
            "title": "Such a lovely scent!",
            "text": "This spray is really nice.",
            "images": [],
            "asin": "B00YQ6X8EO",
            "parent_asin": "B00YQ6X8E0",
            "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
            "timestamp": AT + 643,
            "helpful_vote": 0,
            "verified_purchase": True,
        },
    )
    meta = written(
        tmp_path / "meta_All_Beauty.jsonl",
        {
            "main_category": "All Beauty",
            "title": "Herbivore Mist",
            "features": [],
            "description": [],
            "price": "from 18.00",
            "store": "Herbivore",
            "categories": [],
            "parent_asin": "B00YQ6X8E0",
        },
    )
    log = read_log([reviews], [meta], "amazon2023")
    text = "Such a lovely scent! This spray is really nice."
    assert lines(log) == [line(Kind.REVIEW, "B00YQ6X8E0", AT + 643, text, rating=5.0)]
    assert log.items.item(0)[1:6] == ("Herbivore Mist", "All Beauty", "Herbivore", None, "")


def test_atomic_files_of_recbole(tmp_path: Path) -> None:
    inter = written(
        tmp_path / "shop.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        f"1\t1193\t5\t{AT // 1000}",
        f"1\t661\t10.0\t{AT + 5}",
        "1\t661",
        "1\t2\t3\t4\t5",
    )
    written(
        tmp_path / "shop.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tprice:float",
        "1193\tOne Flew Over the Cuckoo's Nest\t1975\tDrama\t9.5",
    )
    log = read_log([inter], log_format="recbole")
    assert lines(log) == [line(Kind.REVIEW, "1193", AT, rating=5.0), line(Kind.REVIEW, "661", AT + 5)]
    assert log.items.item(0)[1:5] == ("One Flew Over the Cuckoo's Nest", "Drama", "", 9.5)
    assert log.rejected == {"field_missing": 1, "not_json": 1}
    assert log.faults["field_missing"].startswith("shop.inter:4: at is missing")
    clicks = written(tmp_path / "c.inter", "session_id:token\titem_id:token\ttimestamp:float", f"s\tx\t{AT / 1000}")
    assert lines(read_log([clicks], log_format="recbole")) == [line(Kind.CLICK, "x", AT)]


def test_movielens_100k(tmp_path: Path) -> None:
    written(tmp_path / "u.data", "196\t242\t3\t881250949", "196\t242\t3")
    written(tmp_path / "u.item", "242|Misérables, Les (1995)|24-Jan-1997||http://us.imdb.com/x|0|1".encode("latin-1"))
    log = read_log([tmp_path], log_format="movielens")
    assert lines(log) == [line(Kind.REVIEW, "242", 881_250_949_000, rating=3.0)]
    assert log.items.item(0)[:2] == ("242", "Misérables, Les (1995)")
    assert log.rejected == {"not_json": 1}
    assert read_log([tmp_path / "u.data"], log_format="movielens").items.texts() == log.items.texts()


@pytest.mark.parametrize("form_of", ["dat", "csv"])
def test_movielens(tmp_path: Path, form_of: str) -> None:
    if form_of == "dat":
        written(tmp_path / "ratings.dat", f"1::1193::5::{AT // 1000}", "1::661::3::709000000", "1::661")
        movie = "1193::Misérables, Les (1995)::Drama|Musical".encode("latin-1")
        written(tmp_path / "movies.dat", movie, "2::Nothing (1996)::(no genres listed)")
    else:
        rated = (f"1,1193,5.0,{AT // 1000}", "1,661,0.5,709000000", "1,661")
        written(tmp_path / "ratings.csv", "userId,movieId,rating,timestamp", *rated)
        movies = ('1193,"Misérables, Les (1995)",Drama|Musical', "2,Nothing (1996),(no genres listed)")
        written(tmp_path / "movies.csv", "movieId,title,genres", *movies)
    written(tmp_path / f"tags.{form_of}", "1,2,dark,3")
    log = read_log([tmp_path], log_format="movielens")
    assert lines(log) == [line(Kind.REVIEW, "1193", AT, rating=5.0)]
    assert [log.items.item(number)[:3] for number in range(2)] == [
        ("1193", "Misérables, Les (1995)", "Drama, Musical"),
        ("2", "Nothing (1996)", ""),
    ]
    assert log.rejected == {"time_past": 1, "not_json": 1}
    assert log.at_ms.min() >= EARLIEST_MS
    again = read_log([tmp_path / f"ratings.{form_of}"], log_format="movielens")
    assert again.items.texts() == log.items.texts()


def test_half_a_star_of_movielens_is_one(tmp_path: Path) -> None:
    path = written(tmp_path / "ratings.csv", "userId,movieId,rating,timestamp", f"1,2,0.5,{AT // 1000}")
    assert read_log([path], log_format="movielens").line(0).rating == 1.0


def test_the_complete_journey(tmp_path: Path) -> None:
    bought = {
        "household_id": [900, 900],
        "store_id": [330, 330],
        "basket_id": [31198570044, 31198570044],
        "product_id": [1095275, 9878513],
        "quantity": [2, 0],
        "sales_value": [1.0, 0.0],
        "transaction_timestamp": pa.array([AT * 1_000_000 + 5, AT * 1_000_000], pa.timestamp("ns")),
    }
    pq.write_table(pa.table(bought), tmp_path / "transactions.parquet")
    named = {
        "product_id": [1095275, 26081],
        "manufacturer_id": [2, 69],
        "department": ["PASTRY", "MISCELLANEOUS"],
        "brand": ["Private", "National"],
        "product_category": ["BREAD", None],
        "product_type": ["BREAD:ITALIAN/FRENCH", None],
        "package_size": ["22 OZ", None],
    }
    pq.write_table(pa.table(named), tmp_path / "products.parquet")
    log = read_log([tmp_path], log_format="journey")
    assert lines(log) == [line(Kind.PURCHASE, "1095275", AT, price=0.5, quantity=2.0)]
    assert log.items.texts()[0] == "Bread, italian/french, store brand, 22 oz"
    assert log.items.item(0).category == "Pastry > Bread"
    assert log.faults["field_invalid"].startswith("transactions.parquet:2: quantity is 0")
    with pytest.raises(LogError, match="no package"):
        read_log([Path("nowhere_at_all")], log_format="journey")


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("$12.99", 12.99),
        ("$5.99 - $10.00", 5.99),
        ("1,299.00", 1299.0),
        (7, 7.0),
        ("", None),
        ("—", None),
        (None, None),
    ],
)
def test_prices_as_shops_write_them(told: object, read: float | None) -> None:
    assert price(told) == read


def test_prose_is_joined_unescaped_and_cut() -> None:
    assert prose(["a", "b &lt; c"]) == "a b < c"
    assert prose(None) == ""
    assert len(str(prose("x" * 9000))) == 2000
    assert prose({"no": "string"}) == {"no": "string"}
    assert review("Fine.", "Fine. Really.") == "Fine. Really."
    assert review("", "Only this") == "Only this"
