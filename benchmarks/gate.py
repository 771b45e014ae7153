"""Turns for processes that are measured against each other, and the callbacks that take them.

Candidates live in processes of their own and wait for their turn before each epoch, so that one
works at a time and a slow minute of the machine hits all of them alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

GO, DONE = "BENCHMARK_GO", "BENCHMARK_DONE"  # environment: numbers of inherited pipe ends


class Gate:
    """A candidate's side: wait for the turn, work, report images a second of CPU time."""

    def __init__(self) -> None:
        self._go = os.fdopen(int(os.environ[GO]), "rb", buffering=0)
        self._done = os.fdopen(int(os.environ[DONE]), "w")
        self._start = 0.0

    def wait(self) -> None:
        """Say that all other work is done, wait for the turn and start the clock."""
        print("ready", file=self._done, flush=True)
        if not self._go.read(1):
            raise SystemExit("the benchmark has gone away")
        self._start = time.process_time()

    def done(self, images: int) -> None:
        """Stop the clock and hand the turn back."""
        seconds = time.process_time() - self._start
        print(json.dumps({"images": images, "seconds": seconds}), file=self._done, flush=True)


class Candidate:
    """The benchmark's side of one process.

    Args:
        command: of the process; it makes a ``Gate``.
        log: gets what it prints.
    """

    def __init__(self, command: Sequence[str], *, cwd: Path, log: Path) -> None:
        go_read, self._go = os.pipe()
        done_read, done_write = os.pipe()
        environment = os.environ | {GO: str(go_read), DONE: str(done_write)}
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, *command], cwd=cwd, env=environment, stdout=output,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, pass_fds=(go_read, done_write),
            )  # fmt: skip
        os.close(go_read)
        os.close(done_write)
        self._done = os.fdopen(done_read)

    def epoch(self) -> dict[str, float]:
        """Let it do one epoch; ``images`` and ``seconds``. Returns when it waits again."""
        os.write(self._go, b"g")
        line = self._done.readline()
        if not line:
            raise SystemExit(f"a candidate ended early:\n{self._log.read_text()[-3000:]}")
        result: dict[str, float] = json.loads(line)
        self.wait()
        return result

    def wait(self) -> None:
        """Wait until it is ready for its next turn, or has ended."""
        if not self._done.readline():
            self._process.wait()


class EpochGate(Callback):
    """Measures each training epoch of a Trainer: from before its first batch is loaded until its
    last step is done, with the checkpoint that `train.py` saves to resume from, without validation.
    """

    def __init__(self) -> None:
        self._gate = Gate()
        self._images = 0
        self._open = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._images, self._open = 0, True
        self._gate.wait()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch[1])

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._gate.done(self._images)


class EndAfterFirstStep(Callback):
    """Ends the process at once when the first training step is done."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        os._exit(0)
