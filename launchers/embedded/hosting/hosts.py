"""What runs the processes behind endpoints: a thread for each endpoint."""

from __future__ import annotations

import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from launchers.embedded.hosting.host import Host
from launchers.embedded.hosting.life import ALIVE, Life
from launchers.embedded.parts import Parts
from launchers.embedded.runtimes.spec import Runtime
from launchers.embedded.state import ENDPOINT

_LOOK_S = 0.05


class Hosts:
    """Runs what the state says is to be running. Make one for each server.

    Args:
        parts: of the server.
        runtime: what starts a process; asked for with the first of them.
    """

    def __init__(self, parts: Parts, runtime: Callable[[], Runtime]) -> None:
        self._parts = parts
        self._runtime = runtime
        self._state = parts.state
        self._lock = threading.Lock()
        self._lives: dict[str, tuple[Life, threading.Thread]] = {}
        self._closing = False

    def start(self) -> None:
        """Begin; endpoints of an earlier server are brought back, what nobody names any more is removed."""
        folder = self._parts.root.endpoint("")
        for path in list(folder.iterdir()) if folder.is_dir() else ():
            self._tidy(path)
        for job in self._state.jobs(ENDPOINT, statuses=ALIVE):
            with self._lock:
                begun = job.name in self._lives  # clients are answered already, and may have made this one
            if job.status == "InService" and not begun:
                with self._state.change(ENDPOINT, job.name) as changed:
                    changed.document["EndpointStatus"] = "SystemUpdating"
            self.wake(job.name)

    def _tidy(self, path: Path) -> None:
        """Remove the folder of an endpoint that is no more, and not that of one which is made this moment."""
        with self._state.transaction():
            job = self._state.get(ENDPOINT, path.name)
            if job is None or job.name != path.name:
                shutil.rmtree(path, ignore_errors=True)

    def wake(self, name: str) -> None:
        """An endpoint's document says that it is to be created, updated or deleted."""
        job = self._state.get(ENDPOINT, name)
        if job is None:
            return
        with self._lock:
            if self._closing:
                return
            if job.name in self._lives:
                self._lives[job.name][0].wake()
                return
            life = Life(self._parts, self._runtime, job.name)
            thread = threading.Thread(target=self._run, args=(life,), name=f"endpoint {job.name}")
            self._lives[job.name] = (life, thread)
            thread.start()  # before `close` can see it, which waits for its end

    def close(self) -> None:
        """End the processes; the next server brings them back."""
        with self._lock:
            self._closing = True
            lives = list(self._lives.values())
        for life, _ in lives:
            life.close()
        for _, thread in lives:
            thread.join()

    def busy(self) -> bool:
        """Whether an endpoint is there that answers, or is about to."""
        return bool(self._state.jobs(ENDPOINT, statuses=ALIVE))

    @contextmanager
    def serving(self, name: str, timeout: float) -> Iterator[Host | None]:
        """The process that answers for an endpoint, for one request; None where none does.

        One that is being brought back is waited for, up to ``timeout`` seconds.

        Raises:
            TooManyError: a serverless endpoint has as many requests as it takes.
        """
        deadline = time.monotonic() + timeout
        while True:
            with self._lock:
                life = self._lives.get(name, (None, None))[0]
            if life is not None:
                with life.one_request() as host:
                    if host is not None:
                        yield host
                        return
            job = self._state.get(ENDPOINT, name)
            back = job is not None and job.status in ("InService", "SystemUpdating", "Updating")
            if self._closing or not back or time.monotonic() > deadline:
                yield None
                return
            time.sleep(_LOOK_S)

    def _run(self, life: Life) -> None:
        try:
            life.run()
        except Exception:  # nothing can be written, for example
            print(f"{life.name}: {traceback.format_exc()}", file=sys.stderr, flush=True)
        finally:
            with self._lock:
                self._lives.pop(life.name, None)
                again = not self._closing and life.woken
        if again:  # asked for something in the moment in which it ended
            self.wake(life.name)
