"""The command `firstclick`: what it tells, how it ends, and that it starts fast."""

import importlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.cli import firstclick, invoke
from stream.errors import CODES, BadInput, Exit, NotAllowed, Unreachable, WrongUsage, exit_code, one_line
from stream.options import Moment, SettingsCommand
from stream.settings import Settings


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    heavy = ["aiohttp", "faust", "confluent_kafka", "onnxruntime", "numpy", "pydantic", "rich", "torch", "pandas"]
    script = "import sys; from stream.cli import invoke; invoke(['--help']); "
    script += f"print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names = ("broker", "contract", "demo", "doctor", "dump", "log", "model", "recommend", "replay", "serve", "topics")
    for name in (*names, "validate", "watch", "worker"):
        assert f"\n  {name}" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"


def commands(group: click.Group = firstclick, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_and_option_says_what_it_is_for(name: str, command: click.Command) -> None:
    context = click.Context(command)
    assert not command.get_short_help_str(80).endswith("..."), "the list of commands would cut it off"
    for param in command.get_params(context):
        if isinstance(param, click.Option):
            told = (param.help or "").split("[default:")[0]
            assert told.strip(), f"firstclick {name} {param.opts[0]}"


def test_every_setting_is_an_option_of_the_worker_under_its_groups_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["worker", "--help"]) == Exit.DONE
    told = capsys.readouterr().out
    lines = told.splitlines()
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        group = next(at for at, line in enumerate(lines) if line == f"{extra['group']}:")
        option = next(at for at, line in enumerate(lines) if line.split()[:1] == ["--" + name.replace("_", "-")])
        assert option > group
        assert not any(line and not line.startswith(" ") for line in lines[group + 1 : option]), name


def test_the_command_line_beats_the_environment_and_this_the_file_and_this_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "worker.toml"
    config.write_text('group = "file"\nitems = "file"\nbootstrap = "file:1"\n')
    monkeypatch.setenv("FIRSTCLICK_GROUP", "environment")
    monkeypatch.setenv("FIRSTCLICK_ITEMS", "environment")
    started: list[Settings] = []

    def start(toml: Path | None, **given: str | None) -> None:
        started.append(Settings.load(toml, **{name: value for name, value in given.items() if value is not None}))

    command = SettingsCommand("worker", callback=start)
    command.main(["--config", str(config), "--group", "line", "--events", "a,b"], standalone_mode=False)
    (settings,) = started
    assert (settings.group, settings.items, settings.bootstrap) == ("line", "environment", "file:1")
    assert (settings.events, settings.wait_ms) == (("a", "b"), Settings.model_fields["wait_ms"].default)


def test_a_default_is_told_once() -> None:
    command = firstclick.commands["worker"]
    assert isinstance(command, SettingsCommand)
    for param in command.get_params(click.Context(command)):
        told = getattr(param, "help", "") or ""
        assert told.lower().count("default:") <= 1, told


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--version"], Exit.DONE, "firstclick 0."),
        (["nonsense"], Exit.USAGE, "No such command"),
        (["worker", "--nonsense"], Exit.USAGE, "--nonsense"),
        (["worker", "--batch-events", "0"], Exit.USAGE, "--batch-events"),
        (["worker", "--device", "tpu"], Exit.USAGE, "--device"),
        (["worker", "--guarantee", "perhaps"], Exit.USAGE, "--guarantee"),
        (["worker", "--kafka", "[1]"], Exit.USAGE, "JSON object"),
        (["worker", "--config", "/nowhere.toml"], Exit.USAGE, "/nowhere.toml"),
        (["topics", "--bundle", "/nowhere"], Exit.USAGE, "/nowhere"),
        (["replay", "/nowhere.jsonl", "--to", "events"], Exit.USAGE, "/nowhere.jsonl"),
        (["demo", "--seconds", "-1"], Exit.USAGE, "--seconds"),
        (["recommend"], Exit.USAGE, "--user"),
        (["serve", "--state", "disk"], Exit.USAGE, "--state disk; give `memory`, or `sqlite:`"),
        (["serve", "--port", "99999"], Exit.USAGE, "--port"),
        (["dump", "--topic", "events", "--from", "yesterday"], Exit.USAGE, "yesterday is no time"),
        (["dump", "--topic", "events", "--from", "1969-12-31"], Exit.USAGE, "1969-12-31 is before 1970, where Kafka's"),
        (["log", "--topic", "t", "--to", "0001-01-01"], Exit.USAGE, "0001-01-01 is before 1970"),
        (["log", "--topic", "t", "--to", "1795564800000000000"], Exit.USAGE, "after the year 9999; write milliseconds"),
        (["dump", "--topic", "events", "--from", "2027-01-01", "--to", "2026-01-01"], Exit.USAGE, "--to 2026-01-01"),
        (["log"], Exit.USAGE, "neither FILES nor --topic; name"),
        (["train", "--out", "o"], Exit.USAGE, "neither --log nor --topic; name"),
        (["train", "--log", "f", "--out", "FILE"], Exit.USAGE, "'--out': FILE is a file; name a folder"),
        (["train", "--log", "f", "--out", "FILE/new"], Exit.USAGE, "'--out': FILE/new cannot be written: FILE takes"),
        (["train", "--log", "f", "--out", "."], Exit.USAGE, "'--out': . is there and is no bundle: it will not be"),
        (["train", "--log", "f", "--out", "o", "--checkpoints", "FILE"], Exit.USAGE, "'--checkpoints': FILE is a"),
        (["train", "--log", "f", "--out", "o", "--threads", "100000"], Exit.USAGE, "--threads"),
        (["train", "--log", "f", "--out", "o", "--device", "tpu"], Exit.USAGE, "'tpu': give cpu, cuda or cuda:1"),
        (["evaluate", "--log", "f", "--device", "cuda:x"], Exit.USAGE, "'cuda:x': give cpu, cuda or cuda:1"),
        (["evaluate", "--log", "f", "--seed", "-1"], Exit.USAGE, "--seed"),
        (["tune", "--log", "f", "--storage", "FILE"], Exit.USAGE, "'--storage': FILE holds something else; name"),
        (["tune", "--log", "f", "--storage", "/nowhere/t"], Exit.USAGE, "'--storage': /nowhere is no folder; make it"),
        (["evaluate", "--log", "f", "--out", "FILE"], Exit.USAGE, "'--out': FILE is a file; name a folder"),
        (["contract", "--out", "FILE"], Exit.USAGE, "'--out': FILE is a file; name a folder"),
        (["contract", "--out", "/proc/new"], Exit.USAGE, "'--out': /proc/new cannot be written: /proc takes no folder"),
        (["model", "init", "--encoder", "e", "--out", "FILE"], Exit.USAGE, "'--out': FILE is a file; name a folder"),
        (["model", "init", "--encoder", "/nowhere"], Exit.USAGE, "--encoder /nowhere is no folder and no installed"),
        (["train", "--log", "f", "--out", "o", "--encoder", "/nowhere"], Exit.USAGE, "--encoder /nowhere is no folder"),
        (["train", "--log", "f", "--out", "o", "--encoder", "."], Exit.USAGE, "--encoder . lacks model.safetensors"),
        (["tune"], Exit.USAGE, "neither --log nor --topic; name"),
        (["evaluate", "--baselines", "none", "/"], Exit.USAGE, "neither --log nor --topic; name"),
        (["log", "f", "--topic", "t"], Exit.USAGE, "both FILES and --topic; give one"),
        (["log", "f", "--from", "2026-01-01"], Exit.USAGE, "--from without --topic; "),
        (["log", "--topic", "t", "--items", "f", "--items-topic", "i"], Exit.USAGE, "both --items and --items-topic"),
        (["log", "--topic", "t", "--format", "common"], Exit.USAGE, "name a topic as clicks:ga4"),
        (["log", "--topic", "t:ga5"], Exit.USAGE, "t:ga5: no format is called ga5; known are common, "),
        (
            ["train", "--out", "o", "--topic", "t", "--topic", "t:ga4"],
            Exit.USAGE,
            "--topic t twice; name each",
        ),
        (["dump", "--topic", "t:ga5"], Exit.USAGE, "t:ga5: no format is called ga5; known are common, "),
        (
            ["dump", "--topic", "t:ga4", "--subject", "items"],
            Exit.USAGE,
            "--topic t:ga4 with --subject items",
        ),
        (["tune", "--topic", "t", "--to", "1970-01-01"], Exit.USAGE, "--from 1970-01-01T00:00:00Z is not"),
        (["log", "/nowhere.jsonl"], Exit.BAD_INPUT, "/nowhere.jsonl"),
        (["log", "/nowhere.jsonl", "--format", "csv"], Exit.USAGE, "amazon2018"),
    ],
)
def test_wrong_usage_is_told_in_a_line(
    arguments: list[str],
    code: Exit,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "FILE").write_text("no folder")
    monkeypatch.chdir(tmp_path)
    assert invoke(arguments) == code
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    assert "Traceback" not in captured.err


def test_several_processes_read_a_file_and_no_topic(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert invoke(["log", "--topic", "clicks"]) == Exit.USAGE
    assert "`firstclick dump`" in capsys.readouterr().err


def test_an_unknown_name_in_the_toml_file_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "worker.toml"
    config.write_text("batch_evnts = 5\n")
    assert invoke(["worker", "--config", str(config)]) == Exit.USAGE
    assert "--batch-evnts" in capsys.readouterr().err


def test_a_broken_toml_file_is_wrong_usage(tmp_path: Path) -> None:
    config = tmp_path / "worker.toml"
    config.write_text("batch_events = = 5\n")
    assert invoke(["worker", "--config", str(config)]) == Exit.USAGE


def test_only_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--debug", "topics", "--bundle", "/nowhere"]) == Exit.USAGE
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan", "inf"])
def test_a_speed_is_max_or_a_number_above_0(speed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("{}\n")
    assert invoke(["replay", str(log), "--to", "events", "--check", "--speed", speed]) == Exit.USAGE
    assert "--speed" in capsys.readouterr().err


GOOD = '{"event_id":"e","user_id":"u","kind":"click","item_id":"i","at":1700000000000}'


@pytest.mark.parametrize(
    ("line", "code"), [(GOOD, Exit.DONE), ('{"user_id": "u"}', Exit.BAD_INPUT), ("not JSON", Exit.BAD_INPUT)]
)
def test_a_check_ends_with_1_where_a_line_is_bad(line: str, code: Exit, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(line + "\n")
    assert invoke(["replay", str(log), "--to", "events", "--check"]) == code


@pytest.mark.parametrize(
    ("written", "at_ms"),
    [
        ("2026-11-25", 1_795_564_800_000),
        ("20261125", 1_795_564_800_000),
        ("2026-11-25T01:00:00", 1_795_568_400_000),
        ("2026-11-25T01:00:00.5Z", 1_795_568_400_500),
        ("2026-11-25T01:00:00+01:00", 1_795_564_800_000),
        ("1795564800000", 1_795_564_800_000),
        ("1970-01-01", 0),
        ("9999-12-31T23:59:59.999", 253_402_300_799_999),
    ],
)
def test_times_are_written_as_dates_or_in_milliseconds(written: str, at_ms: int) -> None:
    assert Moment().convert(written, None, None) == at_ms


def test_a_log_is_told_of_as_a_table_or_as_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"user_id": "u", "item_id": "a", "type": "view", "timestamp": 1_700_000_000}
    (tmp_path / "events.jsonl").write_text(f"{json.dumps(row)}\nnonsense\n")
    assert invoke(["log", str(tmp_path), "--format", "common"]) == Exit.DONE
    assert "events.jsonl:2" in capsys.readouterr().out
    assert invoke(["log", str(tmp_path), "--format", "common", "--json"]) == Exit.DONE
    told = json.loads(capsys.readouterr().out)
    assert (told["events"], told["rejected"], told["kinds"]) == (1, {"not_json": 1}, {"click": 1})


def test_a_file_of_items_that_holds_none_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_bytes(b'{"event_id":"e","user_id":"u","item_id":"i","kind":"click","at":1700000000000}')
    (tmp_path / "items").write_bytes(bytes(range(256)))
    assert invoke(["log", str(tmp_path / "log"), "--items", str(tmp_path / "items")]) == Exit.BAD_INPUT
    assert "items holds no item of the form firstclick: none of its 2 lines is one" in capsys.readouterr().err
    (tmp_path / "items").write_bytes(b"")
    assert invoke(["log", str(tmp_path / "log"), "--items", str(tmp_path / "items")]) == Exit.BAD_INPUT
    assert "items holds no item: it is empty" in capsys.readouterr().err
    (tmp_path / "items").write_bytes(b'{"item_id":"i","title":"t"}\nno JSON\n')
    assert invoke(["log", str(tmp_path / "log"), "--items", str(tmp_path / "items")]) == Exit.DONE


def test_every_class_in_the_table_exists() -> None:
    for name in CODES:
        module, _, attribute = name.rpartition(".")
        module = {"cimpl": "confluent_kafka.cimpl"}.get(module, module)  # As the C extension calls itself.
        assert isinstance(getattr(importlib.import_module(module), attribute), type), name


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("x"), Exit.BAD_INPUT),
        (WrongUsage("x"), Exit.USAGE),
        (Unreachable("x"), Exit.UNREACHABLE),
        (NotAllowed("x"), Exit.UNREACHABLE),
        (click.UsageError("x"), Exit.USAGE),
        (click.Abort(), Exit.INTERRUPTED),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), Exit.UNREACHABLE),
        (ConnectionRefusedError("x"), Exit.UNREACHABLE),
        (FileNotFoundError("x"), Exit.USAGE),
        (tomllib.TOMLDecodeError("x"), Exit.USAGE),
        (ZeroDivisionError("x"), Exit.BUG),
        (KeyError("x"), Exit.BUG),
    ],
)
def test_every_error_has_its_code_and_one_line(error: BaseException, code: Exit) -> None:
    assert exit_code(error) is code
    assert one_line(error)
    assert "\n" not in one_line(error)


def test_a_foreseen_error_names_the_remedy_and_a_bug_says_that_it_is_one() -> None:
    assert one_line(Unreachable("no broker at x", "check --bootstrap")) == "no broker at x; check --bootstrap"
    assert "a bug in firstclick (KeyError: 'x')" in one_line(KeyError("x"))
    missing = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert exit_code(missing) is Exit.USAGE
    assert "pip install 'firstclick[train]'" in one_line(missing)
    assert exit_code(ModuleNotFoundError("No module named 'ours'", name="ours")) is Exit.BUG
