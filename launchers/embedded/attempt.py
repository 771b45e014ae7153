"""One attempt at a training job: its folder made, its process started and watched until it has ended."""

from __future__ import annotations

import math
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
from launchers.embedded.runtimes import namespace
from launchers.embedded.runtimes.spec import Handle, LostError, Runtime, TrialSpec
from launchers.embedded.slots import Slot
from launchers.embedded.state import Job

_OPT_ML = PurePosixPath("/opt/ml")
_SHUTDOWN_GRACE_S = 30.0  # a server that is told to end waits so long for its trials to save at most
_LATE_S = 5.0  # and then so long for what they printed


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
        self._before = float(job.private.get("seconds", 0.0))
        self.seconds = self._before
        """That the job's processes ran, in this attempt and in those before."""
        self._first = job.private["attempts"] == 0
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
        with self._parts.store.pinned():
            spec = self._spec()
            tree.write(self.ml, job=spec)
            for channel in self._document.get("InputDataConfig", []):
                files = artifacts.channel_files(self._parts.store, channel)
                tree.channels(self.ml, channel["ChannelName"], files)
            if self.checkpoints is not None:
                self._bring_back(self.checkpoints, keep_checkpoints)
        return spec

    def run(
        self,
        runtime: Runtime,
        spec: TrialSpec,
        metrics: Metrics,
        *,
        stopped: Callable[[], str | None],
        told: Callable[[list[tuple[int, float]]], None],
        ending: Callable[[str], None],
    ) -> tuple[int | None, str | None]:
        """Start the process and stay with it.

        Args:
            runtime: what starts it.
            spec: as `prepare` made it.
            metrics: take in its output.
            stopped: why it is to end now, or None; asked again and again.
            told: called when there are new values, with (resource, value) of the objective, and now and
                then without.
            ending: called with why the process has just been asked to end.

        Returns:
            (exit code, why it was asked to end). The code is None where nobody can tell it: the
            process that watched over it was killed. A trial that ended by itself was not asked.
        """
        self.log.touch()
        # from where a server that was killed had come to, not from the end: what it didn't see counts
        reader = LogReader(self.log, min(self.read, self.log.stat().st_size), self._parts.logs, self.stream)
        handle = runtime.start(spec, self.log)
        started = time.monotonic()  # now: the first one waits until a warm process is warm
        try:
            return self._watch(handle, reader, metrics, started, stopped, told, ending)
        finally:
            handle.kill()  # nothing of it is left, whatever happened here
            self.seconds = self._before + time.monotonic() - started

    def _watch(
        self,
        handle: Handle,
        reader: LogReader,
        metrics: Metrics,
        started: float,
        stopped: Callable[[], str | None],
        told: Callable[[list[tuple[int, float]]], None],
        ending: Callable[[str], None],
    ) -> tuple[int | None, str | None]:
        settings, asked, deadline, copied = self._parts.settings, None, 0.0, started
        while True:
            code, over = _waited(handle, settings.poll_s)
            now = time.monotonic()
            self.seconds = self._before + now - started
            if not over and asked is not None and now >= deadline:
                handle.kill()
                code, over = -signal.SIGKILL, True
            if over:
                self._read_all(reader, metrics, told, _LATE_S if asked == "shutdown" else math.inf)
                self.save_checkpoints()
                return code, asked
            lines = self._look(reader, metrics, told, last=False)
            if asked is None:
                asked = self._reason(lines, now - started, stopped)
                if asked is not None:
                    grace = settings.stop_grace_s
                    deadline = now + (min(grace, _SHUTDOWN_GRACE_S) if asked == "shutdown" else grace)
                    handle.terminate()
                    ending(asked)
            if now - copied >= settings.checkpoint_s:
                self.save_checkpoints()
                told([])
                copied = time.monotonic()

    def _reason(self, lines: list[str], seconds: float, stopped: Callable[[], str | None]) -> str | None:
        """Why the process is to end that has run for ``seconds``, or None."""
        if (why := stopped()) is not None:
            return why
        # of all attempts together: CreateTrainingJob, API reference
        if self.seconds >= float(self._document["StoppingCondition"].get("MaxRuntimeInSeconds", 86400)):
            return "max_runtime"
        if wait_is_over(self._document):
            return "max_wait"
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
        if metrics.given_up:
            self._note(*metrics.given_up)
            metrics.given_up.clear()
        if metrics.seen > seen:
            told(reached)
        return lines

    def _read_all(
        self,
        reader: LogReader,
        metrics: Metrics,
        told: Callable[[list[tuple[int, float]]], None],
        seconds: float,
    ) -> None:
        """What a process that has ended left; of more than fits into ``seconds`` the next server reads on."""
        deadline = time.monotonic() + seconds
        self._look(reader, metrics, told, last=True)
        while reader.behind and time.monotonic() < deadline:
            self._look(reader, metrics, told, last=True)

    def save_checkpoints(self) -> None:
        """Bring S3 up to what the process has written."""
        if self.checkpoints is not None:
            self.checkpoints.copy()

    def _clear(self, keep_checkpoints: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not keep_checkpoints:
            clear(self.ml)
            return
        namespace.clean(self.ml)  # of a trial whose guard was killed
        for name in ("input", "model", "output", "code"):
            shutil.rmtree(self.ml / name, ignore_errors=True)

    def _checkpoints(self, job: Job) -> artifacts.Checkpoints | None:
        config = job.document.get("CheckpointConfig")
        if not config:
            return None
        local = PurePosixPath(config.get("LocalPath") or "/opt/ml/checkpoints")
        folder = self.ml / local.relative_to(_OPT_ML)
        # trials of a tuning job share the address: each brings back only what is below its own name
        self.within = job.name if job.parent else ""
        record = self.folder / "checkpoints.json"
        return artifacts.Checkpoints(self._parts.store, folder, config["S3Uri"], self.within, record)

    def _bring_back(self, checkpoints: artifacts.Checkpoints, here: bool) -> None:
        if here:
            checkpoints.recall()
            return
        if checkpoints.restore() or self._first:
            return
        # a script that knows nothing of tuning jobs does not write below its own name
        where = f"below {self._name}/ of the checkpoints in S3" if self.within else "in S3"
        self._note(f"no checkpoint {where}: the training job begins anew")

    def _note(self, *lines: str) -> None:
        """Something that whoever reads the job's log should know."""
        with self.log.open("a", encoding="utf-8") as log:
            log.writelines(f"embedded SageMaker: {line}\n" for line in lines)

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


def wait_is_over(document: Mapping[str, Any]) -> bool:
    """Of a spot job: waiting and training have taken MaxWaitTimeInSeconds together."""
    longest = document["StoppingCondition"].get("MaxWaitTimeInSeconds")
    if longest is None or not document.get("EnableManagedSpotTraining"):
        return False
    return bool(time.time() - document["CreationTime"] >= float(longest))


def clear(ml: Path) -> None:
    """Remove a trial's folder, and what lies beside it where its guard was killed."""
    namespace.clean(ml)
    shutil.rmtree(ml, ignore_errors=True)
