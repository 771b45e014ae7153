"""The life of one training job, from Starting to its end, in a thread of its own."""

from __future__ import annotations

import shutil
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from launchers.embedded import rules
from launchers.embedded.artifacts import DownloadError, upload
from launchers.embedded.attempt import Attempt, failure_of
from launchers.embedded.logs import size_of
from launchers.embedded.metrics import Metrics
from launchers.embedded.parts import Parts
from launchers.embedded.slots import Slot, cores_each
from launchers.embedded.state import TRAINING, TUNING, Job

INTERNAL = "InternalServerError: We encountered an internal error. Please try again."
CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "The instance was taken back; the training job starts again from its checkpoints",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class Lifecycle:
    """
    Args:
        parts: of the server.
        name: of the training job.
        told: called with (resource, value) pairs of its objective.
    """

    def __init__(self, parts: Parts, name: str, told: Callable[[list[tuple[int, float]]], None]) -> None:
        self._parts = parts
        self._name = name
        self._told = told
        self._why: str | None = None

    def stop(self, why: str) -> None:
        """Ask it to end: ``user``, ``early``, ``completion`` or ``shutdown``. The first word counts."""
        self._why = self._why or why

    def run(self) -> None:
        """All of it; never raises."""
        try:
            self._live()
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self._end("Failed", "Failed", reason=INTERNAL)

    # --- the phases

    def _live(self) -> None:
        job = self._job()
        self._why = self._why or job.private.get("stop")
        again = job.private["attempts"] > 0
        cores, reason = self._cores(job)
        if not again:
            print(f"{self._name}: {reason}", file=sys.stderr, flush=True)
        slot = self._parts.slots.take(cores, lambda: self._why is not None)
        if slot is None:
            if again and self._why != "shutdown":  # what it had when its server was killed is kept
                self._finish(Attempt(self._parts, job, Slot((), ())), None, self._why)
            elif self._why != "shutdown":
                self._end("Stopped", "Stopped")
            return
        try:
            self._attempts(slot, here=again)
        finally:
            self._parts.slots.give_back(slot)

    def _attempts(self, slot: Slot, *, here: bool) -> None:
        while True:
            job = self._job()
            if self._parts.faults.capacity(self._name):
                return self._end("Failed", "Failed", reason=CAPACITY)
            if here:
                self._phase("Starting")
            self._phase("Downloading")
            attempt = Attempt(self._parts, job, slot)
            try:
                spec = attempt.prepare(keep_checkpoints=here)
            except DownloadError as error:
                return self._end("Failed", "Failed", reason=str(error)[:1024])
            metrics = self._metrics(job)
            runtime = self._parts.runtime(job.document)
            streams = [*job.private.get("streams", []), [attempt.stream, size_of(attempt.log)]]
            self._phase("Training", attempts=job.private["attempts"] + 1, streams=streams)
            code, asked = attempt.run(
                runtime,
                spec,
                metrics,
                stopped=lambda: self._why,
                told=partial(self._progress, metrics, attempt),
            )
            self._keep(metrics, attempt, attempt.seconds)
            if asked == "shutdown":
                return None
            if asked == "spot":
                self._phase("Interrupted")
                here = False
                self._phase("Starting")
                continue
            if code is None and asked is None and self._may_retry(job):
                here = True
                continue
            return self._finish(attempt, code, asked)

    def _finish(self, attempt: Attempt, code: int | None, asked: str | None) -> None:
        if asked is not None:
            self._phase("Stopping")
        self._phase("Uploading")
        with self._parts.state.change(TRAINING, self._name) as job:
            rules.update(job.document, attempt.ml, ended=True)
        self._upload(attempt, with_model=asked is not None or code == 0)
        if asked == "max_runtime":
            self._end("Stopped", "MaxRuntimeExceeded")
        elif asked is not None:
            self._end("Stopped", "Stopped")
        elif code == 0:
            self._end("Completed", "Completed")
        else:
            reason = INTERNAL if code is None else failure_of(attempt.ml, code)
            self._end("Failed", "Failed", reason=reason)
        shutil.rmtree(attempt.ml, ignore_errors=True)

    def _upload(self, attempt: Attempt, *, with_model: bool) -> None:
        output = self._job().document["OutputDataConfig"]
        compressed = output.get("CompressionType", "GZIP") == "GZIP"
        address = f"{output['S3OutputPath'].rstrip('/')}/{self._name}/output"
        store = self._parts.store
        upload(store, attempt.ml / "output" / "data", address, "output", compressed=compressed)
        if with_model:
            model = upload(store, attempt.ml / "model", address, "model", compressed=compressed)
            with self._parts.state.change(TRAINING, self._name) as job:
                job.document["ModelArtifacts"] = {"S3ModelArtifacts": model or ""}

    # --- what is kept

    def _job(self) -> Job:
        job = self._parts.state.get(TRAINING, self._name)
        assert job is not None, self._name
        return job

    def _phase(self, secondary: str, **private: Any) -> None:
        """The next secondary status; the one before gets its end."""
        with self._parts.state.change(TRAINING, self._name) as job:
            if secondary == "Training":
                job.document.setdefault("TrainingStartTime", time.time())
            if secondary == "Stopping":
                job.document["TrainingJobStatus"] = "Stopping"
            _transition(job, secondary)
            job.private |= private

    def _progress(self, metrics: Metrics, attempt: Attempt, reached: list[tuple[int, float]]) -> None:
        if reached:  # told first: twice changes nothing, not at all would be a loss
            self._told(reached)
        self._keep(metrics, attempt, None)

    def _keep(self, metrics: Metrics, attempt: Attempt, seconds: float | None) -> None:
        with self._parts.state.change(TRAINING, self._name) as job:
            job.document["FinalMetricDataList"] = list(metrics.last.values())
            rules.update(job.document, attempt.ml)
            job.private |= {"resource": metrics.resource, "objective": metrics.value, "read": attempt.read}
            if seconds is not None:
                job.private["seconds"] = job.private.get("seconds", 0.0) + seconds

    def _end(self, status: str, secondary: str, *, reason: str | None = None) -> None:
        with self._parts.state.change(TRAINING, self._name) as job:
            now = time.time()
            seconds = int(job.private.get("seconds", 0.0))
            job.document |= {"TrainingJobStatus": status, "TrainingEndTime": now}
            if "TrainingStartTime" in job.document:
                job.document |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
            if reason is not None:
                job.document["FailureReason"] = reason
            _transition(job, secondary, reason)
            job.document["SecondaryStatusTransitions"][-1]["EndTime"] = now

    def _metrics(self, job: Job) -> Metrics:
        specification = job.document["AlgorithmSpecification"]
        tuning = self._parts.state.get(TUNING, job.parent) if job.parent else None
        objective = None
        if tuning is not None:
            objective = tuning.document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        found = Metrics(
            specification.get("MetricDefinitions", []),
            objective["MetricName"] if objective else None,
            int(job.private.get("resource", 0)),
        )
        for one in job.document.get("FinalMetricDataList", []):
            found.last[one["MetricName"]] = one
        return found

    def _may_retry(self, job: Job) -> bool:
        """RetryStrategy: after an internal error, so many times."""
        allowed = int(job.document.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0))
        with self._parts.state.change(TRAINING, self._name) as changed:
            used = int(changed.private.get("retries", 0))
            changed.private["retries"] = used + 1
        return used < allowed

    def _cores(self, job: Job) -> tuple[int, str]:
        parallel = 1
        if job.parent:
            tuning = self._parts.state.get(TUNING, job.parent)
            assert tuning is not None, job.parent
            limits = tuning.document["HyperParameterTuningJobConfig"]["ResourceLimits"]
            most = int(limits.get("MaxNumberOfTrainingJobs") or limits["MaxParallelTrainingJobs"])
            parallel = min(int(limits["MaxParallelTrainingJobs"]), most)
        return cores_each(self._parts.slots.total, parallel)


def _transition(job: Job, secondary: str, reason: str | None = None) -> None:
    now = time.time()
    transitions = job.document["SecondaryStatusTransitions"]
    if transitions[-1]["Status"] == secondary:
        return
    transitions[-1]["EndTime"] = now
    message = reason or _MESSAGES[secondary]
    transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
    job.document["SecondaryStatus"] = secondary
