"""Before and beside the line: the command `firstclick`.

Knows nothing of how anything is done. What a command needs is imported when it runs, so that `--help` answers at once.
How each command ends is one table in `errors.py`.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from stream.cli_consume import recommend, serve, watch
from stream.cli_model import export, model
from stream.cli_offline import evaluate, read_told
from stream.cli_train import train, tune
from stream.errors import Exit, Unreachable, WrongUsage, exit_code, one_line
from stream.options import (
    LOG_FORMATS,
    ClientProperties,
    SettingsCommand,
    between,
    kafka_options,
    time_options,
    topic_options,
)

if TYPE_CHECKING:
    from model.training.logs.forms import Format

WIDTH = 110
DEMO_MODEL = "The worker's model.  [default: the one trained on this shop, where `make install` has put it together]"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH})
@click.version_option(metadata.version("firstclick"), message="firstclick %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of whatever ends the command.")
@click.pass_context
def firstclick(ctx: click.Context, debug: bool) -> None:
    """Recommendations from the first click: behaviour events in, refreshed lists and interest vectors out, over Kafka.

    Every command ends with 0: done, 1: bad input found, 2: wrong usage, 3: cannot reach or not allowed, 70: a bug,
    130: interrupted.
    """
    ctx.ensure_object(dict)["debug"] = debug


@firstclick.command(short_help="Run the embedded broker.")
@click.option("--port", default=9092, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
def broker(port: int) -> int:
    """Run the embedded broker in the foreground: in memory, for this machine, at least once. Ctrl-C ends it."""
    from stream.demo.broker import serve

    serve(port)
    return Exit.DONE


@firstclick.command(short_help="Check or create all topics.")
@kafka_options
@click.option("--apply", "change", is_flag=True, help="Create what is missing and set what differs. Else only tell.")
@click.option(
    "--events", default="clicks,browses,reviews,events", show_default=True, help="Topics of behaviour events."
)
@click.option("--items", default="items", show_default=True, help="Topic of product upserts.")
@click.option("--partitions", type=click.IntRange(1, 10_000), help="Of each topic. Default: as those there, else 4.")
@click.option(
    "--bundle", type=click.Path(path_type=Path), envvar="FIRSTCLICK_BUNDLE", help="Names the catalogue topic."
)
def topics(
    bootstrap: str, kafka: dict[str, Any], change: bool, events: str, items: str, partitions: int | None, bundle: Path
) -> int:
    """Check all topics: existence, partitions, copies, clean-up. Changes nothing without --apply.

    Ends with 0 where all is right, 1 where something differs.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    from model.bundle import DEFAULT_BUNDLE, Bundle
    from stream import topics as shapes

    space = Bundle.load(bundle or DEFAULT_BUNDLE).space
    names = tuple(name.strip() for name in events.split(",") if name.strip())
    wanted = shapes.shapes(space, events=names, items=items, partitions=partitions or 0)
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, **kafka})
    try:
        differences = shapes.check(admin, wanted)
        for difference in differences:
            click.echo(difference)
        open_ = [difference for difference in differences if difference.what != "untold"]
        if change:
            done = shapes.apply(admin, wanted)
            click.echo(f"put right: {len(done)} of {len(open_)} differences, {len(wanted)} topics")
            return Exit.DONE
    except KafkaException as error:
        raise Unreachable(
            f"the brokers at {bootstrap} do not answer ({error.args[0].name()})", "check --bootstrap"
        ) from error
    if open_:
        click.echo("nothing changed; --apply creates what is missing and sets what can be set", err=True)
        return Exit.BAD_INPUT
    click.echo(f"{len(wanted)} topics are as they should be")
    return Exit.DONE


@firstclick.command(short_help="Feed a log to a topic.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@kafka_options
@click.option("--to", "topic", required=True, metavar="TOPIC", help="events, items, or any topic.")
@click.option("--format", "form", type=click.Choice(LOG_FORMATS), default="firstclick", show_default=True)
@click.option(
    "--subject", type=click.Choice(["events", "items"]), help="What the lines are.  [default: items for --to items]"
)
@click.option(
    "--speed", default="max", show_default=True, help="Times real time by the events' own times; 1: real time."
)
@click.option(
    "--name",
    help="Names the log in the ids made for events of other forms than firstclick.  [default: the file's name]",
)
@click.option("--resume", type=click.IntRange(1), metavar="LINE", help="Begin at this line.")
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), help="A file that remembers where to go on.")
@click.option("--check", is_flag=True, help="Only parse; send nothing.")
def replay(
    file: Path,
    bootstrap: str,
    kafka: dict[str, Any],
    topic: str,
    form: "Format",
    subject: Literal["events", "items"] | None,
    speed: str,
    name: str | None,
    resume: int | None,
    state: Path | None,
    check: bool,
) -> int:
    """Feed a log, one file of any form and perhaps gzipped, to a topic, with key and headers.

    The last line on stdout is one JSON object: delivered, refused (with reasons), failed, next_line. Ends with 1 where
    a line was refused, 3 where the broker did not take one. Sending a line twice changes nothing: event ids stay.
    """
    from stream import replay as replaying

    if resume and state and state.exists():
        raise WrongUsage("--resume and --state both say where to begin", "give one of them")
    plan = replaying.Plan(
        file=file,
        topic=topic,
        form=form,
        subject=subject or ("items" if topic == "items" else "events"),
        name=name or file.name.removesuffix(".gz").removesuffix(".jsonl"),
        speed=_speed(speed),
        first_line=resume or 1,
        state=state,
        only_check=check,
    )
    report, why_failed = replaying.replay(plan, {"bootstrap.servers": bootstrap, **kafka})
    click.echo(report.line())
    if report.interrupted or report.failed:
        click.echo(f"to go on: the same command with --resume {report.next_line}", err=True)
    if report.failed:
        raise Unreachable(f"{report.failed} records failed: {why_failed or 'the broker does not answer'}")
    if report.interrupted:
        return Exit.INTERRUPTED
    return Exit.BAD_INPUT if report.refused else Exit.DONE


def _speed(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        times = float(speed)
    except ValueError:
        times = 0.0
    if not 0 < times < float("inf"):
        raise WrongUsage(f"--speed {speed}", "give `max` or a number above 0")
    return times


@firstclick.command(short_help="Take a topic between two times as a log.")
@kafka_options
@click.option("--topic", required=True, help="events, items, or any topic.")
@time_options
@click.option("--subject", type=click.Choice(["events", "items"]), help="[default: items for --topic items]")
def dump(
    bootstrap: str,
    kafka: dict[str, Any],
    topic: str,
    from_ms: int,
    to_ms: int,
    subject: Literal["events", "items"] | None,
) -> int:
    """Write a topic's committed records between two times to stdout, a line each: a log of the form `firstclick`.

    Times are Kafka's own, written 2026-11-25, 2026-11-25T09:30:00Z, or in milliseconds since 1970.
    """
    from stream.dump import records

    owner = "item_id" if (subject or topic) == "items" else "user_id"
    lines = 0
    for line in records({"bootstrap.servers": bootstrap, **kafka}, topic, *between(from_ms, to_ms), owner):
        sys.stdout.buffer.write(line + b"\n")
        lines += 1
    sys.stdout.flush()
    click.echo(f"{lines} records of {topic}", err=True)
    return Exit.DONE


@firstclick.command(short_help="Tell what a log is worth.")
@click.argument("logs", nargs=-1, type=click.Path(path_type=Path), metavar="[FILES]...")
@click.option("--items", multiple=True, type=click.Path(path_type=Path), help="Files of items; may be repeated.")
@click.option("--format", "log_format", type=click.Choice(LOG_FORMATS), default="firstclick", show_default=True)
@topic_options
@click.option("--json", "as_line", is_flag=True, help="One JSON line instead of a table.")
def log(as_line: bool, **given: Any) -> int:
    """Check a log before training: what is in it, rejections, duplicates, ties in time, titles, leaks of its split.

    FILES are files or folders of one form; in a folder a form finds its files, those of items too. Or --topic reads
    topics, between two times of Kafka's own; a bad record is told as topic[partition]:offset.
    """
    from rich.console import Console

    from model.training.quality import quality
    from model.training.quality_report import as_json, as_table
    from model.training.splits import leave_one_out

    told = read_told(given, files="FILES")
    found = quality(told, leave_one_out(told))
    if as_line:
        click.echo(as_json(found))
    else:
        Console().print(as_table(found))
    return Exit.DONE


@firstclick.command(short_help="Watch a real shop's lists change with every event.")
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after so long.  [default: at Ctrl-C]")
@click.option("--plain", is_flag=True, help="Lines instead of a screen; the last is one JSON object.")
@click.option("--rate", default=12.0, show_default=True, type=click.FloatRange(0.1, 10_000), help="Events a second.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Of the embedded broker.  [default: a free one]")
@click.option("--bundle", type=click.Path(path_type=Path), envvar="FIRSTCLICK_BUNDLE", help=DEMO_MODEL)
def demo(seconds: float | None, plain: bool, rate: float, port: int, bundle: Path | None) -> int:
    """A real shop and its shoppers on the embedded broker: watch lists change with every event."""
    from stream.demo.bundle import ready
    from stream.demo.run import run

    chosen = bundle or ready(lambda text: click.echo(text, err=True))
    return run(chosen, seconds=seconds, plain=plain or not sys.stdout.isatty(), rate=rate, port=port)


@firstclick.command(cls=SettingsCommand)
def worker(toml: Path | None, **given: Any) -> int:
    """Run one worker: events in, lists and vectors out. SIGTERM and Ctrl-C end it in good order.

    Each option is also the environment's FIRSTCLICK_NAME and the TOML file's name; the command line counts first, then
    the environment, the file, and the default.
    """
    from stream.settings import Settings

    told = {name: value for name, value in given.items() if value is not None}
    if isinstance(told.get("kafka"), str):
        told["kafka"] = ClientProperties().convert(told["kafka"], None, None)
    settings = Settings.load(toml, **told)

    from stream.app import run

    return run(settings)


firstclick.add_command(model)
firstclick.add_command(evaluate)
firstclick.add_command(train)
firstclick.add_command(tune)
firstclick.add_command(export)
for command in (serve, watch, recommend):
    firstclick.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """The program: runs a command and ends with its code, after one line where it is not 0."""
    sys.exit(invoke(sys.argv[1:] if arguments is None else arguments))


def invoke(arguments: Sequence[str]) -> int:
    """Runs a command; every exception becomes a code and one line on stderr."""
    state: dict[str, bool] = {}
    try:
        code = firstclick.main(list(arguments), prog_name="firstclick", standalone_mode=False, obj=state)
        return int(code or 0)
    except BaseException as error:
        if isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else Exit.BUG
        if isinstance(error, BrokenPipeError):  # `firstclick … | head` has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Else the last flush complains.
            return Exit.DONE
        if state.get("debug"):
            traceback.print_exception(error)
        elif isinstance(error, click.UsageError):
            error.show()
        else:
            click.echo(f"firstclick: {one_line(error)}", err=True)
        return exit_code(error)


if __name__ == "__main__":
    main()
