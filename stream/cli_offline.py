"""Beside the line: the commands of the offline half. Needs the extra `[train]`, when a command runs and not before.

Knows nothing of how anything is done, as cli.py does not.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from stream.errors import Exit, WrongUsage
from stream.options import MOST_THREADS, SEED, Device, between, format_option, split_option, topic_options
from stream.out import OutFolder

if TYPE_CHECKING:
    from model.bundle import Bundle
    from model.training.logs.columns import Log
    from model.training.splits import Split

FOLDER = click.Path(path_type=Path)


@click.command(short_help="Judge bundles beside what a shop would use instead.")
@click.argument("bundles", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="[BUNDLE]…")
@click.option("--log", "logs", multiple=True, type=FOLDER, help="File or folder of events; may be repeated.")
@click.option("--items", multiple=True, type=FOLDER, help="File of products, where --log brings none; may be repeated.")
@format_option
@topic_options
@split_option
@click.option(
    "--on",
    type=click.Choice(["valid", "test"]),
    default="test",
    show_default=True,
    help="Which targets are asked for. Compare on valid while you choose, on test once.",
)
@click.option(
    "--baselines",
    default="all",
    show_default=True,
    help="Simpler methods to beat: all, none, or names with commas (a wrong one is answered with the list).",
)
@click.option(
    "--beside", type=FOLDER, help="--out of an earlier run on the same requests: its baselines are not judged again."
)
@click.option("--out", type=OutFolder(), help="Writes the tables, JSON, ranks and plots there.")
@click.option("--clock", is_flag=True, help="Also ask in time order, with popularity as it stood at each request.")
@click.option(
    "--hide",
    default=0.0,
    type=click.FloatRange(0, 0.9),
    help="Hide this share of the items from training, to judge on new ones.",
)
@click.option("--hide-seed", default=0, show_default=True, type=SEED, help="Which items are hidden.")
@click.option(
    "--shuffle-ties",
    is_flag=True,
    help="Shuffle each user's same-day events first: their order may give the answer away.",
)
@click.option(
    "--refit",
    is_flag=True,
    help="Before the test, baselines learn from and shelves count validation events, too, as `train` does by default.",
)
@click.option("--users", default=0, type=click.IntRange(0), help="Judge on a random sample of so many.  [default: all]")
@click.option(
    "--seconds",
    default=330.0,
    show_default=True,
    type=click.FloatRange(0, 1e7),
    help="Longest that one neural baseline trains.",
)
@click.option(
    "--device", default="cpu", show_default=True, type=Device(), help="cpu, cuda or cuda:1; int8 stays on the CPU."
)
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1, MOST_THREADS), help="Cores.")
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of the neural baselines, and of --shuffle-ties.")
def evaluate(bundles: tuple[Path, ...], beside: Path | None, out: Path | None, clock: bool, **given: Any) -> int:
    """Judge BUNDLEs by the code that serves them, beside tuned baselines: all rank all items for the same requests.

    The first BUNDLE is compared with all others. Bundles of one name that differ in their seed alone are one row.
    Where --hide or --shuffle-ties is given, the bundles should have been trained so, too: `firstclick train` takes the
    same options.
    """
    from rich.console import Console

    from model.training import report
    from model.training.baselines.menu import chosen
    from model.training.baselines.protocol import BaselineError
    from model.training.earlier import EarlierError
    from model.training.evaluate import evaluate as judge

    try:
        names = chosen(given["baselines"])
    except BaselineError as error:
        raise WrongUsage(f"--baselines {given['baselines']}", str(error)) from error
    if not bundles and not names:
        raise WrongUsage("neither a BUNDLE nor --baselines", "name something to judge")
    console = Console()
    setup, served = _setup(bundles, clock, given)
    try:
        found = judge(setup, served, names, beside)
    except EarlierError as error:
        raise WrongUsage(f"--beside {beside}", str(error)) from error
    report.show(found, console)
    if out is not None:
        for path in report.write(found, out):
            click.echo(path)
    return Exit.DONE


def _setup(bundles: tuple[Path, ...], clock: bool, given: dict[str, Any]) -> tuple[Any, Any]:
    """What is judged on, and the bundles behind their serving code."""
    import numpy as np

    from model.bundle import Bundle
    from model.encoder import Encoder, offline_device
    from model.training.evaluate import Setup
    from model.training.hidden import hide_items, with_valid
    from stream.evaluating import serving

    log, split, told = read_log_and_split(given)
    hidden = None
    if given["hide"]:
        split, hidden = hide_items(log, split, given["hide"], given["hide_seed"])
    loaded = _loaded(bundles, given)
    window = {(bundle.lines, bundle.age_ms) for bundle in loaded} or {(32, 3650 * 86_400_000)}
    if len(window) > 1:
        raise WrongUsage("the bundles' windows are of different lengths", "judge them one by one")
    lines, age_ms = window.pop()
    served: list[Any] = []
    vectors = encode = None
    if loaded:
        shared = {"device": given["device"], "threads": given["threads"]}
        # A worker's counts do not stop where the training of its bundle began to choose.
        learned = with_valid(log, split, hidden) if given["refit"] and given["on"] == "test" else split.train
        served, vectors = serving(loaded, log, np.flatnonzero(learned), np.arange(len(log)), **shared)
        _tell_rows(bundles, loaded, served)
        longer = Bundle(loaded[0].path, loaded[0].manifest.model_copy(update={"max_tokens": FLAT_TOKENS}))
        encode = Encoder(longer, offline_device(longer, given["device"]), given["threads"], cached=CACHED).vectors
    setup = Setup(
        log,
        split,
        lines,
        age_ms,
        given["on"],
        hidden,
        given["users"],
        ties=given["how"] == "leave-one-out",
        clock=clock,
        refit=given["refit"],
        vectors=vectors,
        encode=encode,
        seconds=given["seconds"],
        device=given["device"],
        threads=given["threads"],
        seed=given["seed"],
        about={
            **told,
            "bundles": [bundle.model for bundle in loaded],
            "space": loaded[0].space if loaded else None,  # Of the texts' vectors that baselines read.
            "split": given["how"],
            **{name: given[name] for name in ("hide", "hide_seed", "shuffle_ties", "refit", "seed")},
        },
        say=lambda text: click.echo(text, err=True),
    )
    return setup, served


def _loaded(bundles: tuple[Path, ...], given: dict[str, Any]) -> list["Bundle"]:
    """Each of them once; what they know of the answers is said on stderr."""
    from model.bundle import Bundle

    loaded = [Bundle.load(path) for path in bundles]
    for bundle in loaded:
        _tell_known_answers(bundle.model, bundle.manifest.training, given)
    twice = {each.model for each in loaded if sum(other.model == each.model for other in loaded) > 1}
    if twice:
        raise WrongUsage(f"{min(twice)} is given twice", "one bundle is one seed: name each once")
    return loaded


def _tell_rows(bundles: tuple[Path, ...], loaded: list["Bundle"], served: list[Any]) -> None:
    """Says on stderr which bundle a row is where its own name is not enough."""
    for path, bundle, row in zip(bundles, loaded, served, strict=True):
        if row.name != bundle.manifest.name:
            click.echo(f"{row.name} is {path}: others of its name are not seeds of one recipe with it", err=True)


def _tell_known_answers(model: str, training: dict[str, Any], given: dict[str, Any]) -> None:
    """Says on stderr what of the answers a bundle has learned from, by what its manifest tells of its training."""
    if "settings" not in training:
        return
    found = []
    if given["hide"] and training.get("hide") != given["hide"]:
        found.append(f"was trained without --hide {given['hide']:g}")
    elif given["hide"] and training.get("hide_seed", given["hide_seed"]) != given["hide_seed"]:
        found.append(f"was trained with --hide-seed {training['hide_seed']}")
    if given["on"] == "valid" and training["settings"].get("refit"):
        found.append("has learned from validation's events at last (train --refit)")
    if given["shuffle_ties"] and not training.get("shuffle_ties"):
        found.append("was trained without --shuffle-ties")
    elif given["shuffle_ties"] and training["settings"]["seed"] != given["seed"]:
        found.append(f"was trained on the order of --seed {training['settings']['seed']}")
    if training.get("split", given["how"]) != given["how"]:
        found.append(f"was trained with --split {training['split']}")
    for doubt in found:
        click.echo(f"{model} {doubt}: its figures here are not those of what it has not seen", err=True)


FLAT_TOKENS = 128
"""Of a whole window's titles as one text."""
CACHED = 131_072
"""Vectors kept of those: a window cut to its last three events is often the whole one. 200 MB of 384 floats."""


TOPIC_OPTIONS = {"items_topic": "--items-topic", "from_ms": "--from", "to_ms": "--to"}
"""What means nothing without --topic."""


def read_told(given: dict[str, Any], files: str = "--log") -> "Log":
    """The log that a command's options tell of: files, or topics between two times.

    Args:
        given: `logs, items, log_format` and those of `topic_options`.
        files: how the command calls its files.
    """
    from model.training.logs.bar import bar
    from model.training.logs.columns import read_log

    source = click.get_current_context().get_parameter_source
    told = [option for name, option in TOPIC_OPTIONS.items() if source(name) is not ParameterSource.DEFAULT]
    if given["topics"]:
        return _read_topics(given, files, own_items="--items-topic" in told)
    if not given["logs"]:
        raise WrongUsage(f"neither {files} nor --topic", "name the log's files, or the topics that hold it")
    if told:
        raise WrongUsage(f"{' and '.join(told)} without --topic", "files are read whole; name a topic")
    with bar("reading") as progress:
        return read_log(given["logs"], given["items"], given["log_format"], progress)


def _read_topics(given: dict[str, Any], files: str, own_items: bool) -> "Log":
    from model.training.logs.bar import bar
    from stream.settings import split_format
    from stream.topic_log import Topics

    if given["logs"]:
        raise WrongUsage(f"both {files} and --topic", "give one of them; `firstclick dump` makes a file of a topic")
    if given["items"] and own_items:
        raise WrongUsage("both --items and --items-topic", "give one of them")
    if given["log_format"] != "firstclick" and not given["items"]:
        raise WrongUsage(f"--format {given['log_format']} with --topic", "it is of files; name a topic as clicks:ga4")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # Numbers of users and items would differ, and nobody would see it.
        raise WrongUsage("--topic in several processes", "all must read the same: give the file of a `firstclick dump`")
    names = [split_format(name)[0] for name in given["topics"]]
    if len(set(names)) < len(names):
        raise WrongUsage(f"--topic {max(names, key=names.count)} twice", "name each topic once")
    client = {"bootstrap.servers": given["bootstrap"], **given["kafka"]}
    times = between(given["from_ms"], given["to_ms"])
    with bar("reading", "records") as progress:
        topics = Topics(client, given["topics"], "" if given["items"] else given["items_topic"], *times)
        return topics.log(progress, given["items"], given["log_format"])


def read_log_and_split(given: dict[str, Any], *, asked: bool = True) -> "tuple[Log, Split, dict[str, Any]]":
    """The log, its ties shuffled where that is asked for; its split; and what a manifest says of which log it was.

    Args:
        given: the command's options.
        asked: whether there must be something to ask for, on validation and on test.
    """
    from model.training.examples import shuffled_ties
    from model.training.splits import by_time, leave_one_out

    log = read_told(given)
    told = _log_told(given, log)
    if given["shuffle_ties"]:
        if given["how"] == "time":
            raise WrongUsage("--shuffle-ties with --split time", "only leave one out has targets that stay last")
        log = shuffled_ties(log, given["seed"])
    split = leave_one_out(log) if given["how"] == "leave-one-out" else by_time(log)
    lacking = [name for name, rows in (("valid", split.valid), ("test", split.test)) if not len(rows)]
    if asked and lacking:
        own = log.split is not None and given["how"] == "leave-one-out"
        remedy = "the file's own parts have none of it" if own else "give users of three products and more"
        other = "; or take --split time" if given["how"] == "leave-one-out" else ""
        raise WrongUsage(f"--split {given['how']} leaves nothing to ask for in {' and '.join(lacking)}", remedy + other)
    return log, split, told


def _log_told(given: dict[str, Any], log: "Log") -> dict[str, Any]:
    """Names may change, and what lies under them: the checksum tells one log from another."""
    from model.training.logs.checksum import checksum

    told = {"events": len(log), "items": len(log.items), "checksum": checksum(log)}
    if given["topics"]:
        return {"log": list(given["topics"]), "from_ms": given["from_ms"], "to_ms": given["to_ms"], **told}
    return {"log": [path.name for path in given["logs"]], "format": given["log_format"], **told}
