"""Every knob that an operator may turn: its unit in the name, its default, and what both directions cost.

Knows nothing of what the knobs do inside. Command line over environment (`FIRSTCLICK_…`) over TOML file over the
default below. Each field's text is its `--help`; its group is the heading that it stands under.
"""

import os
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from model.bundle import DEFAULT_BUNDLE
from model.formats import CONTRACT
from model.formats import NAMES as FORMATS
from stream.client import pointed, resolved, told_properties
from stream.errors import WrongUsage


def _names(value: object) -> object:
    """`a,b` and `["a", "b"]` are the same list of names."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _reachable(value: object) -> dict[str, str]:
    """The properties, once what they point to has been found."""
    properties = told_properties(value)
    resolved(properties)
    return properties


Properties = Annotated[dict[str, str], NoDecode, BeforeValidator(_reachable)]


def split_format(name: str) -> tuple[str, str]:
    """`clicks:ga4` -> (`clicks`, `ga4`); without a format it is the contract's. Topics have no colon in their names."""
    topic, _, form = name.partition(":")
    return topic, form or CONTRACT


DEVICE = r"^(cpu|cuda(:\d+)?)$"
"""What --device may name."""
KEY_BYTES = range(16, 65)
"""Shorter, it could be guessed; longer, BLAKE2b takes none."""


def _key(value: object) -> object:
    """The text, once what it points to has been found long enough."""
    if isinstance(value, str) and value and len(pointed("--log-key", value).encode()) not in KEY_BYTES:
        remedy = "write one with `openssl rand -hex 32`"
        raise WrongUsage(f"--log-key must have {KEY_BYTES[0]} to {KEY_BYTES[-1]} bytes, it has not", remedy)
    return value


HashKey = Annotated[str, BeforeValidator(_key)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")]


def _knob(default: Any, group: str, text: str, **limits: Any) -> Any:
    return Field(default=default, description=text, json_schema_extra={"group": group}, **limits)


class Settings(BaseSettings):
    """One worker's settings, checked at start and never changed after."""

    # A refused value may hold a secret: errors name the field, and what was expected.
    model_config = SettingsConfigDict(env_prefix="FIRSTCLICK_", frozen=True, extra="forbid", hide_input_in_errors=True)

    # Kafka
    bootstrap: str = _knob("localhost:9092", "Kafka", "Brokers to ask first, host:port, comma-separated.", min_length=1)
    events: Names = _knob(
        ("clicks", "browses", "reviews", "events"),
        "Kafka",
        "Topics with behaviour events, keyed by user id. All need the same number of partitions and one partitioner. "
        f"A topic's records may be of another format: clicks:ga4 ({', '.join(FORMATS)}).",
    )
    items: Topic = _knob("items", "Kafka", "Topic with product upserts, keyed by item id.")
    registry: str = _knob(
        "",
        "Kafka",
        "URL of the schema registry of producers that frame their records (magic byte 0, schema id), with JSON Schema "
        "or Avro; https://user:secret@… for one that asks who it is: from the environment or a file, never typed here. "
        "Without it such records are rejected.",
        pattern=r"^(https?://\S+)?$",
        repr=False,  # May hold a secret.
    )
    group: str = _knob("firstclick", "Kafka", "Consumer group: workers with one name share the work.", min_length=1)
    replica: str = _knob(
        "",
        "Kafka",
        "This worker's own stable name (its transactional id). The same name coming back ends its dead predecessor's "
        "transaction at once; two live workers with one name fence each other. Default: host name and web port.",
    )
    guarantee: Literal["auto", "exactly_once", "at_least_once"] = _knob(
        "auto",
        "Kafka",
        "exactly_once: one transaction per micro-batch; refused where the broker does not isolate transactions. "
        "at_least_once: for such brokers; repeats are the same bytes under the same key. auto: the first where it can.",
    )
    group_protocol: Literal["auto", "consumer", "classic"] = _knob(
        "auto",
        "Kafka",
        "consumer: KIP-848, kept partitions flow on while others move. classic: for brokers before 4.0; every "
        "rebalance stops all. auto: the first where the broker has it.",
    )
    session_timeout_ms: int = _knob(
        6_000,
        "Kafka",
        "Classic groups: silence after which a worker counts as dead. Less: faster takeover. More: survives pauses.",
        ge=1_000,
    )
    transaction_timeout_ms: int = _knob(
        10_000,
        "Kafka",
        "A dead worker's open transaction hides what follows it for this long. Less: faster takeover. More: survives "
        "slow brokers.",
        ge=1_000,
        le=900_000,
    )
    kafka: Properties = _knob(
        {},
        "Kafka",
        "Further librdkafka properties for every client, such as TLS and SASL: a file of name=value lines, or JSON "
        'such as {"security.protocol": "SASL_SSL", …}. Secrets: file:PATH or env:NAME, never typed here.',
        repr=False,  # May hold secrets.
    )

    # Model
    bundle: Path = _knob(
        DEFAULT_BUNDLE, "Model", "Folder of the model. Default: the zero-shot bundle of `make install`."
    )
    device: str = _knob("cpu", "Model", "cpu, cuda or cuda:1. A device that is not there is refused.", pattern=DEVICE)
    threads: int = _knob(
        min(os.cpu_count() or 1, 4),
        "Model",
        "Threads of the model on a CPU. More: shorter batches. Beyond the cores: slower.",
        ge=1,
        le=256,
    )
    padded_tokens: int = _knob(
        8_192, "Model", "Tokens of one encoder call, padding included. More: fuller GPU. Less: less memory.", ge=256
    )

    # Batches
    batch_events: int = _knob(
        16_384,
        "Batches",
        "Most events in one transaction. More: throughput under load. Less: shorter waits behind a full batch.",
        ge=1,
        le=100_000,
    )
    batch_users: int = _knob(
        1_024,
        "Batches",
        "Users whose lists are due that end a batch early. More: throughput under load. Less: shorter waits.",
        ge=1,
        le=65_536,
    )
    batch_texts: int = _knob(
        128,
        "Batches",
        "Texts to encode that end a batch early: a second's work of two cores. More, thousands on a GPU: throughput. "
        "Less: shorter waits.",
        ge=1,
        le=65_536,
    )
    wait_ms: int = _knob(
        20,
        "Batches",
        "Least time between two transactions; what comes meanwhile shares the next. Less: back-to-back transactions "
        "take 27-50 ms each instead of 4. More: fuller batches, and it is added to latency under load.",
        ge=0,
        le=10_000,
    )
    counts_every_ms: int = _knob(
        2_000,
        "Batches",
        "How often an item's popularity is summed and sent to all workers. Less: fresher. More: fewer records.",
        ge=0,
        le=600_000,
    )

    # Lists
    list_items: int = _knob(10, "Lists", "Items of one recommendation list.", ge=1, le=100)
    candidates: int = _knob(
        200, "Lists", "Items retrieved per user before scoring. More: better lists. Less: faster.", ge=10, le=10_000
    )
    repeat_categories: Names = _knob(
        (),
        "Lists",
        "Categories (shell patterns, comma-separated) whose bought items may be recommended again, such as 'Grocery*'.",
    )
    moved: float = _knob(
        0.0,
        "Lists",
        "Cosine distance that a vector must move to be published while its list stays the same. 0: any change.",
        ge=0.0,
        le=2.0,
    )

    # Windows
    forget_days: int = _knob(
        400,
        "Windows",
        "Days without an event after which a user's window, list and vector are deleted. Memory and changelogs grow "
        "with the users held.",
        ge=1,
        le=36_500,
    )

    # Operations
    web_host: str = _knob("0.0.0.0", "Operations", "Address of /healthz, /readyz and /metrics.")
    web_port: int = _knob(
        6066,
        "Operations",
        "Port of /healthz, /readyz and /metrics. Each worker of a host needs its own.",
        ge=1,
        le=65_535,
    )
    stuck_ms: int = _knob(
        120_000,
        "Operations",
        "Beyond the transaction timeout, silence after which a loop counts as stuck: /healthz and /readyz turn red. "
        "Less: restarted sooner. More: survives slow brokers and models.",
        ge=1_000,
    )
    log: Literal["text", "json"] = _knob("text", "Operations", "text: lines for people. json: an object a line.")
    log_level: Literal["debug", "info", "warning", "error"] = _knob(
        "info", "Operations", "What the log tells. User ids are hashed; only debug quotes texts."
    )
    log_key: HashKey = _knob(
        "",
        "Operations",
        "Key of the hashes that stand for user ids in the log: file:PATH or env:NAME, 16 to 64 bytes. The same on all "
        "workers: a user is the same hash in all their logs, and who has the key can look one up. Without it each "
        "process draws a key of its own, and forgets it.",
        repr=False,  # May be the secret itself.
    )

    @field_validator("events")
    @classmethod
    def _some_events(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        told = [split_format(name) for name in value]
        if not told or len({topic for topic, _ in told}) != len(told):
            raise ValueError("name at least one topic, and each once")
        for topic, form in told:
            if form not in FORMATS:
                raise ValueError(f"{topic}:{form}: no format is called {form}; known are {', '.join(FORMATS)}")
        return value

    @property
    def formats(self) -> dict[str, str]:
        """Topic of events -> the format of its records, in the order of `events`."""
        return dict(map(split_format, self.events))

    @property
    def replica_name(self) -> str:
        """This worker's stable name: `replica`, else host name and web port (which no two workers of a host share)."""
        return self.replica or f"{socket.gethostname()}-{self.web_port}"

    @property
    def hash_key(self) -> bytes:
        """What `log_key` points to; empty where none is told."""
        return pointed("--log-key", self.log_key).encode()

    @property
    def client(self) -> dict[str, str | int | float | bool]:
        """The librdkafka properties that every client of this worker shares."""
        return {"bootstrap.servers": self.bootstrap, **resolved(self.kafka)}

    @classmethod
    def load(cls, toml: Path | None = None, **given: Any) -> Self:
        """Settings from the command line (`given`), the environment and a TOML file, in this order of strength.

        Raises:
            pydantic.ValidationError: a value out of its range, or an unknown name.
            WrongUsage: the file is not TOML.
        """

        class Loaded(cls):  # type: ignore[misc, valid-type]
            model_config = SettingsConfigDict(toml_file=toml)

            @classmethod
            def settings_customise_sources(
                cls,
                settings_cls: type[BaseSettings],
                init_settings: PydanticBaseSettingsSource,
                env_settings: PydanticBaseSettingsSource,
                dotenv_settings: PydanticBaseSettingsSource,
                file_secret_settings: PydanticBaseSettingsSource,
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                return init_settings, EnvSettingsSource(settings_cls), TomlConfigSettingsSource(settings_cls)

        try:
            return cls.model_validate(Loaded(**given).model_dump())
        except tomllib.TOMLDecodeError as error:
            raise WrongUsage(f"{toml} is not TOML: {error}") from error
