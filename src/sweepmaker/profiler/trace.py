"""The operators of a few steps, by torch.profiler: a table for the report, a trace for Perfetto."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from sweepmaker.profiler.phases import UNUSUAL
from sweepmaker.profiler.profile import OPERATORS
from sweepmaker.run import atomic

log = logging.getLogger(__name__)

TRACE = "trace.json.gz"
_SKIP = 10  # steps before it begins, where a run has that many: the first ones are not like the others
_WARM = 2  # steps in which torch.profiler runs and keeps nothing
_TOP = 15  # operators in the table


class Trace(Callback):
    """Records ``steps`` training steps once; an error ends the recording, not the run.

    Args:
        folder: gets ``trace.json.gz`` and ``operators.json``.
        steps: how many.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self._folder = folder
        self._steps = steps
        self._profiler: Any = None
        self._kept = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = float(trainer.num_training_batches) * float(trainer.max_epochs or 1)
        skip = int(max(0, min(_SKIP, total - _WARM - self._steps)))
        activities = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available() and trainer.strategy.root_device.type == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        plan = torch.profiler.schedule(wait=0, warmup=_WARM, active=self._steps, repeat=1, skip_first=skip)
        self._try(
            lambda: self._begin(
                torch.profiler.profile(activities=activities, schedule=plan, on_trace_ready=self._keep)
            )
        )

    def _begin(self, profiler: Any) -> None:
        profiler.__enter__()
        self._profiler = profiler

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self._profiler is not None:
            with trainer.profiler.profile(UNUSUAL):  # type: ignore[attr-defined]
                self._try(self._profiler.step)
            if self._kept:  # else every later step would count as unusual, too
                self._end()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._end()

    def _end(self) -> None:
        profiler, self._profiler = self._profiler, None
        if profiler is not None:
            self._try(lambda: profiler.__exit__(None, None, None))

    def _keep(self, profiler: Any) -> None:
        self._kept = True
        self._folder.mkdir(parents=True, exist_ok=True)
        atomic.write_json(self._folder / OPERATORS, operators(profiler.key_averages()))
        with atomic.replacing(self._folder / TRACE) as temporary:
            # torch packs what is called .gz; the name that others see comes with the last step
            packed = temporary.with_name(temporary.name + ".json.gz")
            try:
                profiler.export_chrome_trace(str(packed))
                packed.replace(temporary)
            finally:
                packed.unlink(missing_ok=True)

    def _try(self, work: Any) -> None:
        try:
            work()
        except Exception as error:
            self._profiler = None
            log.warning("the operators are not recorded: %s: %s", type(error).__name__, error)


def operators(averages: Any) -> dict[str, Any]:
    """The dearest operators by their own time, microseconds on ``cpu`` and ``gpu``; ``total``: of all.

    On a GPU these are its kernels: an operator's row has the time of those that it started once more, and so
    has a range that somebody named. torch's own table sums up the same rows.
    """
    tables: dict[str, Any] = {"total": {}}
    for device, field in (("cpu", "self_cpu_time_total"), ("gpu", "self_device_time_total")):
        rows = [row for row in averages if device == "cpu" or _kernel(row)]
        found = [(float(getattr(row, field, 0.0)), str(row.key), int(row.count)) for row in rows]
        found = sorted((row for row in found if row[0] > 0 and not row[1].startswith("ProfilerStep")),
                       reverse=True)  # fmt: skip
        total = tables["total"][device] = sum(row[0] for row in found)
        tables[device] = [
            {"name": name, "microseconds": spent, "calls": calls, "percent": 100 * spent / total}
            for spent, name, calls in found[:_TOP]
        ]
    return tables


def _kernel(row: Any) -> bool:
    return row.device_type.name != "CPU" and not row.is_user_annotation
