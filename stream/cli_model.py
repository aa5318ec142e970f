"""Beside the line: the commands that make and change model bundles.

Knows nothing of how anything is done, as cli.py does not. `init` of an ONNX encoder needs no torch.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from stream.errors import Exit, WrongUsage
from stream.options import WHITEN, ModelName, format_option
from stream.out import OutBundle, OutFolder, tell_replaced

if TYPE_CHECKING:
    from model.training.logs.forms import Format

FEWEST_TEXTS = 100
"""On which two precisions are compared."""
BUNDLE = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group(short_help="Make a bundle without training, take one apart, put it together.")
def model() -> None:
    """Make bundles, the folders that a worker loads as its model; `firstclick train` makes trained ones."""


@model.command("init", short_help="Make a zero-shot bundle of a pretrained encoder.")
@click.option(
    "--encoder",
    help="A folder, an installed package, or a name of the Hugging Face hub.  [default: that of the ready bundle]",
)
@click.option("--out", type=OutBundle(), help="Folder of the bundle.  [default: where the worker looks]")
@click.option("--tokenizer", help="A tokenizer.json or a folder with one, where the encoder brings none.")
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls"]),
    help="How a text's vector comes of its tokens'.  [default: as the encoder says, or mean]",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="fp32, fp16: fused, for a GPU. int8: for CPUs.  [default: as the encoder is]",
)
@click.option(
    "--log",
    type=click.Path(exists=True, path_type=Path),
    help="File or folder of events: what is bought together there is counted into the bundle.",
)
@click.option(
    "--items",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of products, where --log brings none or there is no log yet; may be repeated. Their texts, 50 or more, "
    "teach the encoder in what this shop's products differ.",
)
@WHITEN
@format_option
@click.option("--name", default="zero-shot", show_default=True, type=ModelName(), help="Begins the model's name.")
@click.option("--licence", default="", help="Of the encoder, where its package does not say.")
def model_init(
    encoder: str | None,
    out: Path | None,
    tokenizer: str | None,
    pooling: Literal["mean", "cls"] | None,
    precision: Literal["fp32", "fp16", "int8"] | None,
    log: Path | None,
    items: tuple[Path, ...],
    whiten: bool,
    log_format: "Format",
    name: str,
    licence: str,
) -> int:
    """Make a zero-shot bundle of a pretrained encoder: no training. The same input makes the same bytes."""
    from model.bundle import DEFAULT_BUNDLE, ENCODER
    from model.training import zeroshot
    from model.training.whitening import matrix_of

    folder = out or DEFAULT_BUNDLE
    tell_replaced(folder)
    how: Any = {"items": items, "whiten": whiten, "pooling": pooling, "precision": precision, "licence": licence}
    made = zeroshot.init(encoder or str(DEFAULT_BUNDLE), folder, tokenizer, log, log_format, name, **how)
    if whiten and (log or items) and matrix_of((made.path / ENCODER).read_bytes()) is None:
        click.echo("the encoder stays as it comes: too few products have texts that differ", err=True)
    click.echo(f"{made.model} in {folder}")
    return Exit.DONE


@model.command("take", short_help="Write a bundle without its encoder to a folder.")
@click.argument("bundle", type=BUNDLE)
@click.argument("towers", type=OutFolder())
@click.option("--small", is_flag=True, help="Round and zip the tables: a third of the size, and another model.")
def model_take(bundle: Path, towers: Path, small: bool) -> int:
    """Write the trained part of BUNDLE, all but its encoder, to the folder TOWERS: megabytes, to keep beside code.

    It goes onto the encoder that it was trained on: that of the bundle which `train` took; after `--encoder` BUNDLE's.
    """
    from model.bundle import Bundle
    from model.training import grafting

    if any(towers.glob("*")) and not (towers / grafting.TOWERS).is_file():
        raise WrongUsage(f"{towers} holds other files", "name a folder that is empty, or that `take` has written")
    grafting.take(Bundle.load(bundle), towers, small=small)
    return Exit.DONE


@model.command("graft", short_help="Put what `take` wrote on its encoder again.")
@click.argument("towers", type=BUNDLE)
@click.option(
    "--bundle",
    type=BUNDLE,
    help="Whose encoder: the very one that TOWERS were trained on.  [default: the ready zero-shot bundle]",
)
@click.option("--out", required=True, type=OutBundle(), help="Folder of the bundle.")
def model_graft(towers: Path, bundle: Path | None, out: Path) -> int:
    """Put TOWERS, a folder that `take` wrote, on their encoder again; towers of another are refused."""
    from model.bundle import DEFAULT_BUNDLE, Bundle
    from model.training import grafting

    tell_replaced(out)
    made = grafting.graft(Bundle.load(bundle or DEFAULT_BUNDLE), towers, out)
    click.echo(f"{made.model} in {out}")
    return Exit.DONE


@click.command(short_help="Write a bundle in another precision, for a GPU or for CPUs.")
@click.argument("bundle", type=BUNDLE)
@click.option("--out", required=True, type=OutBundle(), help="Folder of the new bundle.")
@click.option(
    "--precision",
    required=True,
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="fp32, fp16: fused, for a GPU. int8: per channel and token, for CPUs.",
)
@click.option(
    "--texts",
    type=click.File(encoding="utf-8"),
    help="File of real texts to compare on, one a line, 100 or more.  [default: built-in ones]",
)
def export(bundle: Path, out: Path, precision: Literal["fp32", "fp16", "int8"], texts: Any) -> int:
    """Write BUNDLE, whose encoder is fp32, in another precision; refuse one whose vectors drift.

    The last line on stdout is one JSON object: cosines to the vectors before, and the share of ten neighbours kept.
    What it costs in recall, `firstclick evaluate` tells of both bundles.
    """
    import orjson

    from model.bundle import Bundle
    from model.training import grafting

    try:
        lines = list(dict.fromkeys(line.strip() for line in texts if line.strip())) if texts else None
    except UnicodeDecodeError as error:
        raise WrongUsage(f"--texts {texts.name} is not UTF-8", "write it so") from error
    if lines is not None and len(lines) < FEWEST_TEXTS:
        few = f"--texts {texts.name} holds {len(lines)} different texts"
        raise WrongUsage(few, f"give {FEWEST_TEXTS} or more, one a line")
    tell_replaced(out)
    parity = grafting.at_precision(Bundle.load(bundle), precision, out, lines)
    click.echo(orjson.dumps({"model": Bundle.load(out).model, **parity._asdict()}).decode())
    return Exit.DONE
