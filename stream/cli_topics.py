"""Before the line: the command `firstclick topics`.

Knows nothing of how topics must look (`topics.py`), only how that is asked for and told.
"""

from pathlib import Path
from typing import Any

import click

from stream.errors import Exit, Unreachable
from stream.options import kafka_options


@click.command(short_help="Check or create the topics that workers need.")
@kafka_options
@click.option("--apply", "change", is_flag=True, help="Create what is missing and set what differs. Else only tell.")
@click.option(
    "--events", default="clicks,browses,reviews,events", show_default=True, help="Topics of behaviour events."
)
@click.option("--items", default="items", show_default=True, help="Topic of product upserts.")
@click.option("--partitions", type=click.IntRange(1, 10_000), help="Of each topic.  [default: as those there, else 4]")
@click.option(
    "--replication", type=click.IntRange(1, 10), default=3, show_default=True, help="Copies, if so many brokers."
)
@click.option("--retention-days", type=click.FloatRange(min=0.01), help="Of the events.  [default: the broker's own]")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    envvar="FIRSTCLICK_BUNDLE",
    help="The workers' model: the catalogue topic's name comes of its encoder.  [env: FIRSTCLICK_BUNDLE]  "
    "[default: the ready zero-shot bundle]",
)
def topics(
    bootstrap: str,
    kafka: dict[str, Any],
    change: bool,
    events: str,
    items: str,
    partitions: int | None,
    replication: int,
    retention_days: float | None,
    bundle: Path,
) -> int:
    """Check the topics that workers need: existence, partitions, copies, clean-up. Changes nothing without --apply.

    Ends with 0 where all is right, 1 where something differs.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    from model.bundle import DEFAULT_BUNDLE, Bundle
    from stream import topics as shapes

    space = Bundle.load(bundle or DEFAULT_BUNDLE).space
    names = tuple(name.partition(":")[0].strip() for name in events.split(",") if name.strip())  # Less its format.
    kept_ms = None if retention_days is None else round(retention_days * shapes.DAY_MS)
    wanted = shapes.shapes(space, events=names, items=items, partitions=partitions or 0, retention_ms=kept_ms)
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, **kafka})
    try:
        differences = shapes.check(admin, wanted, replication)
        for difference in differences:
            click.echo(difference)
        open_ = [difference for difference in differences if difference.what != "untold"]
        if change:
            done = shapes.apply(admin, wanted, replication)
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
