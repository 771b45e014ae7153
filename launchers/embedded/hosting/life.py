"""The life of one endpoint, from Creating to its deletion, in a thread of its own."""

from __future__ import annotations

import shutil
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from launchers.embedded.api.endpoints import summary
from launchers.embedded.hosting import words
from launchers.embedded.hosting.host import Host
from launchers.embedded.hosting.model_data import ModelDataError
from launchers.embedded.parts import Parts
from launchers.embedded.runtimes.spec import Runtime
from launchers.embedded.state import ENDPOINT, Job
from launchers.limits.hosting import ANSWER_S

ALIVE = ("Creating", "InService", "Updating", "SystemUpdating", "Deleting")
"""Statuses in which something is running, or is about to begin or end."""
_LOOK_S = 0.2
_MOST_ENDS = 3  # of processes by themselves within `_ENDS_S`: with the last the endpoint has failed
_ENDS_S = 60.0


class TooManyError(Exception):
    """A serverless endpoint has as many requests as it takes."""


class Life:
    """
    Args:
        parts: of the server.
        runtime: what starts its process.
        name: of the endpoint.
    """

    def __init__(self, parts: Parts, runtime: Callable[[], Runtime], name: str) -> None:
        self.name = name
        self.host: Host | None = None
        """What answers for it now."""
        self._parts = parts
        self._runtime = runtime
        self._state = parts.state
        self._news = threading.Event()
        self._closing = False
        self._requests: Counter[Host] = Counter()
        self._changed = threading.Condition()  # of the requests, or of what ends
        self._ends: list[float] = []

    @property
    def woken(self) -> bool:
        """Whether there is something that it has not looked at."""
        return self._news.is_set()

    def wake(self) -> None:
        """Its document has changed."""
        self._news.set()

    def close(self) -> None:
        """The server ends."""
        self._closing = True
        self._news.set()
        with self._changed:
            self._changed.notify_all()

    @contextmanager
    def one_request(self) -> Iterator[Host | None]:
        """The process that answers, which an update does not end before the block; None where none does now.

        Raises:
            TooManyError: see there.
        """
        with self._changed:
            host = self.host
            if host is not None:
                limits = host.plan["variant"].get("ServerlessConfig")
                if limits is not None and self._requests.total() >= int(limits["MaxConcurrency"]):
                    raise TooManyError
                self._requests[host] += 1
        try:
            yield host
        finally:
            if host is not None:
                with self._changed:
                    self._requests -= Counter((host,))
                    self._changed.notify_all()

    def run(self) -> None:
        """All of it; raises only what keeps its end from being written."""
        try:
            while self._step():
                pass
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self._fail(words.INTERNAL)
        finally:
            self._drop()

    def _step(self) -> bool:
        """Look once at what is asked for, and do it; False at the end."""
        self._news.clear()
        job = self._state.get(ENDPOINT, self.name)
        if self._closing or job is None or job.status not in ALIVE:
            return False
        if job.status == "Deleting":
            self._delete(job)
            return False
        if self.host is None:
            return self._begin(job)
        if job.status == "Updating":
            self._update(job, self.host)
        elif self.host.ended(_LOOK_S):
            return self._ended()
        return True

    def _begin(self, job: Job) -> bool:
        if job.status == "Creating" and self._parts.faults.capacity(self.name):
            return self._fail(words.NO_CAPACITY)
        host, reason = self._started(job, job.private["plan"], job.private["generation"])
        if host is not None:
            self.host = host
            self._in_service(job)
            return True
        return self._fail(reason) if reason else True

    def _started(self, job: Job, plan: dict[str, Any], generation: int) -> tuple[Host | None, str]:
        """A process that answers; or why there is none, which is empty where something else is asked for."""
        host = Host(self._parts, self._runtime, self.name, plan, self._folder(generation))
        try:
            if host.start(self._news.is_set):
                return host, ""
        except ModelDataError as error:
            host.note(str(error))
            return None, words.no_data(error.address)
        except Exception:
            host.stop()
            raise
        host.stop()
        return None, "" if self._news.is_set() else words.no_ping(plan["variant"]["VariantName"])

    def _in_service(self, job: Job) -> None:
        with self._state.change(ENDPOINT, self.name) as changed:
            if changed.status in ("Creating", "SystemUpdating"):
                changed.document["EndpointStatus"] = "InService"
                changed.document["ProductionVariants"] = [summary(job.private["plan"], running=True)]
        print(f"{self.name}: in service", file=sys.stderr, flush=True)

    def _ended(self) -> bool:
        """The process is gone: as SageMaker does, it is started again."""
        self._drop()
        now = time.monotonic()
        self._ends = [*(when for when in self._ends if now - when < _ENDS_S), now]
        print(f"{self.name}: its process ended by itself", file=sys.stderr, flush=True)
        if len(self._ends) >= _MOST_ENDS:
            job = self._state.get(ENDPOINT, self.name)
            assert job is not None
            return self._fail(words.no_ping(job.private["plan"]["variant"]["VariantName"]))
        return True

    def _update(self, job: Job, old: Host) -> None:
        """The new process first, then the old one's end: there is always one that answers."""
        wanted, generation = job.private["next"], job.private["generation"] + 1
        try:
            new, reason = self._started(job, wanted["plan"], generation)
        except Exception:  # no room for its model, for example: the old one is as good as before
            traceback.print_exc(file=sys.stderr)
            new, reason = None, words.INTERNAL
        if new is None and not reason:
            return  # the server ends: the next one tries again
        with self._state.change(ENDPOINT, self.name) as changed:
            changed.private.pop("next", None)
            changed.document["EndpointStatus"] = "InService"
            if new is None:
                changed.document["FailureReason"] = reason
            else:
                self.host = new
                changed.private |= {"plan": wanted["plan"], "generation": generation}
                changed.document["EndpointConfigName"] = wanted["config"]
                changed.document["ProductionVariants"] = [summary(wanted["plan"], running=True)]
        if new is None:
            shutil.rmtree(self._folder(generation), ignore_errors=True)
        else:
            self._let_go(old)
            shutil.rmtree(self._folder(generation - 1), ignore_errors=True)

    def _let_go(self, old: Host) -> None:
        """End a process that answers no more, once the requests that were given it are through."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or not self._requests[old], ANSWER_S)
        try:
            old.stop()
        except Exception:  # the one that answers now is not to end for it
            traceback.print_exc(file=sys.stderr)

    def _delete(self, job: Job) -> None:
        self._drop()
        shutil.rmtree(self._parts.root.endpoint(self.name), ignore_errors=True)
        self._state.delete(job)

    def _fail(self, reason: str) -> bool:
        self._drop()
        with self._state.change(ENDPOINT, self.name) as job:
            if job.status != "Deleting":
                job.document |= {"EndpointStatus": "Failed", "FailureReason": reason}
        print(f"{self.name}: Failed: {reason}", file=sys.stderr, flush=True)
        return True  # it may have been asked to go meanwhile

    def _drop(self) -> None:
        host, self.host = self.host, None
        if host is not None:
            host.stop()

    def _folder(self, generation: int) -> Path:
        return self._parts.root.endpoint(self.name) / str(generation)
