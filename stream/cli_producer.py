"""Beside the line: the commands for those who send events. They need no broker.

Knows nothing of how anything is done, as cli.py does not.
"""

from pathlib import Path
from typing import Literal

import click

from stream.errors import Exit, WrongUsage
from stream.options import LOG_FILE, any_format_option
from stream.out import OutFolder


@click.command(short_help="Say what is wrong with a log, without a broker.")
@click.argument("file", type=LOG_FILE)
@any_format_option
@click.option(
    "--subject",
    type=click.Choice(["events", "items"]),
    default="events",
    show_default=True,
    help="What the lines are.",
)
@click.option("--json", "as_line", is_flag=True, help="One JSON line instead of a table.")
def validate(file: Path, form: str, subject: Literal["events", "items"], as_line: bool) -> int:
    """Say what a worker would make of each line of FILE (- for standard input; perhaps packed by gzip or zstd).

    Tells what is accepted, and what is rejected by its reason and the first such lines, with the field at fault, what
    was expected and what came. Lines that hold no behaviour, such as page views, are passed over. Ends with 1 where
    something is rejected.
    """
    from rich.console import Console

    from stream import validate as validating

    verdict = validating.validate(file, form, subject)
    if as_line:
        click.echo(verdict.line())
    else:
        validating.show(verdict, Console())
    return Exit.BAD_INPUT if verdict.rejected else Exit.DONE


@click.command(short_help="Print the contract: AsyncAPI 3 and JSON Schemas.")
@click.argument("name", default="asyncapi.yaml", metavar="[FILE]")
@click.option("--out", type=OutFolder(), help="Write all files into this folder.")
def contract(name: str, out: Path | None) -> int:
    """Print the contract for producers and consumers: the AsyncAPI 3 document, or the JSON Schema FILE beside it.

    The document refers to the schemas as files beside itself: --out writes them all.
    """
    from importlib.resources import files

    told = {
        file.name: file for file in (files("model") / "contract").iterdir() if file.name.endswith((".json", ".yaml"))
    }
    if name not in told:
        raise WrongUsage(f"{name} is no file of the contract", f"give one of {', '.join(sorted(told))}")
    if out is None:
        click.echo(told[name].read_text(encoding="utf-8"), nl=False)
        return Exit.DONE
    out.mkdir(parents=True, exist_ok=True)
    for file in told.values():
        (out / file.name).write_bytes(file.read_bytes())
        click.echo(out / file.name)
    return Exit.DONE
