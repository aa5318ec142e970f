"""Beside the line: `firstclick train`. Needs the extra `[train]`, when it runs and not before.

Knows nothing of how anything is done, as cli.py does not.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from stream.cli_offline import FOLDER, read_log_and_split
from stream.errors import Exit, WrongUsage
from stream.options import MOST_THREADS, SEED, WHITEN, Device, ModelName, format_option, split_option, topic_options
from stream.out import OutBundle, OutFolder, tell_replaced

if TYPE_CHECKING:
    from model.training.train import Trained

SETTINGS = {
    "dim": (1, 4096),
    "epochs": (1, 10_000),
    "batch": (0, 1_000_000),
    "learning_rate": (0, 1),
    "dropout": (0, 0.95),
    "text_scale": (0, 100),
    "negatives": (0, 10_000_000),
    "adjustment": (0, 10),
    "cut": (0, 1),
    "patience": (1, 10_000),
}
"""Names that --set takes -> the least and the most that they may be; see `model.training.fit.FitSettings`."""

Command = Callable[..., int]


def log_options(command: Command) -> Command:
    """What to learn from, the same in all commands that learn."""
    options: list[Callable[[Command], Command]] = [
        click.option("--log", "logs", multiple=True, type=FOLDER, help="File or folder of events; may be repeated."),
        click.option(
            "--items", multiple=True, type=FOLDER, help="File of products, where --log brings none; may be repeated."
        ),
        format_option,
        topic_options,
        split_option,
        click.option(
            "--shuffle-ties",
            is_flag=True,
            help="Shuffle each user's same-day events first: their order may give the answer away.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def computing_options(command: Command) -> Command:
    """How to compute, the same in all commands that learn."""
    for option in (
        click.option("--threads", default=2, show_default=True, type=click.IntRange(1, MOST_THREADS), help="Cores."),
        click.option(
            "--device",
            default="cpu",
            show_default=True,
            type=Device(),
            help="cpu, cuda or cuda:1; int8 stays on the CPU.",
        ),
        click.option(
            "--seed",
            default=0,
            show_default=True,
            type=SEED,
            help="The same seed on the same machine learns the same.",
        ),
    ):
        command = option(command)
    return command


@click.command(short_help="Learn from a log, and make a bundle of what was learned.")
@log_options
@click.option("--out", type=OutBundle(), required=True, help="Folder of the bundle. It appears whole or not at all.")
@click.option("--bundle", type=FOLDER, help="Whose encoder and windows.  [default: the ready zero-shot bundle]")
@click.option(
    "--encoder",
    type=FOLDER,
    help="Tune this text encoder on the log first, instead of taking the one of --bundle: a folder with safetensors.",
)
@click.option(
    "--adapt",
    type=click.Choice(["lora", "adalora", "full", "frozen"]),
    default="lora",
    show_default=True,
    help="How --encoder is tuned. frozen: not at all.",
)
@click.option(
    "--pairs",
    default=15_000,
    show_default=True,
    type=click.IntRange(1),
    help="Pairs of texts that --encoder learns from.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="int8",
    show_default=True,
    help="Of --encoder in the bundle. fp32, fp16: for a GPU. int8: for CPUs.",
)
@WHITEN
@click.option("--licence", default="", help="Of --encoder, for the manifest.")
@click.option("--data", help="What the log is, for the manifest: its source, version and licence.")
@click.option("--name", default="trained", show_default=True, type=ModelName(), help="Begins the model's name.")
@click.option(
    "--refit/--no-refit",
    default=True,
    show_default=True,
    help="At last learn again with validation's events among the rows.",
)
@click.option(
    "--new-items",
    default=0.03,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of NDCG@10 on validation that may be given up so that new products are found: more, and they stand "
    "higher in more lists.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help=f"Change a setting of the training: {', '.join(SETTINGS)}. May be repeated.",
)
@click.option(
    "--checkpoints",
    type=OutFolder(),
    help="Folder kept after each epoch; the same command resumes from it.  [default: none]",
)
@click.option(
    "--tensorboard",
    type=OutFolder(),
    help="Folder for TensorBoard: losses, validation, the items' vectors.  [default: none]",
)
@click.option(
    "--hide",
    default=0.0,
    type=click.FloatRange(0, 0.9),
    help="Hide this share of the items from training; for `evaluate --hide`.",
)
@click.option("--hide-seed", default=0, show_default=True, type=SEED, help="Which items are hidden.")
@click.option("--no-bar", is_flag=True, help="No progress bar.")
@click.option("--json", "as_line", is_flag=True, help="One JSON line; so it is too where stdout is no terminal.")
@computing_options
def train(out: Path, bundle: Path | None, as_line: bool, **given: Any) -> int:
    """Learn item and interest towers from a log, choose on validation, and make a bundle that a worker loads.

    At last it tells the model and NDCG@10 on validation; as JSON also all that was chosen. Test events are not read;
    `firstclick evaluate` judges on them. On several GPUs or machines:
    `torchrun --nproc-per-node 2 -m -- stream.cli train …` (see torchrun --help).
    """
    from model.training import together
    from model.training.checkpoint import CheckpointError
    from model.training.fit import FitSettings
    from model.training.hidden import hide_items
    from model.training.train import TrainSettings, train
    from model.training.watching import towers_watched

    if given["encoder"] is not None:
        _tunable(given["encoder"])
    given["device"] = together.join(given["device"], given["threads"])
    if together.rank() == 0:
        tell_replaced(out)
    settings = TrainSettings(
        _changed(FitSettings(seed=given["seed"], device=given["device"]), given["changes"]),
        refit=given["refit"],
        new_items=given["new_items"],
        name=given["name"],
        threads=given["threads"],
    )
    log, split, about = read_log_and_split(given, asked=False)
    hidden = None
    if given["hide"]:
        split, hidden = hide_items(log, split, given["hide"], given["hide_seed"])
    adapted = None
    if given["encoder"] is not None:  # Each of several processes has its own.
        number = f"-{together.rank()}" if together.rank() else ""
        adapted = (given["checkpoints"] or out.parent / f".{out.name}-checkpoints") / f"encoder{number}"
    about |= _how(given)
    try:
        with (
            base_of(log, split, bundle, given, adapted) as base,
            towers_watched(given["tensorboard"], bar=not given["no_bar"], first=together.rank() == 0) as watch,
        ):
            made = train(
                log,
                split,
                base,
                out,
                settings,
                folder=given["checkpoints"],
                about=about,
                hidden=hidden,
                watch=watch,
            )
    except CheckpointError as error:
        raise WrongUsage(f"--checkpoints: {error}") from error
    except ValueError as error:
        raise WrongUsage(str(error), "give a longer log, or other options") from error
    finally:
        together.leave()
    if made is not None:  # Else one of several processes, and not the first.
        click.echo(_summary(made, out) if sys.stdout.isatty() and not as_line else _line(made))
    return Exit.DONE


def _how(given: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, for the manifest."""
    told = ("data", "whiten", "hide", "hide_seed", "shuffle_ties")
    how = {"split": given["how"], **{name: given[name] for name in told if given[name] is not None}}
    if given["encoder"] is not None:
        how["tuned"] = {name: given[name] for name in ("adapt", "pairs", "precision")} | {"of": given["encoder"].name}
    return how


def _line(made: "Trained") -> str:
    """What was made and chosen, for machines."""
    import orjson

    told = {"model": made.bundle.model, "epochs": made.fitted.epochs, **made.worth._asdict(), **made.parity._asdict()}
    told["sentiment"] = made.told["sentiment"]
    return orjson.dumps(told).decode()


def _summary(made: "Trained", out: Path) -> str:
    """What was made, for people."""
    steps, new = list(made.worth.steps.values()), made.worth.new_items
    rows = {
        "model": made.bundle.model,
        "bundle": str(out),
        "epochs": str(made.fitted.epochs),
        "NDCG@10": f"{steps[-1]:.4f} on validation, {steps[0]:.4f} by the towers alone" if steps else "no validation",
        "new items": f"{new['hidden']:.1%} found in the first ten, on validation" if "hidden" in new else "not judged",
    }
    told = [f"{name:<10}{text}" for name, text in rows.items()]
    return "\n".join([*told, f"Next: firstclick evaluate {out} with the same log; firstclick worker --bundle {out}"])


WEIGHTS = ("model.safetensors", "config.json", "tokenizer.json")
"""What `--encoder` must hold: only weights that torch can read can be tuned."""


def _tunable(encoder: Path) -> None:
    """Refuses, before the log is read, a folder that holds no encoder to tune.

    Raises:
        WrongUsage: it does not.
    """
    lacking = [name for name in WEIGHTS if not (encoder / name).is_file()]
    if lacking:
        there = f"lacks {', '.join(lacking)}" if encoder.is_dir() else "is no folder"
        remedy = f"name one with {', '.join(WEIGHTS)}, or leave it out to take the encoder of --bundle"
        raise WrongUsage(f"--encoder {encoder} {there}", remedy)


@contextmanager
def base_of(log: Any, split: Any, bundle: Path | None, given: dict[str, Any], adapted: Path | None) -> Iterator[Any]:
    """The bundle whose encoder the towers read: that of --bundle, or of --encoder, tuned on the log's training rows and
    kept in the folder `adapted`; either whitened by the titles of those rows, if `given` says so.
    """
    import numpy as np

    from model.bundle import DEFAULT_BUNDLE, Bundle
    from model.training.adapting import titles_of
    from model.training.zeroshot import whitened_bundle

    base = Bundle.load(bundle or DEFAULT_BUNDLE)
    titles = titles_of(log, np.flatnonzero(split.train)) if given["whiten"] else []
    if adapted is not None:
        yield _adapted(log, split, base, titles, adapted, given)
    else:
        with TemporaryDirectory() as spare:
            yield whitened_bundle(base, titles, Path(spare) / "base")


def _adapted(log: Any, split: Any, base: Any, titles: list[str], folder: Path, given: dict[str, Any]) -> Any:
    """A bundle of --encoder, tuned on the log's training rows."""
    import numpy as np

    from model.training import together
    from model.training.adapting import adapt, pairs_of
    from model.training.course import Course
    from model.training.encoder_tuning import TuningSettings
    from model.training.fit import has_bf16
    from model.training.watching import watched

    course = Course(log, split, base, device=given["device"], threads=given["threads"])
    learning, _ = course.learning(split.train, stars=False)  # Pairs are of texts; what lines weigh is not asked.
    pairs = pairs_of(log, np.flatnonzero(split.train), learning, given["pairs"], given["seed"], course.queries.texts)
    if not pairs and together.rank() == 0:  # A log of ids: what could be tuned on is not there.
        click.echo("--encoder is taken as it comes: no products with texts follow each other", err=True)
    bf16 = has_bf16(given["device"])
    settings = TuningSettings(given["adapt"], seed=given["seed"], device=given["device"], bf16=bf16)
    first = together.rank() == 0
    with watched(given["tensorboard"] if first else None, bar=first and not given["no_bar"]) as watch:
        how = given["precision"], given["name"], given["licence"]
        return adapt(given["encoder"], pairs, titles, folder, settings, *how, watch)


def _changed(settings: Any, changes: tuple[str, ...]) -> Any:
    """The settings with each NAME=VALUE of --set."""
    from dataclasses import replace

    told: dict[str, float | int] = {}
    for change in changes:
        name, _, value = change.partition("=")
        try:
            told[name] = type(getattr(settings, name))(value) if name in SETTINGS else int("none")
        except ValueError:
            raise WrongUsage(f"--set {change}", f"give NAME=NUMBER, of {', '.join(SETTINGS)}") from None
        least, most = SETTINGS[name]
        if not least <= told[name] <= most:  # Not a number is neither.
            raise WrongUsage(f"--set {change}", f"give {least:g} to {most:,}")
    return replace(settings, **told)
