"""Beside the line: how the command `firstclick` ends, in one table.

Knows nothing of what went wrong, only which code the shell gets and which line the operator reads. It imports nothing
that it names: an exception can only be here if its module has been imported by somebody else.

| code | means                      | for instance                                                       |
|------|----------------------------|--------------------------------------------------------------------|
| 0    | done                       | also: nothing to do, asked to stop and stopped                     |
| 1    | bad input found            | refused lines in a replay, topics that differ, a user without list |
| 2    | wrong usage                | an unknown option, a setting out of its range, a missing bundle    |
| 3    | cannot reach, not allowed  | no broker, no such topic, exactly-once where a broker cannot       |
| 70   | a bug                      | everything that nobody foresaw; `--debug` shows the traceback      |
| 130  | interrupted by Ctrl-C      | only where work was left undone                                    |
"""

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes; 70 and 130 as sysexits.h and the shells have them."""

    DONE = 0
    BAD_INPUT = 1
    USAGE = 2
    UNREACHABLE = 3
    BUG = 70
    INTERRUPTED = 130


class CommandError(Exception):
    """A foreseen end of a command.

    Args:
        said: what is wrong, naming the setting.
        remedy: what to do about it ("" where the first says it).
    """

    code = Exit.BUG

    def __init__(self, said: str, remedy: str = "") -> None:
        super().__init__(f"{said}; {remedy}" if remedy else said)


class BadInput(CommandError):
    """What was given to read is not right."""

    code = Exit.BAD_INPUT


class WrongUsage(CommandError):
    """A setting or an argument is not right."""

    code = Exit.USAGE


class Unreachable(CommandError):
    """What is asked for does not answer, or does not exist."""

    code = Exit.UNREACHABLE


class NotAllowed(CommandError):
    """What is asked for is there, and may or can not be had."""

    code = Exit.UNREACHABLE


# By full name, so that naming a class imports nothing; the first of an exception's ancestors that is listed counts.
CODES: dict[str, Exit] = {
    "click.exceptions.Abort": Exit.INTERRUPTED,
    "click.exceptions.ClickException": Exit.USAGE,
    "pydantic_core._pydantic_core.ValidationError": Exit.USAGE,
    "pydantic_settings.exceptions.SettingsError": Exit.USAGE,
    "tomllib.TOMLDecodeError": Exit.USAGE,
    "cimpl.KafkaException": Exit.UNREACHABLE,
    "stream.demo.broker.BrokerError": Exit.UNREACHABLE,
    "model.bundle.BundleError": Exit.USAGE,
    "model.session.DeviceError": Exit.UNREACHABLE,
    "model.training.encoders.EncoderError": Exit.USAGE,
    "model.training.logs.files.LogError": Exit.BAD_INPUT,
    "builtins.KeyboardInterrupt": Exit.INTERRUPTED,
    "builtins.FileNotFoundError": Exit.USAGE,
    "builtins.PermissionError": Exit.UNREACHABLE,
    "builtins.ConnectionError": Exit.UNREACHABLE,
    "builtins.TimeoutError": Exit.UNREACHABLE,
    "builtins.OSError": Exit.UNREACHABLE,
}


TRAIN = ("torch", "transformers", "peft", "optuna", "scipy", "sklearn", "implicit", "tensorboard", "onnxscript")
"""Packages of the extra [train], by the names that they are imported by."""


def exit_code(error: BaseException) -> Exit:
    """The code that this exception ends the command with."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, ModuleNotFoundError) and error.name in TRAIN:
        return Exit.USAGE
    for ancestor in type(error).__mro__:
        code = CODES.get(f"{ancestor.__module__}.{ancestor.__qualname__}")
        if code is not None:
            return code
    return Exit.BUG


def one_line(error: BaseException) -> str:
    """What the operator reads: one line, the setting's own name where there is one."""
    if exit_code(error) is Exit.BUG:
        return f"a bug in firstclick ({type(error).__name__}: {_flat(error)}); `firstclick --debug …` shows where"
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return "interrupted"
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; it comes with pip install 'firstclick[train]', or make install-train"
    problems = getattr(error, "errors", None)
    if callable(problems):  # pydantic's: one problem per setting, under the option's name
        return "; ".join(
            f"--{'.'.join(map(str, problem['loc'])).replace('_', '-')}: {problem['msg']}" for problem in problems()
        )
    formatted = getattr(error, "format_message", None)
    if callable(formatted):  # click's
        return " ".join(str(formatted()).split())
    kafka: Any = error.args[0] if error.args else None
    if hasattr(kafka, "retriable"):  # librdkafka's KafkaError inside its KafkaException
        option = "--kafka" if kafka.name() == "_INVALID_ARG" else "--bootstrap"  # A property that librdkafka lacks.
        return f"Kafka says: {kafka.str()} ({kafka.name()}); is {option} right? `firstclick doctor` looks"
    return _flat(error)


def _flat(error: BaseException) -> str:
    return " ".join(str(error).split())
