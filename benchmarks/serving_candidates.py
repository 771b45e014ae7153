"""The servers that benchmarks/serving.py compares, each a process group that can be paused."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import ROOT

PEERS = ROOT / ".venv-peers" / "bin"
HERE = ROOT / "benchmarks" / "peers"
_START_S = 240.0


@dataclass
class Candidate:
    """A running server.

    Attributes:
        name: in the table.
        port: on 127.0.0.1.
        path: of its predictions.
    """

    name: str
    port: int
    path: str
    process: subprocess.Popen[bytes]

    def pause(self) -> None:
        """Take no time from the others: some servers look for work all the time."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def answers(self, body: bytes) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            connection.request("POST", self.path, body, {"Content-Type": "application/json"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environment(**extra: str) -> dict[str, str]:
    """Whatever is set about threads here is left to each server's own default."""
    env = {
        key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    }
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env | {"PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": ""} | extra


@contextlib.contextmanager
def running(
    name: str, command: list[str], port: int, path: str, log: Path, **env: str
) -> Iterator[Candidate]:
    """A server as a process group of its own, killed as one."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=log.parent, env=environment(**env), stdout=output, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        yield Candidate(name, port, path, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(candidate: Candidate, body: bytes, log: Path) -> None:
    """Until it answers.

    Raises:
        SystemExit: it has ended, or does not.
    """
    deadline = time.monotonic() + _START_S
    while not candidate.answers(body):
        if candidate.process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{candidate.name} does not answer:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)


@contextlib.contextmanager
def ours(name: str, model: Path, folder: Path, body: bytes, *options: str) -> Iterator[Candidate]:
    """Our server with its own defaults, but for ``options``."""
    port, log = free_port(), folder / f"{name.replace(' ', '_')}.log"
    words = [
        sys.executable,
        "-m",
        "sweepmaker.serving.server",
        "--model-dir",
        str(model),
        "--port",
        str(port),
    ]
    with running(name, [*words, *options], port, "/invocations", log) as candidate:
        wait_for(candidate, body, log)
        yield candidate


@contextlib.contextmanager
def litserve(
    name: str, kind: str, workers: str, folder: Path, body: bytes, **env: str
) -> Iterator[Candidate]:
    """LitServe; ``workers`` of it or "default"."""
    port, log = free_port(), folder / f"{name.replace(' ', '_')}.log"
    command = [str(PEERS / "python"), str(HERE / "litserve_server.py"), kind, str(port), workers]
    with running(name, command, port, "/invocations", log, **env) as candidate:
        wait_for(candidate, body, log)
        yield candidate


@contextlib.contextmanager
def torchserve(
    name: str, kind: str, workers: int | None, folder: Path, body: bytes, weights: Path, **env: str
) -> Iterator[Candidate]:
    """TorchServe; None: as many workers as it chooses."""
    home = folder / name.replace(" ", "_")
    home.mkdir()
    words = [
        str(PEERS / "torch-model-archiver"), "--model-name", "model", "--version", "1",
        "--export-path", str(home), "--handler", str(HERE / f"torchserve_{kind}.py"),
    ]  # fmt: skip
    if kind == "default":
        words += ["--model-file", str(HERE / "torchserve_model.py"), "--serialized-file", str(weights)]
    subprocess.run(words, check=True, env=environment(), capture_output=True)
    ports = [free_port() for _ in range(5)]
    settings = {
        "inference_address": f"http://127.0.0.1:{ports[0]}",
        "management_address": f"http://127.0.0.1:{ports[1]}",
        "metrics_address": f"http://127.0.0.1:{ports[2]}",
        "grpc_inference_port": ports[3],
        "grpc_management_port": ports[4],
        "initial_worker_port": free_port(),
        "disable_token_authorization": "true",
    }
    if workers is not None:
        settings["default_workers_per_model"] = workers
    (home / "config.properties").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    command = [
        str(PEERS / "torchserve"), "--start", "--foreground", "--ncs", "--model-store", str(home),
        "--models", "model=model.mar", "--ts-config", str(home / "config.properties"), "--disable-token-auth",
    ]  # fmt: skip
    path = os.pathsep.join([str(PEERS), os.environ["PATH"]])
    with running(
        name, command, ports[0], "/predictions/model", home / "log", PATH=path, LOG_LOCATION=str(home),
        METRICS_LOCATION=str(home), TEMP=str(home), **env,
    ) as candidate:  # fmt: skip
        wait_for(candidate, body, home / "log")
        yield candidate


def check() -> None:
    """
    Raises:
        SystemExit: the peers are not installed.
    """
    if not PEERS.exists():
        raise SystemExit("the other servers are missing; make peers installs them")
    if shutil.which("java") is None:
        raise SystemExit("TorchServe needs Java: apt-get install openjdk-17-jre-headless")


def question(jpeg: bytes) -> bytes:
    """The body that every server is sent: base64 in JSON, since LitServe takes nothing else."""
    import base64

    return json.dumps({"image": base64.b64encode(jpeg).decode()}).encode()
