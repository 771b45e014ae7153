"""Which runtime starts what of which image."""

from __future__ import annotations

import fnmatch
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launchers.embedded.root import Root
from launchers.embedded.runtimes import default_name, open_runtime
from launchers.embedded.runtimes.spec import Runtime
from launchers.embedded.settings import Settings


class Images:
    """The runtimes of one server; all are opened at once, so that what cannot work is said at its start.

    An image's URI is a name here: ``settings.images`` maps patterns of it to runtimes, the first that
    fits counts, and ``settings.runtime`` starts all others.

    Raises:
        ConfigError: one of them cannot work on this machine.
    """

    def __init__(self, settings: Settings, root: Root) -> None:
        self._root = root
        self._toolkit_python = settings.toolkit_python
        self._opened: dict[str, Runtime] = {}
        self._opening = threading.Lock()
        name, reason = settings.runtime, "as asked for"
        if name == "auto":
            name, reason = default_name()
        self._default = self._open(name)
        print(f"trials are started by the runtime {name}: {reason}", file=sys.stderr, flush=True)
        self._patterns = [(pattern, self._open(choice)) for pattern, choice in settings.images.items()]

    def __call__(self, document: Mapping[str, Any]) -> Runtime:
        """The runtime of a training job, by its Describe answer."""
        image = str(document["AlgorithmSpecification"].get("TrainingImage", ""))
        for pattern, runtime in self._patterns:
            if fnmatch.fnmatchcase(image, pattern):
                return runtime
        return self._default

    @property
    def serving(self) -> Runtime:
        """What starts the processes behind endpoints: fresh interpreters, whatever image is named."""
        with self._opening:
            return self._open("process")

    def close(self) -> None:
        """Give back what the runtimes keep; trials that run are killed."""
        for runtime in self._opened.values():
            runtime.close()

    def _open(self, choice: str) -> Runtime:
        if choice not in self._opened:
            name, _, interpreter = choice.partition(":")
            python = interpreter or self._toolkit_python
            self._opened[choice] = open_runtime(
                name, root=self._root.folder, toolkit_python=Path(python).expanduser() if python else None
            )
        return self._opened[choice]
