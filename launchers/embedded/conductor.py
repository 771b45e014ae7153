"""What carries jobs out: one thread that looks after tuning jobs, and one for each training job."""

from __future__ import annotations

import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from launchers.embedded.lifecycle import Lifecycle
from launchers.embedded.parts import Parts
from launchers.embedded.state import TRAINING, TUNING, Job
from launchers.embedded.sweeps import Sweep

_LOOK_S = 1.0  # time limits of tuning jobs are looked at so often
_CLEARED_S = 10.0  # a deletion waits so long for who removes files of the same job
NO_SUCCESS = (
    "No training job succeeded. For additional details, please take a look at the training job failures "
    "by listing training jobs for the hyperparameter tuning job."
)


@dataclass(frozen=True)
class _Life:
    """A training job at work."""

    cycle: Lifecycle
    thread: threading.Thread
    parent: str | None


class Conductor:
    """Runs what the state says is to be run. Make one for each server."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._state = parts.state
        self._changed = threading.Condition()
        self._news = True
        self._closing = False
        self._lives: dict[str, _Life] = {}
        self._owing: set[str] = set()  # tuning jobs whose search may not know of every trial's end
        self._sweeps: dict[str, Sweep] = {}
        self._thread = threading.Thread(target=self._work, name="conductor")

    def start(self) -> None:
        """Begin; jobs that an earlier server left unfinished go on."""
        for job in self._state.jobs(TRAINING, statuses=("Stopping",)):
            with self._state.change(TRAINING, job.name) as changed:
                changed.private.setdefault("stop", "user")
        self._thread.start()

    def wake(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def stop_trial(self, name: str, why: str) -> None:
        """Ask a training job to end; kept, so that it holds for a server started again too."""
        with self._state.change(TRAINING, name) as job:
            if job.ended:
                return
            job.private.setdefault("stop", why)
            if job.status == "InProgress":
                job.document["TrainingJobStatus"] = "Stopping"
        with self._changed:
            life = self._lives.get(name)
        if life is not None:
            life.cycle.stop(why)
        self.wake()

    def forget(self, name: str) -> None:
        """Remove the folder of a training job that is being deleted, after its own thread has cleared up."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._lives, timeout=_CLEARED_S)
        shutil.rmtree(self._parts.root.job(name), ignore_errors=True)

    def close(self) -> None:
        """End: trials are asked to save what they have; they go on with the next server."""
        with self._changed:
            self._closing = True
            self._news = True
            self._changed.notify_all()
            lives = list(self._lives.values())
        for life in lives:
            life.cycle.stop("shutdown")
        self._thread.join()
        for life in lives:
            life.thread.join()

    def busy(self) -> bool:
        """Whether a job is going on."""
        return bool(self._state.jobs(TRAINING, statuses=("InProgress", "Stopping"))) or bool(
            self._state.jobs(TUNING, statuses=("InProgress", "Stopping"))
        )

    # --- the thread

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._news, timeout=_LOOK_S)
                self._news = False
                if self._closing:
                    return
            try:
                self._look()
            except Exception:
                traceback.print_exc(file=sys.stderr)
                self._pause()

    def _look(self) -> None:
        for job in self._state.jobs(TRAINING, statuses=("InProgress", "Stopping")):
            self._apart(self._live, job)
        for tuning in self._state.jobs(TUNING, statuses=("InProgress", "Stopping")):
            self._apart(self._conduct, tuning)

    def _apart(self, work: Callable[[Job], None], job: Job) -> None:
        """One job's trouble is not the others'."""
        try:
            work(job)
        except Exception:
            print(f"{job.name}: {traceback.format_exc()}", file=sys.stderr, flush=True)

    def _pause(self) -> None:
        """What failed is not tried again at once."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout=_LOOK_S)

    def _live(self, job: Job) -> None:
        with self._changed:
            if job.name in self._lives or self._closing:
                return
            now = self._state.get(TRAINING, job.name)
            if now is None or now.ended:  # since the caller looked: who ends is written first, then let go
                return
            life = Lifecycle(self._parts, job.name, lambda reached: self._reached(job, reached))
            thread = threading.Thread(target=self._run, args=(life, job), name=job.name)
            self._lives[job.name] = _Life(life, thread, job.parent)
        thread.start()

    def _run(self, life: Lifecycle, job: Job) -> None:
        owing: set[str] = set()
        try:
            life.run()
            ended = self._state.get(TRAINING, job.name)
            if ended is not None and ended.ended and job.parent:
                self._sweep(job.parent).tell(job.private["number"], _told(ended))
        except Exception:  # nothing can be written, for example: what is left undone is tried again
            print(f"{job.name}: {traceback.format_exc()}", file=sys.stderr, flush=True)
            owing = {job.parent} if job.parent else set()
            self._pause()
        finally:
            with self._changed:  # at once: while it lives, telling is its own business
                self._lives.pop(job.name, None)
                self._owing |= owing
            self.wake()

    def _reached(self, job: Job, reached: list[tuple[int, float]]) -> None:
        if job.parent and self._sweep(job.parent).report(job.private["number"], reached):
            self.stop_trial(job.name, "early")

    # --- tuning jobs

    def _sweep(self, name: str) -> Sweep:
        with self._changed:
            if name not in self._sweeps:
                job = self._state.get(TUNING, name)
                assert job is not None, name
                sweep = Sweep(self._state, job)
                self._settle(job, sweep)
                self._sweeps[name] = sweep
            return self._sweeps[name]

    def _conduct(self, tuning: Job) -> None:
        sweep = self._sweep(tuning.name)
        with self._changed:
            # one that has ended counts until the search was told: what comes next may depend on it
            names = {name for name, life in self._lives.items() if life.parent == tuning.name}
            if tuning.name in self._owing:
                self._settle(tuning, sweep)
                self._owing.discard(tuning.name)
        going = self._state.jobs(TRAINING, parent=tuning.name, statuses=("InProgress", "Stopping"))
        limits = tuning.document["HyperParameterTuningJobConfig"]["ResourceLimits"]
        over = self._over(tuning, sweep, limits)
        if over is not None:
            for trial in going:
                if trial.status == "InProgress":
                    self.stop_trial(trial.name, over)
        exhausted = over is not None
        names |= {trial.name for trial in going}
        while not exhausted and len(names) < int(limits["MaxParallelTrainingJobs"]):
            new = sweep.next()
            if new is None:
                exhausted = True
            else:
                names.add(new.name)
                self._live(new)
        if exhausted and not names:
            self._finish(tuning, sweep)

    def _settle(self, tuning: Job, sweep: Sweep) -> None:
        """Trials that had ended before the search could be told: the server was killed, or it failed."""
        told = {call[1] for call in self._state.calls(tuning.name) if call[0] == "tell"}
        for trial in self._state.jobs(TRAINING, parent=tuning.name):
            if trial.ended and trial.private["number"] not in told and trial.name not in self._lives:
                sweep.tell(trial.private["number"], _told(trial))

    def _over(self, tuning: Job, sweep: Sweep, limits: dict[str, int]) -> str | None:
        """Why no further trial begins and the running ones end, or None."""
        if tuning.status == "Stopping":
            return "user"
        seconds = limits.get("MaxRuntimeInSeconds")
        if seconds is not None and time.time() - tuning.document["CreationTime"] >= float(seconds):
            return "completion"
        return "completion" if sweep.ended() is not None else None

    def _finish(self, tuning: Job, sweep: Sweep) -> None:
        trials = self._state.jobs(TRAINING, parent=tuning.name)
        succeeded = any(trial.status != "Failed" for trial in trials)
        with self._state.change(TUNING, tuning.name) as job:
            status = "Stopped" if job.status == "Stopping" else "Completed" if succeeded else "Failed"
            job.document |= {
                "HyperParameterTuningJobStatus": status,
                "HyperParameterTuningEndTime": time.time(),
            }
            if status == "Failed":
                job.document["FailureReason"] = NO_SUCCESS
        with self._changed:
            self._sweeps.pop(tuning.name, None)
        reason = sweep.ended()
        print(f"{tuning.name}: {status}{f', {reason}' if reason else ''}", file=sys.stderr, flush=True)


def _told(trial: Job) -> float | None:
    """What the search learns of an ended trial."""
    return None if trial.status == "Failed" else trial.private.get("objective")
