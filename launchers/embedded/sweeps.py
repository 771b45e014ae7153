"""A tuning job at work: its search, and what the search was asked and told."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from launchers.embedded.api import documents
from launchers.embedded.search import Earlier, Search, Spec
from launchers.embedded.state import TRAINING, TUNING, Job, State


class Sweep:
    """The search of one tuning job.

    Every call to the search is kept before it has an effect, so that a server that was killed plays
    them again and has the same search.

    Args:
        state: where the calls are kept.
        job: the tuning job.
    """

    def __init__(self, state: State, job: Job) -> None:
        self._state = state
        self.name = job.name
        self._lock = threading.RLock()
        self.spec = Spec.of_request({**job.document, "_seed": job.private["seed"]})
        self._earlier = earlier(state, job)
        self._search = self._played()

    def next(self) -> Job | None:
        """A new trial, kept as one; None when there is nothing left to try."""
        with self._together():
            asked = self._search.ask()
            if asked is None:
                return None
            number, suggested = asked
            tuning = self._state.get(TUNING, self.name)
            assert tuning is not None, self.name
            trial = documents.trial(tuning, number, suggested)
            self._state.add_call(self.name, ["ask"])
            self._state.add(trial, self._state.tags(tuning.arn))
        return trial

    def report(self, number: int, reached: list[tuple[int, float]]) -> bool:
        """The objective of a trial came further; True where it is to be stopped."""
        stop = False
        with self._together():
            for resource, value in reached:
                self._state.add_call(self.name, ["report", number, resource, value])
                stop = self._search.report(number, resource, value) or stop
        return stop

    def tell(self, number: int, value: float | None) -> None:
        """A trial has ended with ``value``, or without one."""
        if value is not None and not math.isfinite(value):
            value = None
        with self._together():
            self._state.add_call(self.name, ["tell", number, value])
            self._search.tell(number, value)
            self._describe()

    def ended(self) -> str | None:
        """Why the tuning job is complete already, or None."""
        with self._lock:
            return self._search.ended()

    def _describe(self) -> None:
        """TuningJobCompletionDetails."""
        with self._state.change(TUNING, self.name) as job:
            details = job.document.setdefault("TuningJobCompletionDetails", {})
            details["NumberOfTrainingJobsObjectiveNotImproving"] = self._search.without_improvement
            if self._search.converged:
                details.setdefault("ConvergenceDetectedTime", time.time())

    @contextmanager
    def _together(self) -> Iterator[None]:
        """What is kept and what the search knows stay the same, also when one of them fails."""
        with self._lock:
            try:
                with self._state.transaction():
                    yield
            except BaseException:
                self._search = self._played()
                raise

    def _played(self) -> Search:
        """The search as the calls that are kept have made it."""
        search = Search(self.spec, self._earlier)
        functions: dict[str, Callable[..., object]] = {
            "ask": search.ask,
            "report": search.report,
            "tell": search.tell,
        }
        for kind, *arguments in self._state.calls(self.name):
            functions[kind](*arguments)
        return search


def earlier(state: State, job: Job) -> list[Earlier]:
    """What the parents of a warm start found out."""
    found: list[Earlier] = []
    for parent in job.document.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", []):
        for trial in state.jobs(TRAINING, parent=parent["HyperParameterTuningJobName"]):
            value = trial.private.get("objective")
            if trial.ended and trial.status != "Failed" and value is not None:
                found.append(Earlier(dict(trial.private["tuned"]), float(value)))
    return found
