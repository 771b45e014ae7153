"""The life of one training job, from Starting to its end, in a thread of its own."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from launchers.embedded import profiling, rules
from launchers.embedded.artifacts import DownloadError, upload
from launchers.embedded.attempt import Attempt, clear, wait_is_over
from launchers.embedded.failure import failure_of
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
    "Pending": "Waiting for capacity: other training jobs have the cores of this machine",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "The instance was taken back; the training job starts again from its checkpoints",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job was not done within MaxWaitTimeInSeconds provided",
}
_ENDS = {"max_runtime": "MaxRuntimeExceeded", "max_wait": "MaxWaitTimeExceeded"}


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
        """All of it; raises only what keeps its end from being written."""
        try:
            self._live()
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self._end("Failed", "Failed", reason=INTERNAL)
        finally:
            self._clear_up()

    # --- the phases

    def _live(self) -> None:
        job = self._job()
        self._why = self._why or job.private.get("stop")
        again = job.private["attempts"] > 0
        # of an attempt that was only being prepared, what lies here may be half of what is in S3
        here = again and not job.private.get("restoring")
        cores, reason = self._cores(job)
        if not again:
            print(f"{self._name}: {reason}", file=sys.stderr, flush=True)
        slot = self._parts.slots.take(
            cores, lambda: self._reason(job) is not None, waits=lambda: self._phase("Pending")
        )
        if slot is None:
            self._end_without_slot(job, again=again, here=here)
            return
        try:
            self._attempts(slot, here=here)
        finally:
            self._parts.slots.give_back(slot)

    def _reason(self, job: Job) -> str | None:
        """Why a job that waits for cores is to end, or None."""
        return self._why or ("max_wait" if wait_is_over(job.document) else None)

    def _end_without_slot(self, job: Job, *, again: bool, here: bool) -> None:
        why = self._reason(job)
        if why == "shutdown":
            return
        if not again:
            self._end("Stopped", _ENDS.get(why or "", "Stopped"))
            return
        attempt = Attempt(self._parts, job, Slot((), ()))  # what it had when its server was killed is kept
        if here:
            attempt.save_checkpoints()
        self._finish(attempt, None, why)

    def _attempts(self, slot: Slot, *, here: bool) -> None:
        while True:
            job = self._job()
            if self._parts.faults.capacity(self._name):
                return self._end("Failed", "Failed", reason=CAPACITY)
            if here:
                self._phase("Starting")
            self._phase("Downloading", restoring=not here)
            attempt = Attempt(self._parts, job, slot)
            try:
                code, asked = self._attempt(attempt, job, here=here)
            except DownloadError as error:
                return self._end("Failed", "Failed", reason=str(error)[:1024])
            except Exception:  # an internal error, as the service would have one: RetryStrategy is for these
                traceback.print_exc(file=sys.stderr)
                code, asked = None, None
            if asked == "shutdown":
                return None
            if asked == "spot":
                self._phase("Interrupted", restoring=True)
                here = False
                self._phase("Starting")
                continue
            if code is None and asked is None and self._may_retry(job):
                here = not self._job().private.get("restoring")
                continue
            return self._finish(attempt, code, asked)

    def _attempt(self, attempt: Attempt, job: Job, *, here: bool) -> tuple[int | None, str | None]:
        spec = attempt.prepare(keep_checkpoints=here)
        metrics = self._metrics(job)
        runtime = self._parts.runtime(job.document)
        streams = [*job.private.get("streams", []), [attempt.stream, size_of(attempt.log)]]
        self._phase("Training", attempts=job.private["attempts"] + 1, streams=streams, restoring=False)
        try:
            return attempt.run(
                runtime,
                spec,
                metrics,
                stopped=lambda: self._why,
                told=partial(self._progress, metrics, attempt),
                ending=self._stopping,
            )
        finally:
            self._keep(metrics, attempt)

    def _stopping(self, asked: str) -> None:
        """Its process was asked to end; kept, so that it ends as that also if this server is killed."""
        if asked not in ("spot", "shutdown"):
            self._phase("Stopping", stop=asked)

    def _finish(self, attempt: Attempt, code: int | None, asked: str | None) -> None:
        if asked is not None:
            self._phase("Stopping")
        self._phase("Uploading")
        self._upload(attempt, with_model=asked is not None or code == 0)
        if asked is not None:
            self._end("Stopped", _ENDS.get(asked, "Stopped"))
        elif code == 0:
            self._end("Completed", "Completed")
        else:
            reason = INTERNAL if code is None else failure_of(attempt.ml, code)
            self._end("Failed", "Failed", reason=reason)

    def _clear_up(self) -> None:
        """The folder of a job that goes on stays: the next attempt needs its checkpoints."""
        job = self._parts.state.get(TRAINING, self._name)
        if job is None or job.ended:
            clear(self._parts.root.job(self._name) / "ml")

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
        self._keep(metrics, attempt)

    def _keep(self, metrics: Metrics, attempt: Attempt) -> None:
        with self._parts.state.change(TRAINING, self._name) as job:
            job.document["FinalMetricDataList"] = list(metrics.last.values())
            rules.update(job.document, attempt.ml)
            job.private |= {"resource": metrics.resource, "objective": metrics.value}
            job.private |= {"read": attempt.read, "seconds": attempt.seconds}

    def _end(self, status: str, secondary: str, *, reason: str | None = None) -> None:
        with self._parts.state.change(TRAINING, self._name) as job:
            # also where nothing ran: whoever waits for its rules waits for an end of theirs
            ml = self._parts.root.job(self._name) / "ml"
            stopped = status == "Stopped"
            rules.update(job.document, ml, ended=True, stopped=stopped)
            job.document |= profiling.ended(job.document, ml / "output" / "data", stopped=stopped)
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
        return cores_each(self._parts.slots.total, parallel, self._parts.slots.gpus)


def _transition(job: Job, secondary: str, reason: str | None = None) -> None:
    now = time.time()
    transitions = job.document["SecondaryStatusTransitions"]
    if transitions[-1]["Status"] == secondary:
        return
    transitions[-1]["EndTime"] = now
    message = reason or _MESSAGES[secondary]
    transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
    job.document["SecondaryStatus"] = secondary
