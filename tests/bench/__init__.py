"""Benchmarks: right answers first, then events per second and p50/p95/p99 per step, one JSON line each.

`python -m tests.bench` runs all of them on Apache Kafka; `--help` names them.
"""
