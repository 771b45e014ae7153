"""The run folder (contract 3): its paths, and who may write to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from sweepmaker.config.errors import ConfigError
from sweepmaker.run import atomic


class RunFolder:
    """Paths of one run; at most one process writes to them at a time.

    Args:
        path: Hydra's output folder of the run.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.record = self.path / "run.json"
        self.metrics = self.path / "metrics.csv"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.in_use = False  # by another process, as `claim` found
        self._lock: int | None = None

    def claim(self) -> None:
        """Make the folder this process's own until it ends.

        Raises:
            ConfigError: another process is writing to it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        # a lock on the folder itself: no extra file, and gone with the process however it ends
        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            self.in_use = True
            raise ConfigError(
                f"another run is writing to {self.path}",
                key="hydra.run.dir",
                fix="wait for it or stop it, or give this run a folder of its own",
            ) from None

    def discard(self, log_name: str) -> None:
        """Remove what Hydra put here for a run that never began: its config and its empty log."""
        shutil.rmtree(self.path / ".hydra", ignore_errors=True)
        log = self.path / log_name
        if log.is_file() and not log.stat().st_size:
            log.unlink()
        with contextlib.suppress(OSError):  # something else is in it: leave it
            self.path.rmdir()

    def sweep(self) -> None:
        """Clear up what an earlier process of this run was killed over: temporary files of its own."""
        atomic.restore_folder(self.model)
        for pattern in (
            ".run.json.*.tmp",
            ".metrics.csv.*.tmp",
            "checkpoints/.*.ckpt.*.tmp",
            "profiler/**/.*.tmp*",  # of other machines too; torch's trace has an ending after that
            "debugger/.findings.json.*.tmp",
        ):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)
        for path in self.path.glob(".model.*"):
            shutil.rmtree(path, ignore_errors=True)

    def release(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
