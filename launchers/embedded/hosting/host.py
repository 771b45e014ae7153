"""One process that serves one model, as SageMaker runs a serving container."""

from __future__ import annotations

import contextlib
import http.client
import re
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from launchers.embedded.hosting.model_data import bring
from launchers.embedded.hosting.words import group_of
from launchers.embedded.logs import LogReader, size_of
from launchers.embedded.parts import Parts
from launchers.embedded.root import REGION
from launchers.embedded.runtimes import namespace
from launchers.embedded.runtimes.spec import Handle, LostError, Runtime, TrialSpec
from launchers.limits import has_gpu

COMMAND = (sys.executable, "-m", "sweepmaker.container", "serve")
"""What an image of ours is started with."""
PORT = "SAGEMAKER_BIND_TO_PORT"
START_S = 240.0  # Use Your Own Inference Code with Hosting Services, developer guide
STOP_S = 30.0  # likewise: from SIGTERM to SIGKILL
_PING_S = 2.0  # likewise: a ping has to be answered within
_AGAIN_S = 0.1
_SHOWN = 1 << 16  # bytes of an earlier server's log that are shown again
_LARGEST_LOG = 64 << 20  # bytes; what was before is kept once
_FIRST_WORDS = re.compile(r'\{"url": "http://127\.0\.0\.1:([0-9]{1,5})", "pid": ([0-9]+)\}')
_SOURCE = Path(__file__).resolve().parents[3] / "src"


class Host:
    """
    Args:
        parts: of the server.
        runtime: what starts it.
        endpoint: its name.
        plan: ``variant`` and ``container``.
        folder: of this process, for its ``/opt/ml``; beside it lies the endpoint's log.
    """

    def __init__(
        self,
        parts: Parts,
        runtime: Callable[[], Runtime],
        endpoint: str,
        plan: Mapping[str, Any],
        folder: Path,
    ) -> None:
        self._parts = parts
        self._runtime = runtime
        self._endpoint = endpoint
        self.plan = plan
        self._ml = folder / "ml"
        self._log = folder.parent / "log"
        self._handle: Handle | None = None
        stream = f"{plan['variant']['VariantName']}/i-{secrets.token_hex(8)}"
        begin = max(0, size_of(self._log) - _SHOWN)
        self._reader = LogReader(self._log, begin, parts.logs, stream, group=group_of(endpoint))
        self.port = 0
        """On which it listens; 0 before it says so."""

    def start(self, given_up: Callable[[], bool]) -> bool:
        """Bring the model, start the process, and wait until it answers /ping with 200.

        Returns:
            Whether it does; False also when ``given_up()`` says so.

        Raises:
            ModelDataError: there is no model.
        """
        namespace.clean(self._ml)  # of a process whose guard was killed
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.touch()
        bring(self._parts.store, self.plan["container"], self._ml / "model")
        limit = float(self.plan["variant"].get("ContainerStartupHealthCheckTimeoutInSeconds", START_S))
        self._reader.read(last=True)  # what an earlier one said of its port is not believed
        self._handle = self._runtime().start(self._spec(), self._log)
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline and not given_up():
            if self.port and self._answers():
                return True
            if self.ended(_AGAIN_S):
                break
        return False

    def ended(self, timeout: float) -> bool:
        """Wait so long; whether the process is over. What it printed goes to its log meanwhile."""
        assert self._handle is not None
        try:
            over = self._handle.wait(timeout) is not None
        except LostError:
            over = True
        self.read(last=over)
        self._reader.cut(_LARGEST_LOG)
        return over

    def note(self, text: str) -> None:
        """Something that whoever reads the endpoint's log should know."""
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"embedded SageMaker: {text}\n")
        self.read()

    def read(self, *, last: bool = False) -> None:
        """Take in what it printed, its port for one: the kernel gave it one that nobody else has."""
        for line in self._reader.read(last=last):
            said = _FIRST_WORDS.fullmatch(line)
            if said and not self.port and self._handle is not None and self._is_of_it(int(said[2])):
                self.port = int(said[1])

    def stop(self) -> None:
        """End it: requests at work get their answers within `STOP_S`."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        try:
            handle.terminate()
            with contextlib.suppress(LostError):
                handle.wait(STOP_S)
        finally:
            handle.kill()
            self.read(last=True)

    def _is_of_it(self, pid: int) -> bool:
        """Whether a process is the one that was started, or started by it."""
        assert self._handle is not None
        with contextlib.suppress(LostError):
            self._handle.wait(0)  # hears its number
        try:
            return self._handle.pid in (pid, *(one.pid for one in psutil.Process(pid).parents()))
        except psutil.Error:
            return False

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PING_S)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _spec(self) -> TrialSpec:
        variant, container = self.plan["variant"], self.plan["container"]
        kind = str(variant.get("InstanceType", ""))
        environment = {
            **self._parts.environment,
            "AWS_REGION": REGION,
            **container.get("Environment", {}),
            # where an image has /opt/ml to itself and all addresses, this one is on somebody's machine
            "SAGEMAKER_BASE_DIR": "/opt/ml",
            PORT: "0",  # any free one; chosen here it could be somebody else's by the time it is listened on
            "PYTHONPATH": str(_SOURCE),
        }
        return TrialSpec(
            name=self._endpoint,
            ml=self._ml,
            hyperparameters={},
            environment=environment,
            channels={},
            instance_type=kind or "ml.m5.large",
            checkpoint_path=None,
            image=str(container.get("Image", "")),
            entrypoint=COMMAND,
            cores=(),  # trials and endpoints share them
            threads=1,
            gpus=self._parts.slots.gpu_names if has_gpu(kind) else (),
            code=None,
        )
