"""What the log says, in both forms, and what it keeps to itself."""

import io
import logging
import logging.config
import subprocess
import sys
from collections.abc import Iterator
from typing import Literal

import orjson
import pytest

from stream.errors import Unreachable
from stream.logs import config, hashed, use_key

TYPED = "a present for my sister"
KEY = b"0123456789abcdef"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def said(form: Literal["text", "json"], level: str, error: Exception) -> str:
    """The log of a bug and of a plain line."""
    logging.config.dictConfig(config(form, level))
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    out = io.StringIO()
    handler.setStream(out)
    log = logging.getLogger("firstclick.test")
    log.info("ready: %d items", 3)
    try:
        raise error
    except Exception as raised:
        log.exception("it ends: %s", raised)
    return out.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_unforeseen_error_is_told_by_type_and_place_and_only_debug_quotes_it(form: Literal["text", "json"]) -> None:
    told = said(form, "info", ValueError(TYPED))
    assert TYPED not in told
    assert "it ends: ValueError" in told
    assert "test_logs.py" in told
    assert TYPED in said(form, "debug", ValueError(TYPED))


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_foreseen_error_says_what_to_do(form: Literal["text", "json"]) -> None:
    assert "it ends: no broker; check --bootstrap" in said(form, "info", Unreachable("no broker", "check --bootstrap"))


def test_json_is_an_object_a_line() -> None:
    first, second = map(orjson.loads, said("json", "info", ValueError("x")).splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("info", "firstclick.test", "ready: 3 items")
    assert first["at"].endswith("+00:00")
    assert second["traceback"].endswith("ValueError")


def test_below_its_level_nothing_is_said() -> None:
    assert "ready" not in said("text", "warning", ValueError("x"))


def test_a_user_is_told_by_the_same_hash_wherever_the_key_is_and_never_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.logs._key", b"")  # Set back afterwards, whatever `use_key` has set.
    use_key(KEY)
    told = hashed("ada@example.org")
    assert told == hashed("ada@example.org") != hashed("ada@example.com")
    assert "ada" not in told
    assert hashed("\ud800")  # However broken.
    use_key(KEY[::-1])
    assert hashed("ada@example.org") != told


def test_without_a_key_every_process_has_its_own_and_no_list_of_ids_tells_who_is_who() -> None:
    program = "from stream.logs import hashed; print(hashed('ada@example.org'))"
    two = {subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout for _ in range(2)}
    assert len(two) == 2
    assert {len(told.strip()) for told in two} == {len("user-") + 12}
