"""One attempt at a training job: its folder made, its process started and watched until it has ended."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from launchers.embedded import artifacts, tree
from launchers.embedded.faults import has_step
from launchers.embedded.logs import LogReader
from launchers.embedded.metrics import Metrics
from launchers.embedded.parts import Parts
from launchers.embedded.root import REGION
from launchers.embedded.runtimes.spec import Handle, LostError, Runtime, TrialSpec
from launchers.embedded.slots import Slot
from launchers.embedded.state import Job

_OPT_ML = PurePosixPath("/opt/ml")
_SHUTDOWN_GRACE_S = 30.0  # a server that is told to end waits so long for its trials to save at most


class Attempt:
    """
    Args:
        parts: of the server.
        job: as it stands at the start.
        slot: what it may use.
    """

    def __init__(self, parts: Parts, job: Job, slot: Slot) -> None:
        self._parts = parts
        self._document: Mapping[str, Any] = job.document
        self._name = job.name
        self._slot = slot
        self.folder = parts.root.job(job.name)
        self.ml = self.folder / "ml"
        self.checkpoints = self._checkpoints(job)
        self.seconds = 0.0
        """That the process ran."""
        self.stream = f"{job.name}/algo-1-{int(time.time())}"
        """Its log in CloudWatch."""
        self.log = self.folder / "log"
        self.read = int(job.private.get("read", 0))
        """Bytes of the log whose metrics have been taken in."""

    def prepare(self, *, keep_checkpoints: bool) -> TrialSpec:
        """The folder that the process finds at ``/opt/ml``.

        Args:
            keep_checkpoints: those of an attempt on this very machine are still there.

        Raises:
            DownloadError: an input is not there.
        """
        self._clear(keep_checkpoints and self.checkpoints is not None)
        spec = self._spec()
        tree.write(self.ml, job=spec)
        for channel in self._document.get("InputDataConfig", []):
            files = artifacts.channel_files(self._parts.store, channel)
            tree.channels(self.ml, channel["ChannelName"], files)
        if self.checkpoints is not None and not keep_checkpoints:
            self.checkpoints.restore()
        return spec

    def run(
        self,
        runtime: Runtime,
        spec: TrialSpec,
        metrics: Metrics,
        *,
        stopped: Callable[[], str | None],
        told: Callable[[list[tuple[int, float]]], None],
    ) -> tuple[int | None, str | None]:
        """Start the process and stay with it.

        Args:
            runtime: what starts it.
            spec: as `prepare` made it.
            metrics: take in its output.
            stopped: why it is to end now, or None; asked again and again.
            told: called when there are new values, with (resource, value) of the objective.

        Returns:
            (exit code, why it was asked to end). The code is None where nobody can tell it: the
            process that watched over it was killed. A trial that ended by itself was not asked.
        """
        self.log.touch()
        # from where a server that was killed had come to, not from the end: what it didn't see counts
        reader = LogReader(self.log, min(self.read, self.log.stat().st_size), self._parts.logs, self.stream)
        started = time.monotonic()
        handle = runtime.start(spec, self.log)
        try:
            return self._watch(handle, reader, metrics, started, stopped, told)
        finally:
            handle.kill()  # nothing of it is left, whatever happened here
            self.seconds = time.monotonic() - started

    def _watch(
        self,
        handle: Handle,
        reader: LogReader,
        metrics: Metrics,
        started: float,
        stopped: Callable[[], str | None],
        told: Callable[[list[tuple[int, float]]], None],
    ) -> tuple[int | None, str | None]:
        settings, asked, deadline, copied = self._parts.settings, None, 0.0, started
        limit = float(self._document["StoppingCondition"].get("MaxRuntimeInSeconds", 86400))
        while True:
            code, over = _waited(handle, settings.poll_s)
            lines = self._look(reader, metrics, told, last=over)
            if over:
                self._copy_checkpoints()
                return code, asked
            now = time.monotonic()
            if asked is None:
                asked = self._reason(lines, now - started, limit, stopped)
                if asked is not None:
                    grace = settings.stop_grace_s
                    deadline = now + (min(grace, _SHUTDOWN_GRACE_S) if asked == "shutdown" else grace)
                    handle.terminate()
            elif now >= deadline:
                handle.kill()
                self._look(reader, metrics, told, last=True)
                self._copy_checkpoints()
                return -signal.SIGKILL, asked
            if now - copied >= settings.checkpoint_s:
                self._copy_checkpoints()
                copied = time.monotonic()

    def _reason(
        self, lines: list[str], seconds: float, limit: float, stopped: Callable[[], str | None]
    ) -> str | None:
        if (why := stopped()) is not None:
            return why
        if seconds >= limit:
            return "max_runtime"
        if self._document.get("EnableManagedSpotTraining"):
            step = next((line for line in reversed(lines) if has_step(line)), None)
            if self._parts.faults.interrupts(self._name, seconds=seconds, line=step):
                return "spot"
        return None

    def _look(
        self,
        reader: LogReader,
        metrics: Metrics,
        told: Callable[[list[tuple[int, float]]], None],
        *,
        last: bool,
    ) -> list[str]:
        lines, seen = reader.read(last=last), metrics.seen
        reached = [found for line in lines for found in metrics.read(line)]
        self.read = reader.position
        if metrics.seen > seen:
            told(reached)
        return lines

    def _copy_checkpoints(self) -> None:
        if self.checkpoints is not None:
            self.checkpoints.copy()

    def _clear(self, keep_checkpoints: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not keep_checkpoints:
            shutil.rmtree(self.ml, ignore_errors=True)
            return
        for name in ("input", "model", "output", "code"):
            shutil.rmtree(self.ml / name, ignore_errors=True)

    def _checkpoints(self, job: Job) -> artifacts.Checkpoints | None:
        config = job.document.get("CheckpointConfig")
        if not config:
            return None
        local = PurePosixPath(config.get("LocalPath") or "/opt/ml/checkpoints")
        folder = self.ml / local.relative_to(_OPT_ML)
        # trials of a tuning job share the address: each brings back only what is below its own name
        within = job.name if job.parent else ""
        return artifacts.Checkpoints(self._parts.store, folder, config["S3Uri"], within)

    def _spec(self) -> TrialSpec:
        document = self._document
        specification = document["AlgorithmSpecification"]
        resources = document["ResourceConfig"]
        entry = (
            *specification.get("ContainerEntrypoint", ()),
            *specification.get("ContainerArguments", ()),
        )
        config = document.get("CheckpointConfig")
        return TrialSpec(
            name=self._name,
            ml=self.ml,
            hyperparameters=dict(document["HyperParameters"]),
            environment={
                **self._parts.environment,
                **document.get("Environment", {}),
                "TRAINING_JOB_NAME": self._name,
                "TRAINING_JOB_ARN": document["TrainingJobArn"],
                "AWS_REGION": REGION,
            },
            channels=_channels(document),
            instance_type=str(resources.get("InstanceType", "ml.m5.large")),
            instance_count=1,
            checkpoint_path=(config.get("LocalPath") or "/opt/ml/checkpoints") if config else None,
            image=str(specification.get("TrainingImage", "")),
            entrypoint=entry or None,
            cores=self._slot.cores,
            threads=self._slot.threads,
            gpus=self._slot.gpus,
            code=artifacts.code(self._parts.store, document["HyperParameters"], self.folder),
        )


def _waited(handle: Handle, seconds: float) -> tuple[int | None, bool]:
    """The exit code where one is known, and whether the process is over."""
    try:
        code = handle.wait(seconds)
    except LostError:
        return None, True
    return code, code is not None


def _channels(document: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """``inputdataconfig.json``, as the service writes it."""
    mode = document["AlgorithmSpecification"]["TrainingInputMode"]
    found: dict[str, dict[str, str]] = {}
    for channel in document.get("InputDataConfig", []):
        source = channel["DataSource"]["S3DataSource"]
        found[channel["ChannelName"]] = {
            "TrainingInputMode": channel.get("InputMode") or mode,
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            **({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {}),
        }
    return found


def failure_of(ml: Path, code: int | None) -> str:
    """FailureReason of a process that ended with ``code`` (negative: by that signal)."""
    path = ml / "output" / "failure"
    try:
        text = path.read_bytes()[:4096].decode(errors="replace").strip()
    except OSError:
        text = ""
    number = code if code is None or code >= 0 else 128 - code
    if not text:
        text = "the process was killed" if number == 137 else "no failure was written"
    return f"AlgorithmError: {text[:1024]}, exit code: {number}"[:1024]
