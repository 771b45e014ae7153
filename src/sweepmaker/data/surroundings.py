"""What a data module knows of the run around it: its device, its processes, and whom it tells its choices."""

from __future__ import annotations

import sys
from typing import Any

from lightning import LightningDataModule

from sweepmaker.config.choices import Choices
from sweepmaker.data.workers import auto_workers, device_type
from sweepmaker.run.environment import available_cores


class InRun(LightningDataModule):
    """A data module that chooses by what the run has.

    Args:
        num_workers: processes that load images; None: chosen.
    """

    def __init__(self, num_workers: int | None) -> None:
        super().__init__()
        self.num_workers = num_workers
        self.choices: Choices | None = None
        self.accelerator = "auto"  # the one that the run will train on, as long as there is no trainer
        self._workers: int | None = None

    def workers(self) -> int:
        """Processes that load images; the choice is told once."""
        if self.num_workers is not None:
            return self.num_workers
        if self._workers is None:
            local = 1 if self.trainer is None else self.trainer.num_devices
            self._workers, reason = auto_workers(self._device_type() != "cpu", available_cores(), local)
            self._choose("data.num_workers", self._workers, reason)
        return self._workers

    @property
    def pinned(self) -> bool:
        """Whether batches lie in page-locked memory, from where the GPU copies them while it computes."""
        return self._device_type() == "cuda"

    def say(self, line: str) -> None:
        """One line for the user, once for all processes of the run."""
        if self._ranks()[1] == 0:
            print(line, file=sys.stderr, flush=True)

    def _device_type(self) -> str:
        if self.trainer is not None:
            return self.trainer.strategy.root_device.type
        return device_type(self.accelerator)

    def _ranks(self) -> tuple[int, int]:
        """(number of processes that train together, this one's number)."""
        if self.trainer is None:
            return 1, 0
        return self.trainer.world_size, self.trainer.global_rank

    def _choose(self, name: str, value: Any, reason: str) -> None:
        if self.choices is not None:
            self.choices.add(name, value, reason)
