"""(a) steps 0 to 3 and 10, (b) the whole line with known items, (c) with a review text on every event.

Beside them what they are held against: stock Faust with a table, and the bare encoder.

All events are in Kafka before the worker starts: seconds run from its first micro-batch to the end of its last commit.
"""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from model.encoder import Encoder
from stream import topics
from tests.bench import answers
from tests.bench.fleet import Fleet, Sent, Worker, spread
from tests.bench.loads import Catalogue

LIMIT_S = 120.0


def without_model(fleet: Fleet, sent: Sequence[Sent], batch_events: int) -> dict[str, Any]:
    """(a) once: every window checked."""
    fleet.fresh()
    fleet.send("clicks", sent)
    with fleet.worker(model=False, batch_events=batch_events) as worker:
        fleet.await_done("clicks", timeout_s=LIMIT_S, workers=[worker])
        told = rates(worker, len(sent))
    told["lines_checked"] = answers.check_windows(
        sent, fleet.newest(topics.WINDOWS), fleet.bundle.lines, fleet.bundle.age_ms
    )
    return told


def whole_line(fleet: Fleet, sent: Sequence[Sent], shelf: Catalogue, topic: str) -> dict[str, Any]:
    """(b) and (c): the catalogue is on the shelf already; every window, list and vector checked."""
    keep = [topics.ITEMS, topics.catalogue_topic(fleet.bundle.space)]
    fleet.fresh(keep)
    fleet.send(topic, sent)
    with fleet.worker() as worker:
        fleet.await_done(topic, timeout_s=LIMIT_S, workers=[worker])
        told = rates(worker, len(sent))
    told["lines_checked"] = answers.check_windows(
        sent, fleet.newest(topics.WINDOWS), fleet.bundle.lines, fleet.bundle.age_ms
    )
    users = sorted({each.key for each in sent})
    ids = {str(item["item_id"]) for item in shelf.items}
    answers.check_lists(users, fleet.newest(topics.RECOMMENDATIONS), fleet.newest(topics.INTERESTS), ids)
    told["users_with_list_and_vector"] = len(users)
    return told


def rates(worker: Worker, events: int) -> dict[str, Any]:
    """Events per second, and where the seconds went."""
    samples = worker.samples()
    cpu_s = samples["cpu_s"] - worker.start_cpu_s
    batches = samples["batch_events"]["behaviour"]
    steps = {name.partition(".")[2]: rows for name, rows in samples["steps"].items() if name.startswith("behaviour.")}
    first = min(ended - took for rows in steps.values() for ended, took in rows)
    last = steps["commit"][-1][0]
    if sum(count for _, count in batches) != events:
        raise answers.WrongAnswer(f"{events} events sent, {sum(count for _, count in batches)} taken in")
    seconds = last - first
    known = {name: sum(value for _, value in rows) for name, rows in steps.items()}
    shares = {name: round(value / seconds, 3) for name, value in known.items()}
    shares["between"] = round(1 - sum(known.values()) / seconds, 3)  # Waiting: for events, and wait_ms between two.
    return {
        "events": events,
        "seconds": round(seconds, 3),
        "events_per_s": round(events / seconds),
        "batches": len(batches),
        "users_per_batch": round(float(np.mean([count for _, count in samples["batch_users"]["behaviour"]])), 1),
        "steps": {name: spread(value for _, value in rows) for name, rows in steps.items()},
        "share_of_seconds": shares,
        "cpu_us_per_event": round(cpu_s / events * 1e6, 1),
        "worker_memory_mib": round(samples["memory_mib"]),
    }


def stock_faust(fleet: Fleet, sent: Sequence[Sent]) -> dict[str, Any]:
    """Stock Faust doing (a) with the same events."""
    topic = "stock-clicks"
    from confluent_kafka.admin import NewTopic

    fleet.admin.create_topics([NewTopic(topic, 4, 1)])[topic].result()
    fleet.send(topic, sent)
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.stock", fleet.bootstrap, topic, str(len(sent))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    found = re.search(r"\{.*\}", ran.stdout)  # Faust's spinner stands around it.
    if found is None:
        raise RuntimeError(f"stock Faust said: {ran.stdout[-1000:]}{ran.stderr[-2000:]}")
    told: dict[str, Any] = orjson.loads(found[0])
    if told["lines"] != len(sent) or told["users"] != len({each.key for each in sent}):
        raise answers.WrongAnswer(f"stock Faust holds {told}")
    return {**told, "seconds": round(told["seconds"], 3), "events_per_s": round(len(sent) / told["seconds"])}


def bare_encoder(fleet: Fleet, texts: Sequence[str], threads: int) -> dict[str, Any]:
    """The encoder of (c) alone on the same texts, in one call."""
    encoder = Encoder(fleet.bundle, threads=threads)
    encoder.vectors(["warm up"])
    began = time.perf_counter()
    vectors = encoder.vectors(texts)
    seconds = time.perf_counter() - began
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4):
        raise answers.WrongAnswer("a vector is not of unit length")
    return {"texts": len(texts), "seconds": round(seconds, 3), "texts_per_s": round(len(texts) / seconds, 1)}
