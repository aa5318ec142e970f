"""`firstclick validate`: what is said of a log, and how the command ends."""

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from stream.cli import invoke
from stream.errors import Exit
from stream.loglines import STDIN, log_file
from stream.validate import OFFENDERS, judge
from tests.formats import EXAMPLES

HEAD = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
VIEW = "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde"
CART = VIEW.replace("view", "cart")
REMOVED = VIEW.replace("view", "remove_from_cart")
TURNED_HEAD, TURNED_CART = (",".join(reversed(line.split(","))) for line in (HEAD, CART))
LOG = "\n".join([HEAD, VIEW, CART, REMOVED, VIEW.replace("35.79", "dear"), VIEW.replace("44600062", ""), "no,row"])


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "log"
    path.write_bytes(content)
    return path


def test_each_line_is_accepted_rejected_or_passed_over(tmp_path: Path) -> None:
    verdict = judge(log_file(written(tmp_path, LOG.encode())), "rees46", "events")
    assert (verdict.lines, verdict.accepted, verdict.rejected) == (6, 2, 3)
    assert verdict.kinds == {"browse": 1, "cart": 1}
    assert verdict.with_item == 2
    assert verdict.passed_over == {"remove_from_cart": 1}
    assert verdict.reasons == {"field_invalid": 1, "field_missing": 1, "not_an_object": 1}
    told = [(offender.line, offender.field, offender.detail) for offender in verdict.offenders]
    assert told[:2] == [
        (5, "price", "price is 'dear'; send a number"),
        (6, "product_id", "product_id is missing"),
    ]
    assert told[2][0] == 7
    assert told[2][2].startswith("the line has 2 cells: 'no,row'; send 9: event_time,")


def test_a_log_without_a_head_has_the_formats_own_order_and_one_with_another_order_its_own(tmp_path: Path) -> None:
    bare = judge(log_file(written(tmp_path, VIEW.encode())), "rees46", "events")
    assert (bare.accepted, bare.rejected) == (1, 0)
    turned = "\n".join(",".join(reversed(line.split(","))) for line in (HEAD, VIEW))
    assert judge(log_file(written(tmp_path, turned.encode())), "rees46", "events").accepted == 1


QUIRKS = {
    "months that were put together": f"{HEAD}\n{VIEW}\n{HEAD}\n{CART}",
    "a head of another order in the midst": f"{HEAD}\n{VIEW}\n{TURNED_HEAD}\n{TURNED_CART}",
    "blanks behind commas": f"{HEAD}\n{VIEW}\n{CART}".replace(",", ", "),
    "names in capitals": f"{HEAD.upper()}\n{VIEW}\n{CART}",
    "semicolons": f"{HEAD}\n{VIEW}\n{CART}".replace(",", ";"),
    "tabs": f"{HEAD}\n{VIEW}\n{CART}".replace(",", "\t"),
    "a column more and one without a name": f",{HEAD},page\n0,{VIEW},x\n1,{CART},",
    "quotes around each cell": "\n".join('"' + line.replace(",", '","') + '"' for line in (HEAD, VIEW, CART)),
    "a quoted cell over lines": f'{HEAD},note\n{VIEW},"two\nlines"\n{CART},',
    "Windows": f"\ufeff{HEAD}\r\n{VIEW}\r\n{CART}\r\n",
    "nothing but ids": f"{HEAD}\n{VIEW}\n{CART.replace('shiseido,35.79', ',').rsplit(',', 1)[0]},",
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_a_log_of_csv_may_be_written_in_many_ways(quirk: str, tmp_path: Path) -> None:
    verdict = judge(log_file(written(tmp_path, QUIRKS[quirk].encode())), "rees46", "events")
    assert (verdict.kinds, verdict.rejected) == ({"browse": 1, "cart": 1}, 0)


def test_a_log_of_tab_separated_values_has_no_head(tmp_path: Path) -> None:
    (line,) = (example.record for example in EXAMPLES if example.name == "line-of-a-transaction")
    verdict = judge(log_file(written(tmp_path, f"{line}\n{line}\n".encode())), "snowplow", "events")
    assert (verdict.accepted, verdict.rejected) == (4, 0)


@pytest.mark.parametrize(
    ("content", "form", "detail"),
    [
        (
            "u,i,1,lor\xe9al".encode("cp1252"),
            "personalize",
            "the line is no CSV in UTF-8: byte 10, behind 'u,i,1,lor', is",
        ),
        (LOG.encode("utf-16"), "rees46", "the line is no CSV in UTF-8: it seems to be UTF-16; send UTF-8"),
        (
            '{"a": "\xe9"}'.encode("cp1252"),
            "ubi",
            'not JSON: byte 8, behind \'{"a": "\', is 0xe9; send UTF-8 (from Windows:',
        ),
        ('{"a": 1}'.encode("utf-16"), "ga4", "not JSON: it seems to be UTF-16; send UTF-8"),
        (b"event_time,event_type", "ubi", "not JSON: unexpected character"),
        (b"x\ty", "snowplow", "the line has 2 cells: 'x\\ty'; send 131 parted by tabs: app_id,platform,"),
        (b'u,i,"1', "personalize", "the line is no CSV: 'u,i,\"1': unexpected end of data; close each quote"),
    ],
)
def test_what_is_wrong_with_bytes_is_told_with_the_remedy(
    content: bytes, form: str, detail: str, tmp_path: Path
) -> None:
    verdict = judge(log_file(written(tmp_path, content)), form, "events")
    assert verdict.offenders[0].detail.startswith(detail)


def test_an_event_without_a_time_happened_now_where_its_format_says_so(tmp_path: Path) -> None:
    request = b'{"client_id":"c","events":[{"name":"search","params":{"search_term":"boots"}}]}'
    log = written(tmp_path, request)
    assert judge(log_file(log), "ga4", "events", now_ms=1_767_312_000_000).rejected == 0
    assert judge(log_file(log), "ga4", "events").offenders[0].detail == "events[0].timestamp_micros is missing"
    assert invoke(["validate", str(log), "--format", "ga4"]) == Exit.DONE
    kept = b'{"event_time":"","event_type":"view","product_id":"i","user_id":"u"}'
    verdict = judge(log_file(written(tmp_path, kept)), "rees46", "events", now_ms=1_767_312_000_000)
    assert verdict.offenders[0].detail == "event_time is missing"


def zstd(content: bytes) -> bytes:
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(content)
    return bytes(packed.getvalue())


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_a_packed_log_is_read(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    assert judge(log_file(written(tmp_path, pack(LOG.encode()))), "rees46", "events").lines == 6


def test_a_log_that_breaks_off_says_so(tmp_path: Path) -> None:
    verdict = judge(log_file(written(tmp_path, gzip.compress(LOG.encode())[:-9])), "rees46", "events")
    assert "the file breaks off" in verdict.reasons


def test_only_the_first_offenders_are_kept(tmp_path: Path) -> None:
    verdict = judge(log_file(written(tmp_path, b"{}\n" * 100)), "common", "events")
    assert (verdict.rejected, len(verdict.offenders)) == (100, OFFENDERS)


@pytest.mark.parametrize(
    ("line", "subject", "accepted"),
    [
        ('{"event_id":"e","user_id":"u","kind":"click","item_id":"i","at":1700000000000}', "events", 1),
        ('{"event_id":"e","user_id":"u","kind":"cart","at":1700000000000}', "events", 0),
        ('{"key":"i","value":null}', "items", 1),
        ('{"item_id":"i","title":"Boots"}', "items", 1),
        ('{"item_id":"i","price":3}', "items", 0),
    ],
)
def test_the_contracts_own_form_is_judged_as_the_worker_does(
    line: str, subject: str, accepted: int, tmp_path: Path
) -> None:
    path = written(tmp_path, line.encode())
    code = invoke(["validate", str(path), "--subject", subject, "--json"])
    assert code == (Exit.DONE if accepted else Exit.BAD_INPUT)


def test_the_command_ends_with_1_where_something_is_rejected_and_tells_the_line_and_the_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(tmp_path, LOG.encode()))
    assert invoke(["validate", path, "--format", "rees46"]) == Exit.BAD_INPUT
    told = capsys.readouterr().out
    assert "line 5: price is 'dear'; send a number" in told
    assert "passed over, no behaviour: remove_from_cart" in told
    assert invoke(["validate", path, "--format", "rees46", "--json"]) == Exit.BAD_INPUT
    assert json.loads(capsys.readouterr().out)["offenders"][1]["field"] == "product_id"


def test_standard_input_is_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(LOG.encode()))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert judge(log_file(STDIN), "rees46", "events").lines == 6
