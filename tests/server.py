"""`firstclick serve` as a process of its own: started, asked over real HTTP, told to stop."""

import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import orjson

from stream.demo.broker import dies_with_parent
from tests.eventually import eventually

START_S = 60.0  # 2 s on two idle cores.
ASK_S = 30.0
STOP_S = 30.0


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


class Server:
    """Serves the topics of a broker; stopped by the end of `with`."""

    def __init__(self, bootstrap: str, *options: str) -> None:
        self._told = ""
        self._said = tempfile.TemporaryFile("w+b")  # noqa: SIM115 (closed when the process has ended)
        command = [sys.executable, "-m", "stream.cli", "serve", "--bootstrap", bootstrap, "--port", "0", *options]
        rest = {key: value for key, value in os.environ.items() if not key.startswith("FIRSTCLICK_")}
        self.process = subprocess.Popen(
            dies_with_parent(command), env=rest, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._said
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.startswith("serving http://"), self.said()
        self.url = line.split()[1].partition("/v1/")[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def said(self) -> str:
        """The end of its log; all of it once it has ended."""
        if not self._said.closed:
            self._said.seek(0)
            self._told = self._said.read().decode(errors="replace")[-3000:]
        return self._told

    def ask(self, path: str, **headers: str) -> Answer:
        """A page, whatever its status."""
        request = urllib.request.Request(
            self.url + path, headers={key.replace("_", "-"): value for key, value in headers.items()}
        )
        try:
            with urllib.request.urlopen(request, timeout=ASK_S) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, dict(refused.headers), refused.read())

    def list_of(self, user_id: str, query: str = "", **headers: str) -> Answer:
        """A user's list."""
        return self.ask(f"/v1/users/{quote(user_id, safe='')}/recommendations{query}", **headers)

    def await_ready(self) -> Self:
        """Until all is read."""
        eventually(lambda: self.ask("/readyz").status == 200, START_S, self.said)
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code; harmless when it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process.wait()
            self.said()
            self._said.close()
            if self.process.stdout is not None:
                self.process.stdout.close()
