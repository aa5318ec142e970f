"""Beside the line: a setting becomes an option of the command line, under its group's heading.

Knows nothing of what the settings mean, nor of commands. Values are passed on as text: the settings themselves say what
is right, wherever a value comes from.
"""

import enum
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

import click

from stream.errors import WrongUsage

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from stream.settings import Settings


class Bootstrap(click.Option):
    """`--bootstrap`, the same in all commands that only need a broker."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(
            ["--bootstrap"],
            envvar="FIRSTCLICK_BOOTSTRAP",
            default="localhost:9092",
            show_default=True,
            help="Brokers to ask first, host:port, comma-separated.  [env: FIRSTCLICK_BOOTSTRAP]",
        )


class ClientProperties(click.ParamType):
    """Further librdkafka properties, a file or a JSON object, as the worker's `--kafka` takes them."""

    name = "FILE|JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The properties, with their secrets."""
        from stream.client import resolved, told_properties

        source = ctx.get_parameter_source(param.name) if ctx and param and param.name else None
        return dict(resolved(told_properties(value, typed=source is click.core.ParameterSource.COMMANDLINE)))


MOST_THREADS = 1024
"""Of a process; onnxruntime ends with a million, and says nothing."""
SEED = click.IntRange(0, 2**31 - 1)
"""What NumPy, torch and Optuna all take."""

WHITEN = click.option(
    "--whiten/--no-whiten",
    default=True,
    show_default=True,
    help="Spread the encoder's vectors over this shop's products: in what they differ weighs more than what all share. "
    "A fleet encodes its catalogue anew after that; a bundle that is spread already is left so by `train`.",
)


class ModelName(click.ParamType):
    """What a model's name begins with: refused here, not after an hour of training."""

    name = "TEXT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself."""
        from model.bundle import NAME

        if not NAME.fullmatch(value):
            self.fail(f"{value!r}: send 1 to 64 of a-z, 0-9 and '-'; it becomes part of a topic's name", param, ctx)
        return str(value)


class Device(click.ParamType):
    """What computes: its name is refused at once, one that is not there when it is asked for."""

    name = "DEVICE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself."""
        from stream.settings import DEVICE

        if not re.fullmatch(DEVICE, value):
            self.fail(f"{value!r}: give cpu, cuda or cuda:1", param, ctx)
        return str(value)


LAST_MS = 253_402_300_799_999
"""The end of the year 9999, and of the dates that can be written."""


class Moment(click.ParamType):
    """A time, as milliseconds since 1970: such a number, or a date or time of ISO 8601, in UTC unless it says other."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The milliseconds."""
        from datetime import UTC, datetime

        if isinstance(value, int):
            return value
        if value.isascii() and value.isdecimal() and len(value) > 8:  # 20261125 is a date.
            at_ms = int(value)
        else:
            try:
                read = datetime.fromisoformat(value)
            except ValueError:
                self.fail(f"{value} is no time; write 2026-11-25, 2026-11-25T09:30:00Z, or milliseconds", param, ctx)
            since = (read if read.tzinfo else read.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
            at_ms = round(since.total_seconds() * 1000)
        if at_ms < 0:  # Kafka reads these as places: -1 is a topic's end, -2 its beginning.
            self.fail(f"{value} is before 1970, where Kafka's times begin; write 1970-01-01 or later", param, ctx)
        if at_ms > LAST_MS:
            self.fail(f"{value} is after the year 9999; write milliseconds since 1970, not a finer unit", param, ctx)
        return at_ms


def between(from_ms: int, to_ms: int | None) -> tuple[int, int | None]:
    """The two times of `time_options`; without the second a topic is read to its end, whatever its producers' clocks.

    Raises:
        WrongUsage: the one is not before the other.
    """
    if to_ms is not None and from_ms >= to_ms:
        given = f"--from {_written(from_ms)} is not before --to {_written(to_ms)}"
        raise WrongUsage(given, "give an earlier --from or a later --to")
    return from_ms, to_ms


def _written(at_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


class SettingsCommand(click.Command):
    """A command with one option for each field of `Settings`, under the headings of their groups."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The options, made of the settings when first asked for: importing those takes longer than all of `--help`."""
        if not any(isinstance(param, SettingOption) for param in self.params):
            from stream.settings import Settings

            config = click.Option(
                ["--config", "toml"],
                envvar="FIRSTCLICK_CONFIG",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="TOML file with any of these settings.  [env: FIRSTCLICK_CONFIG]",
            )
            self.params += [config, *(_option(name, field) for name, field in Settings.model_fields.items())]
        return super().get_params(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options under their groups' headings."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            told = param.get_help_record(ctx)
            if told is not None:
                groups.setdefault(getattr(param, "group", "Options"), []).append(told)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def settings_of(toml: Path | None, given: Mapping[str, Any]) -> "Settings":
    """The settings that a `SettingsCommand` was called with.

    Args:
        toml: the file of --config.
        given: the other options, None where not given.
    """
    from stream.client import told_properties
    from stream.settings import Settings

    told = {name: value for name, value in given.items() if value is not None}
    if "kafka" in told:
        told["kafka"] = told_properties(told["kafka"], typed=True)
    if urlsplit(str(told.get("registry", ""))).password:
        remedy = "set FIRSTCLICK_REGISTRY, or registry in the file of --config"
        raise WrongUsage("--registry holds a secret, and every user of this machine can read it here", remedy)
    if not str(told.get("log_key", "file:")).startswith(("file:", "env:")):
        remedy = "write file:PATH or env:NAME for it, or set FIRSTCLICK_LOG_KEY"
        raise WrongUsage("--log-key holds a secret, and every user of this machine can read it here", remedy)
    return Settings.load(toml, **told)


class SettingOption(click.Option):
    """An option that stands for one setting, and the heading that it is listed under."""

    group = "Options"


def _option(name: str, field: "FieldInfo") -> SettingOption:
    """The setting's option."""
    extra = field.json_schema_extra
    flag = "--" + name.replace("_", "-")
    switch = field.annotation is bool
    option = SettingOption(
        [f"{flag}/--no-{flag[2:]}" if switch else flag, name],
        default=None,
        metavar=None if switch else _metavar(field.annotation),
        help=_text(field),
    )
    option.group = str(extra.get("group", "Options")) if isinstance(extra, dict) else "Options"
    return option


def _metavar(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return "|".join(str(choice) for choice in get_args(annotation))
    if origin in (Union, types.UnionType):
        return _metavar(next(kind for kind in get_args(annotation) if kind is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "|".join(str(member.value) for member in annotation)
    names = {int: "N", float: "NUMBER", Path: "PATH", tuple: "A,B", list: "A,B", dict: "JSON"}
    return names.get(origin or annotation, "TEXT")


def _text(field: "FieldInfo") -> str:
    text, default = field.description or "", field.default
    if isinstance(default, tuple | list):
        default = ",".join(map(str, default))
    return text if "Default:" in text or default in ("", None, {}) else f"{text}  [default: {default}]"


def kafka_options(command: Any) -> Any:
    """Decorates a command with `--bootstrap` and `--kafka`."""
    kafka = click.option(
        "--kafka",
        type=ClientProperties(),
        envvar="FIRSTCLICK_KAFKA",
        default="{}",
        help="Further librdkafka properties, such as TLS and SASL: a file of name=value lines, or JSON; secrets as "
        "file:PATH or env:NAME.  [env: FIRSTCLICK_KAFKA]",
    )
    return click.option("--bootstrap", cls=Bootstrap)(kafka(command))


def time_options(command: Any) -> Any:
    """Decorates a command that reads a topic with `--from` and `--to`; see `between`."""
    first = click.option(
        "--from",
        "from_ms",
        type=Moment(),
        default="1970-01-01",
        show_default=True,
        help="Records of this Kafka time and later: 2026-11-25, 2026-11-25T09:30:00Z, or ms since 1970.",
    )
    last = click.option(
        "--to", "to_ms", type=Moment(), help="Records before this Kafka time.  [default: all that is there]"
    )
    return first(last(command))


class EventTopic(click.ParamType):
    """A topic of events, perhaps with the format of its records: clicks:ga4, as the worker's `--events` takes it."""

    name = "TOPIC[:FORMAT]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same, once there is such a format."""
        from model.formats import NAMES
        from stream.settings import split_format

        _, form = split_format(value)
        if form not in NAMES:
            self.fail(f"{value}: no format is called {form}; known are {', '.join(NAMES)}", param, ctx)
        return str(value)


def topic_options(command: Any) -> Any:
    """Decorates a command that reads a log with what it needs to read topics instead of files."""
    topic = click.option(
        "--topic",
        "topics",
        multiple=True,
        type=EventTopic(),
        help="Read this topic of events instead of files; may be repeated. Of another format: clicks:ga4.",
    )
    items = click.option(
        "--items-topic",
        default="items",
        show_default=True,
        help="With --topic: the topic of its products, read whole; '' for none.",
    )
    return topic(items(time_options(kafka_options(command))))


LOG_FORMATS = ("firstclick", "common", "amazon2018", "amazon2023", "recbole", "movielens", "journey")
"""As in `model.training.logs.forms`, which a test compares: to import it would slow down every `--help`."""


def format_option(command: Any) -> Any:
    """Decorates a command with `--format`."""
    told = "Form of the files. firstclick: JSON lines, as the topics carry them. common: flat JSON lines of user_id, "
    told += "item_id, type, timestamp. The others are of public data sets."
    choice = click.Choice(LOG_FORMATS)
    return click.option("--format", "log_format", type=choice, default="firstclick", show_default=True, help=told)(
        command
    )


def split_option(command: Any) -> Any:
    """Decorates a command with `--split`."""
    told = "What is kept from training to choose (valid) and to judge (test): the last two products of each user, "
    told += "or the file's own parts where it has some; or the last two tenths of the events."
    choice = click.Choice(["leave-one-out", "time"])
    return click.option("--split", "how", type=choice, default="leave-one-out", show_default=True, help=told)(command)


LOG_FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path)
"""A log; - is standard input."""


def any_format_option(command: Any) -> Any:
    """Decorates a command that reads events or products of any format with `--format`."""
    from model.formats import NAMES

    choice = click.Choice(list(dict.fromkeys(("firstclick", *NAMES, *LOG_FORMATS))))
    told = "What wrote the lines: firstclick is the contract of the topics; the others are translated."
    return click.option("--format", "form", type=choice, default="firstclick", show_default=True, help=told)(command)
