"""(e) Whole logs of real shops through `firstclick replay` and a worker: nothing lost, every window worked out anew."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from stream import topics
from tests.bench import answers
from tests.bench.fleet import Fleet, Sent
from tests.bench.throughput import rates

FOLDERS = ("amazon23_reviews_mini", "uci_online_retail", "amazon_beauty_p5")
LIMIT_S = 900.0


def replaying(fleet: Fleet, folder: Path, model: bool) -> dict[str, Any]:
    """One folder: its items onto the shelf, then its events; seconds of the events alone.

    Args:
        model: False leaves out steps 4 to 9 and so the shelf, too.
    """
    fleet.fresh()
    told: dict[str, Any] = {"folder": folder.name, "whole_line": model}
    if model:
        with fleet.worker() as worker:
            began = time.perf_counter()
            told["items"] = replay(fleet, folder / "items.jsonl", "items")["delivered"]
            fleet.await_done("items", timeout_s=LIMIT_S, workers=[worker])
            told["items_seconds"] = round(time.perf_counter() - began, 1)
    produced = replay(fleet, folder / "events.jsonl.gz", "events")["delivered"]
    with fleet.worker(model=model) as worker:
        fleet.await_done("events", timeout_s=LIMIT_S, workers=[worker])
        told |= rates(worker, produced)
    sent = [Sent(key.decode(), value or b"") for _, key, value in fleet.read("events")]
    rejected = {key for _, key, _ in fleet.read(topics.REJECTED)}
    if len(sent) != produced or rejected:
        raise answers.WrongAnswer(f"{produced} produced, {len(sent)} in the log, rejected of {list(rejected)[:5]}")
    told["accepted"], told["rejected"] = produced, 0
    windows = fleet.newest(topics.WINDOWS)
    told["lines_checked"] = answers.check_windows(sent, windows, fleet.bundle.lines, fleet.bundle.age_ms)
    told["users"] = len(windows)
    if model:
        for name in (topics.RECOMMENDATIONS, topics.INTERESTS):
            keys = {key.decode() for _, key, _ in fleet.read(name)}
            if keys != windows.keys():
                raise answers.WrongAnswer(f"{len(windows)} users have a window, {len(keys)} a record in {name}")
    return told


def replay(fleet: Fleet, file: Path, topic: str) -> dict[str, Any]:
    """The command, as people type it; its last line."""
    command = [sys.executable, "-m", "stream.cli", "replay", str(file), "--bootstrap", fleet.bootstrap, "--to", topic]
    ran = subprocess.run([*command, "--format", "common"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if ran.returncode:
        raise answers.WrongAnswer(f"replay ended with {ran.returncode}: {ran.stderr[-1000:]}")
    told: dict[str, Any] = orjson.loads(ran.stdout.splitlines()[-1])
    return told
