"""Before the line: the command `firstclick doctor`.

Knows nothing of the checks themselves (`doctor.py`), only how they are shown and what the shell is told.
"""

from pathlib import Path
from typing import Any

import click

from stream.errors import Exit
from stream.options import SettingsCommand, settings_of

INDENT = 22


@click.command(cls=SettingsCommand, short_help="Check all that a worker needs, and say how to mend it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def doctor(as_json: bool, toml: Path | None, **given: Any) -> int:
    """Check versions, bundle, device, broker, topics, guarantee, clock, disk and memory, with a worker's own settings.

    Says of each what is wrong and how to mend it. Ends with 0 where a worker can run, 3 where no broker answers, else
    1. It changes nothing, but for a probe: the record of an aborted transaction.
    """
    settings = settings_of(toml, given)
    import orjson

    from stream.doctor import Finding, examine

    found: list[Finding] = []
    for finding in examine(settings):
        found.append(finding)
        if not as_json:
            click.echo(f"{finding.state:<10}{finding.check:<12}{finding.said}")
            if finding.remedy:
                click.echo(f"{'':<{INDENT}}-> {finding.remedy}")
    wrong = {finding.check for finding in found if finding.state == "wrong"}
    if as_json:
        told = {"healthy": not wrong, "checks": [finding._asdict() for finding in found]}
        click.echo(orjson.dumps(told).decode())
    if "broker" in wrong:
        return Exit.UNREACHABLE
    return Exit.BAD_INPUT if wrong else Exit.DONE
