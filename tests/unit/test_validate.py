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

HEAD = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
VIEW = "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde"
CART = VIEW.replace("view", "cart")
REMOVED = VIEW.replace("view", "remove_from_cart")
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
    assert told[2][2].startswith("the line has 2 cells; send 9: event_time,")


def test_a_log_without_a_head_has_the_formats_own_order_and_one_with_another_order_its_own(tmp_path: Path) -> None:
    bare = judge(log_file(written(tmp_path, VIEW.encode())), "rees46", "events")
    assert (bare.accepted, bare.rejected) == (1, 0)
    turned = "\n".join(",".join(reversed(line.split(","))) for line in (HEAD, VIEW))
    assert judge(log_file(written(tmp_path, turned.encode())), "rees46", "events").accepted == 1


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
