"""Beside the line: `firstclick tune`. Needs the extra `[train]`, when it runs and not before.

Knows nothing of how anything is done, as cli.py does not.
"""

from pathlib import Path
from typing import Any

import click

from stream.cli_offline import FOLDER, read_log_and_split
from stream.cli_train import SETTINGS, base_of, computing_options, log_options
from stream.errors import Exit, WrongUsage
from stream.options import WHITEN


class Storage(click.ParamType):
    """A file of SQLite, which may be there or not."""

    name = "FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The file, once trials can be written to it."""
        file = Path(value)
        try:
            head = file.read_bytes()[:16] if file.exists() else b""
        except OSError as error:
            self.fail(f"{file} cannot be read ({error.strerror}); name a file", param, ctx)
        if head and head != b"SQLite format 3\0":
            self.fail(f"{file} holds something else; name a file of an earlier search, or a new one", param, ctx)
        if not file.parent.is_dir():
            self.fail(f"{file.parent} is no folder; make it, or name another file", param, ctx)
        return file


@click.command(short_help="Search the settings of training that suit a log.")
@log_options
@click.option("--bundle", type=FOLDER, help="Whose encoder and windows.  [default: the ready zero-shot bundle]")
@WHITEN
@click.option(
    "--trials",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Trials in all, those that --storage remembers among them.",
)
@click.option("--storage", type=Storage(), help="A file that remembers the trials.")
@computing_options
def tune(bundle: Path | None, trials: int, storage: Path | None, **given: Any) -> int:
    """Try settings of the towers by Optuna, judged on validation; the defaults are tried first.

    The last line on stdout is one JSON object: the best settings, which `firstclick train --set NAME=VALUE` takes (with
    the same --seed and --device), and their NDCG@10 on validation. Test events are not read.
    """
    from dataclasses import asdict

    import orjson

    from model.training import together
    from model.training.course import Course
    from model.training.fit import FitSettings, FitWatch, fit, read, text_scale_of
    from model.training.tune import search

    together.join(given["device"], given["threads"])
    log, split, about = read_log_and_split(given)
    with base_of(log, split, bundle, given, None) as base:
        course = Course(log, split, base, device=given["device"], threads=given["threads"])
        learning, known = course.learning(course.rows)
        if course.sample is None or not len(learning.targets):
            raise WrongUsage(
                "there is nothing to learn from, or nothing on validation to choose by",
                "give a longer log, or another --split",
            )

        def score(settings: FitSettings, watch: FitWatch) -> float:
            words, valid = course.query_vectors, course.sample
            return fit(course.texts, learning, known, settings, queries=words, valid=valid, watch=watch).ndcg

        text_scale = text_scale_of(len(learning.targets) / known.sum())
        start = FitSettings(seed=given["seed"], device=given["device"], text_scale=text_scale)
        order = f"ties shuffled by {given['seed']}" if given["shuffle_ties"] else "ties as they come"
        windows = f"{len(learning.targets)} windows of {about['checksum']}, {given['how']}, {order}"
        study = f"{windows}, texts {read(course.texts)}"
        best, ndcg = search(score, start, trials, storage, study, lambda text: click.echo(text, err=True))
    default = asdict(FitSettings())
    changed = {name: value for name, value in asdict(best).items() if name in SETTINGS and value != default[name]}
    click.echo(orjson.dumps({"set": changed, "valid_ndcg@10": ndcg}).decode())
    return Exit.DONE
