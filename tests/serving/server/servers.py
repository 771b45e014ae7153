"""Real servers for the tests: started as people start them, asked over real sockets, watched to their end."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

CHECKOUT = Path(__file__).resolve().parents[3]
STAND_IN = "tests.serving.server.stand_in"
WITHIN_S = 120.0  # however busy the machine is


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A running server: its process, where it listens, and the lines of its log so far."""

    process: subprocess.Popen[str]
    port: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def read_log(self) -> None:
        """Keep what it prints on stderr, in a thread."""

        def read() -> None:
            assert self.process.stderr is not None
            for line in self.process.stderr:
                if line.startswith("{"):
                    self.log.append(json.loads(line))
                else:
                    self.plain.append(line)

        self._threads.append(threading.Thread(target=read, daemon=True))
        self._threads[-1].start()

    def connect(self, timeout: float = WITHIN_S) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self, method: str, path: str, body: Any = None, connection: http.client.HTTPConnection | None = None,
        **headers: str,
    ) -> Answer:  # fmt: skip
        """One request, on a connection of its own where none is given."""
        own = connection or self.connect()
        try:
            own.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            response = own.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            if connection is None:
                own.close()

    def order(self, do: str = "echo", **more: Any) -> Answer:
        """Ask the stand-in's model."""
        return self.ask(
            "POST", "/invocations", json.dumps({"do": do, **more}), content_type="application/json"
        )

    def in_background(self, work: Callable[[], Any]) -> Callable[[], Any]:
        """Do ``work`` in a thread; the function that waits for what it returns (or raised)."""
        found: list[Any] = []

        def run() -> None:
            try:
                found.append(work())
            except Exception as error:
                found.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def result() -> Any:
            thread.join(WITHIN_S)
            return found[0]

        return result

    def ready(self) -> None:
        """Wait until the model answers."""
        until(lambda: self.ask("GET", "/ping").status == 200, self.end_of_log)

    def plan(self) -> dict[str, Any]:
        """What was planned, once all its workers are ready."""
        until(lambda: self.events("plan"), self.end_of_log)
        (plan,) = self.events("plan")
        until(lambda: self.metric("sweepmaker_workers_ready") == plan["workers"], self.end_of_log)
        return plan

    def workers(self) -> list[psutil.Process]:
        """The processes that compute: children of the nursery."""
        return [one for nursery in psutil.Process(self.process.pid).children() for one in nursery.children()]

    def family(self) -> list[psutil.Process]:
        """Every process of the server."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def metric(self, line: str) -> float:
        """A value of ``/metrics`` by everything that stands before it."""
        text = self.ask("GET", "/metrics").body.decode()
        found = [float(one.rpartition(" ")[2]) for one in text.splitlines() if one.startswith(line + " ")]
        return found[0] if found else 0.0

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log lines about an event."""
        return [line for line in self.log if line["event"] == name]

    def end(self, signum: int = 15) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(signum)
        code = self.process.wait(WITHIN_S)
        for thread in self._threads:
            thread.join(WITHIN_S)
        return code

    def end_of_log(self) -> str:
        return "\n".join([*map(str, self.log[-10:]), *self.plain[-10:]])


def until(true: Callable[[], Any], what: Callable[[], str] = str, within_s: float = WITHIN_S) -> None:
    """Wait for ``true``."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)


def command(model_dir: Path, *options: str) -> list[str]:
    """The server's command line."""
    module = "sweepmaker.serving.server"
    return [sys.executable, "-m", module, "--model-dir", str(model_dir), "--port", "0", *options]


def environment(**extra: str) -> dict[str, str]:
    """One thread, no GPU, this checkout's code."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env | {"PYTHONPATH": f"{CHECKOUT / 'src'}{os.pathsep}{CHECKOUT}"} | extra


@contextmanager
def listening(words: list[str], **extra: str) -> Iterator[Server]:
    """A server from its first words on; whatever is left of it at the end is killed."""
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        env=environment(**extra), cwd=CHECKOUT,
    )  # fmt: skip
    server = Server(process)
    try:
        server.read_log()
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (process.wait(WITHIN_S), server.end_of_log())
        server.port = int(json.loads(line)["url"].rpartition(":")[2])
        yield server
    finally:
        family = server.family() if process.poll() is None else []
        for one in family:
            if one.is_running():
                one.kill()
        process.wait()
        for thread in server._threads:
            thread.join(WITHIN_S)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def stand_in(folder: Path, *options: str, workers: int = 1, **extra: str) -> Iterator[Server]:
    """A server with the stand-in's model, ready."""
    words = command(folder, "--handler", STAND_IN, "--workers", str(workers), *options)
    with listening(words, **extra) as server:
        if "SERVING_GATE" not in extra:
            server.ready()
        yield server


def ended(words: list[str], **extra: str) -> subprocess.CompletedProcess[str]:
    """A server that does not come to serve: run to its end."""
    return subprocess.run(
        words, capture_output=True, text=True, env=environment(**extra), timeout=WITHIN_S,
        stdin=subprocess.DEVNULL, cwd=CHECKOUT,
    )  # fmt: skip


def gone(processes: list[psutil.Process], within_s: float = 20) -> bool:
    """Whether they all end; a zombie that its parent has not looked at has ended."""

    def lives(one: psutil.Process) -> bool:
        try:
            return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + within_s
    while any(map(lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(lives, processes))
