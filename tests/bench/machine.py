"""What a figure was measured on: without it, it is no figure."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from confluent_kafka import libversion

PACKAGES = (
    "confluent-kafka",
    "faust-streaming",
    "aiokafka",
    "numpy",
    "orjson",
    "onnxruntime-gpu",
    "onnxruntime",
    "tokenizers",
)


def machine() -> dict[str, object]:
    """Cores, CPU, load, commit, Python and versions."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "commit": _commit(),
        "versions": {"librdkafka": libversion()[0], "kafka": _kafka(), **_versions()},
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit, with + where the checkout differs from it."""
    told = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _kafka() -> str:
    from tests.brokers import program

    jars = sorted((program() / "jars").glob("kafka_2.13-*.jar"))
    return jars[0].stem.removeprefix("kafka_2.13-") if jars else "unknown"
