"""The life of a training job in this process: a real state, S3 and runtime, and no server around them."""

from __future__ import annotations

import dataclasses
import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from launchers.embedded.api import documents
from launchers.embedded.faults import Faults
from launchers.embedded.key import Key
from launchers.embedded.lifecycle import Lifecycle
from launchers.embedded.parts import Parts
from launchers.embedded.root import BUCKET, ROLE, Root
from launchers.embedded.runtimes import open_runtime
from launchers.embedded.services.app import Services
from launchers.embedded.settings import Settings
from launchers.embedded.slots import Slots
from launchers.embedded.state import TRAINING, State
from tests.embedded.serving import no_endpoints
from tests.embedded.sweeping import DEADLINE_S, definition, fixed


class Killed(BaseException):
    """Stands for SIGKILL: nothing in between answers to it."""


class Lives:
    """Training jobs of one root.

    Attributes:
        parts: of what would be a server.
        said: as a server says it.
    """

    def __init__(self, folder: Path) -> None:
        root = Root.open(folder)
        self.said = {"bucket": BUCKET, "role": ROLE}
        self.services = Services(root.s3, Key.of_root(root.key), lambda _, body: body, no_endpoints)
        self.services.store.ensure_bucket(BUCKET)
        self.runtime = open_runtime("process", root=root.folder)
        self.parts = Parts(
            root=root,
            settings=Settings(poll_s=0.01, checkpoint_s=0.05, stop_grace_s=20.0),
            state=State(root.state),
            store=self.services.store,
            logs=self.services.logs,
            runtime=lambda _: self.runtime,
            slots=Slots((0,)),
            faults=Faults(root),
            environment={},
        )

    def set(self, **parts: Any) -> None:
        """Other parts than these."""
        self.parts = dataclasses.replace(self.parts, **parts)

    def add(
        self,
        name: str,
        script: str,
        *,
        hyper: dict[str, str] | None = None,
        private: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """A new training job of ``script``."""
        archive = self.parts.root.folder / "code.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            info = tarfile.TarInfo("train.py")
            info.size = len(script.encode())
            tar.addfile(info, io.BytesIO(script.encode()))
        self.parts.store.put_file(BUCKET, f"code/{name}.tar.gz", archive, move=True)
        code = f"s3://{BUCKET}/code/{name}.tar.gz"
        request = {"TrainingJobName": name, "HyperParameters": fixed(code, **(hyper or {}))}
        job = documents.training_job({**request, **definition(self, code, **more)})
        job.private |= private or {}
        job.document["CreationTime"] += job.private.pop("created_s", 0.0)
        assert self.parts.state.add(job, {})

    def life(self, name: str) -> Lifecycle:
        return Lifecycle(self.parts, name, lambda _: None)

    def run(self, name: str) -> dict[str, Any]:
        """One life to its end; the Describe answer."""
        with self.running(name):
            pass
        return self.document(name)

    @contextmanager
    def running(self, name: str) -> Iterator[Lifecycle]:
        """A life at work; at the end of the block it has to end by itself."""
        life = self.life(name)
        thread = threading.Thread(target=_until_killed, args=(life,))
        thread.start()
        try:
            yield life
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), self.document(name)
        finally:
            life.stop("shutdown")
            thread.join(DEADLINE_S)

    def document(self, name: str) -> dict[str, Any]:
        job = self.parts.state.get(TRAINING, name)
        assert job is not None
        return job.document

    def private(self, name: str) -> dict[str, Any]:
        job = self.parts.state.get(TRAINING, name)
        assert job is not None
        return job.private

    def log(self, name: str) -> str:
        path = self.parts.root.job(name) / "log"
        return path.read_text() if path.exists() else ""

    def keys(self, prefix: str) -> list[str]:
        return [key for key, _, _ in self.parts.store.list(BUCKET, prefix)]

    def close(self) -> None:
        self.runtime.close()
        self.parts.state.close()
        self.services.close()


def statuses(document: dict[str, Any]) -> list[str]:
    """The secondary statuses that a job went through."""
    return [one["Status"] for one in document["SecondaryStatusTransitions"]]


def _until_killed(life: Lifecycle) -> None:
    with suppress(Killed):
        life.run()
