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
from typing import Any, Literal

import click

from stream.cli_consume import recommend, serve, watch
from stream.cli_doctor import doctor
from stream.cli_model import export, model
from stream.cli_offline import evaluate, read_told
from stream.cli_producer import contract, validate
from stream.cli_shop import shop
from stream.cli_topics import topics
from stream.cli_train import train
from stream.cli_tune import tune
from stream.errors import Exit, Unreachable, WrongUsage, exit_code, one_line
from stream.options import (
    LOG_FILE,
    EventTopic,
    SettingsCommand,
    any_format_option,
    between,
    format_option,
    kafka_options,
    settings_of,
    time_options,
    topic_options,
)

WIDTH = 110
DEMO_MODEL = "The worker's model.  [env: FIRSTCLICK_BUNDLE]  [default: the one trained on this shop, else zero-shot]"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH})
@click.version_option(metadata.version("firstclick"), message="firstclick %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of whatever ends the command.")
@click.pass_context
def firstclick(ctx: click.Context, debug: bool) -> None:
    """Recommendations from the first click: behaviour events in, refreshed lists and interest vectors out, over Kafka.

    \b
    See it:    firstclick demo
    Run it:    firstclick topics --apply, then firstclick worker; firstclick replay feeds it from a file
    Train it:  firstclick log, train, evaluate on your shop's own events

    A bundle is a model's folder; a log is a shop's events and products, as files or in topics.

    Every command ends with 0: done, 1: bad input found, 2: wrong usage, 3: cannot reach or not allowed, 70: a bug,
    130: interrupted.
    """
    ctx.ensure_object(dict)["debug"] = debug


@firstclick.command(short_help="Run a small Kafka-compatible broker, to try things.")
@click.option(
    "--port",
    default=9092,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where it listens. 0 picks a free one.",
)
def broker(port: int) -> int:
    """Run the embedded Kafka-compatible broker in the foreground, to try things without Apache Kafka.

    It keeps all in memory and listens on 127.0.0.1 alone; exactly once is impossible on it. Ctrl-C ends it for good.
    """
    from stream.demo.broker import serve

    serve(port)
    return Exit.DONE


@firstclick.command(short_help="Feed a file of events or products to a topic.")
@click.argument("file", type=LOG_FILE)
@kafka_options
@click.option("--to", "topic", required=True, metavar="TOPIC", help="events, items, or any topic.")
@any_format_option
@click.option(
    "--subject",
    type=click.Choice(["events", "items"]),
    help="What the lines are.  [default: items for --to items, else events]",
)
@click.option(
    "--speed",
    default="max",
    show_default=True,
    help="1: as fast as the events' own times say; 10: ten times that; max: as fast as Kafka takes them.",
)
@click.option(
    "--name",
    help="Names the log in the ids made for events of other forms than firstclick.  [default: the file's name]",
)
@click.option("--resume", type=click.IntRange(1), metavar="LINE", help="Begin at this line.")
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), help="A file that remembers where to go on.")
@click.option("--check", is_flag=True, help="Send nothing; tell what a worker would reject.")
def replay(
    file: Path,
    bootstrap: str,
    kafka: dict[str, Any],
    topic: str,
    form: str,
    subject: Literal["events", "items"] | None,
    speed: str,
    name: str | None,
    resume: int | None,
    state: Path | None,
    check: bool,
) -> int:
    """Feed a log, one file of any format (- for standard input; perhaps packed), to a topic, with key and headers.

    Other formats than firstclick are translated: one line may be several events. With --subject items the products are
    sent that events bring along. The last line on stdout is one JSON object: delivered, refused (with reasons), passed
    over, failed, next_line. Ends with 1 where something was refused, 3 where the broker did not take one. Sending a
    line twice changes nothing: event ids stay.

    Refused is what cannot be sent: no JSON, nobody's. Lines of the contract are sent unjudged, and a worker may reject
    some; --check judges them as well, and counts as `firstclick validate` does: its rejected are refused and rejected.
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
    if report.delivered and form == "firstclick":
        click.echo(f"lines were sent unjudged: `firstclick validate {file}` tells what a worker rejects", err=True)
    return Exit.BAD_INPUT if report.refused or report.rejected else Exit.DONE


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


@firstclick.command(short_help="Write a topic, between two times, as a log to stdout.")
@kafka_options
@click.option(
    "--topic", required=True, type=EventTopic(), help="events, items, or any topic; of another format: clicks:ga4."
)
@time_options
@click.option(
    "--subject",
    type=click.Choice(["events", "items"]),
    help="What the records are.  [default: items for --topic items, else events]",
)
def dump(
    bootstrap: str,
    kafka: dict[str, Any],
    topic: str,
    from_ms: int,
    to_ms: int | None,
    subject: Literal["events", "items"] | None,
) -> int:
    """Write a topic's committed records between two times to stdout, a line each: a log of the format `firstclick`.

    Records of another format become a line for each of their events; what is no event is told on stderr.
    """
    from stream.dump import LeftOut, records

    items = (subject or topic) == "items"
    if items and ":" in topic:
        raise WrongUsage(f"--topic {topic} with --subject items", "products are of the contract: name the topic alone")
    lines, left_out = 0, LeftOut()
    times = between(from_ms, to_ms)
    owner = "item_id" if items else "user_id"
    for line in records({"bootstrap.servers": bootstrap, **kafka}, topic, *times, owner, left_out):
        sys.stdout.buffer.write(line + b"\n")
        lines += 1
    sys.stdout.flush()
    click.echo("; ".join(filter(None, [f"{lines} lines of {topic}", str(left_out)])), err=True)
    return Exit.DONE


@firstclick.command(short_help="Tell what is in a log and what is wrong with it, before training.")
@click.argument("logs", nargs=-1, type=click.Path(path_type=Path), metavar="[FILES]...")
@click.option("--items", multiple=True, type=click.Path(path_type=Path), help="Files of items; may be repeated.")
@format_option
@topic_options
@click.option("--json", "as_line", is_flag=True, help="One JSON line instead of a table.")
def log(as_line: bool, **given: Any) -> int:
    """Check a log before training: what is in it, rejections, duplicates, ties in time, titles, leaks of its split.

    FILES are files or folders of one --format; in a folder it finds its files by their names, those of items too. Or
    --topic reads topics, between --from and --to; a bad record is told as topic[partition]:offset.
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
    """Watch lists change with every event: a real grocery and its shoppers, on a broker and a worker of their own.

    Needs no Kafka, and leaves nothing behind.
    """
    from stream.demo.bundle import ready
    from stream.demo.run import run

    chosen = bundle or ready(lambda text: click.echo(text, err=True))
    return run(chosen, seconds=seconds, plain=plain or not sys.stdout.isatty(), rate=rate, port=port)


@firstclick.command(cls=SettingsCommand, short_help="Run one worker: events in, lists and vectors out.")
def worker(toml: Path | None, **given: Any) -> int:
    """Run one worker: events in, lists and vectors out. SIGTERM and Ctrl-C end it in good order.

    Each option, say --wait-ms, is also FIRSTCLICK_WAIT_MS in the environment and wait_ms in the --config file; the
    command line counts first, then the environment, the file, and the default.
    """
    settings = settings_of(toml, given)
    from stream.app import run

    return run(settings)


firstclick.add_command(doctor)
firstclick.add_command(topics)
firstclick.add_command(validate)
firstclick.add_command(contract)
firstclick.add_command(model)
firstclick.add_command(evaluate)
firstclick.add_command(train)
firstclick.add_command(tune)
firstclick.add_command(export)
for command in (serve, watch, recommend, shop):
    firstclick.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """The program: runs a command and ends with its code, after one line where it is not 0."""
    code = invoke(sys.argv[1:] if arguments is None else arguments)
    if "model.training.together" in sys.modules and int(os.environ.get("WORLD_SIZE", "1")) > 1:  # One of torchrun's.
        from model.training.together import end

        end(code)
    sys.exit(code)


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
