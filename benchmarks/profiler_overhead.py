"""What the profiler costs: a run of EfficientNet-B2 and a head on cached features, with it and without.

Counted in CPU seconds of the whole process, the sampler's thread included, from an epoch's first batch to
its last; with `profiler=sane`, with `profiler=none` (the step clock stays: run.json's timing comes from it)
and without sampler and step clock take turns. Also the CPU seconds of the report of a run of ten hours on
eight GPUs, sampled twice a second.

    python benchmarks/profiler_overhead.py
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
from benchmarks.timing import ONE_THREAD, ROOT, Ratio, Report, finish, interleave, paired_ratio
from benchmarks.timing import parser as make_parser

os.environ.update(ONE_THREAD)

import hydra
import torch
from lightning.pytorch import Callback
from lightning.pytorch.profilers import PassThroughProfiler

from sweepmaker.config.choices import Choices
from sweepmaker.profiler.clock import StepClock
from sweepmaker.profiler.phases import Phases
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.report import files
from sweepmaker.profiler.session import Profiling
from sweepmaker.run.folder import RunFolder
from sweepmaker.run.training import Run
from tests.profiler.recorded import judged, preset, profile

MOST = 1.01  # times the CPU seconds of a step without the profiler
MOST_REPORT_S = 3.0  # seconds of the report of a ten-hour run
PRESETS = ("sane", "none", "bare")  # bare: without the step clock, too
MOST_US = 20.0  # microseconds of the step clock alone
B2 = ["+experiment=b2", "batch_size=16", "data.limit.train=640"]
HEAD = [
    "model.finetune=head", "model.weights=none", "image_size=32", "batch_size=32",
    "data.augment.crop_scale=null", "data.cache=disk",
]  # fmt: skip
ACTIONS = [
    "[_TrainingEpochLoop].train_dataloader_next", "[Strategy]S.batch_to_device", "[Strategy]S.training_step",
    "[Strategy]S.backward", "[LightningModule]C.optimizer_step", "[LightningModule]C.lr_scheduler_step",
    *(f"[Callback]C{number}.{hook}" for number in range(8) for hook in (
        "on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward",
        "on_before_optimizer_step", "on_train_batch_end")),
]  # fmt: skip


class Steps(Callback):
    """CPU seconds a step, from an epoch's first batch to its last, of all epochs but the first."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begun = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self._begun = time.process_time()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if index + 1 == trainer.num_training_batches:
            self.seconds.append((time.process_time() - self._begun) / (index + 1))


class Bare(Profiling):
    """Neither sampler nor step clock, and a profiler for Lightning that hears nothing."""

    def __init__(self, cfg: Any, folder: Path, began: float) -> None:
        super().__init__(cfg, folder, began)
        self.phases: Any = PassThroughProfiler()

    def callbacks(self) -> list[Callback]:
        return []

    def attach(self, trainer: Any) -> None: ...


def fit(parent: Path, words: list[str], preset: str, epochs: int) -> float:
    """CPU milliseconds a step of one run as train.py does it."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = hydra.compose("train", [
            *words, f"epochs={epochs}", "trainer.threads=1", "test=false",
            f"profiler={'none' if preset == 'bare' else preset}",
            f"paths.output_dir={folder}", f"data.cache_dir={parent}", "trainer.enable_progress_bar=false",
        ])  # fmt: skip
    choices = Choices(quiet=True)
    choices.add("threads", 1, "as all here")
    kind = Bare if preset == "bare" else Profiling
    profiling = kind(cfg, folder, time.perf_counter())
    run = Run(cfg, RunFolder(folder), choices, profiling)
    steps = Steps()
    run.trainer.callbacks.append(steps)
    profiling.watch(run.trainer, run.data, 1, [])
    run.trainer.fit(run.model, datamodule=run.data)
    profiling.finish("completed")
    counted = steps.seconds[1:] or steps.seconds
    return 1e3 * sum(counted) / len(counted)


def clock_us() -> float:
    """CPU microseconds that the step clock adds to a step of eight callbacks, its rows drained too."""
    phases = Phases()
    clock = StepClock(phases, keep=True)
    phases.begin()
    trainer: Any = SimpleNamespace(world_size=1, accumulate_grad_batches=1, global_step=0)
    batch, steps = [torch.zeros(32)], 2000
    began = time.process_time()
    for _ in range(steps):
        for action in ACTIONS:
            phases.start(action)
            phases.stop(action)
        clock.on_train_batch_start(trainer, trainer, batch, 0)
        clock.on_train_batch_end(trainer, trainer, None, batch, 0)
    clock.drain()
    return 1e6 * (time.process_time() - began) / steps


def ten_hours() -> Profile:
    """What a run of ten hours on eight GPUs leaves, with steps of half a second."""
    asked = preset("sane", "profiler.scan_s=60")
    return profile(asked, seconds=36_000, busy=(90,) * 8, step=lambda _: 0.5, gpus=["NVIDIA A10G"] * 8)


def report_s(hours: Profile, folder: Path) -> float:
    """CPU seconds of the rules' last look, all files and the page."""
    began = time.process_time()
    found = judged(hours)
    hours.save(folder / "series.json")
    files.write(folder, hours, found, "completed")
    return time.process_time() - began


def main() -> None:
    options = make_parser(__doc__, repeats=7).parse_args()
    torch.set_num_threads(1)
    report = Report("a step with the profiler and without, one thread", "ms of CPU time a step")
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        for label, words, epochs in (("b2, 64 px, batch 16", B2, 1), ("head, features, batch 32", HEAD, 6)):
            work = {preset: partial(fit, Path(name), words, preset, epochs) for preset in PRESETS}
            figures = interleave(work, repeats=options.repeats)
            for preset, values in figures.items():
                report.add(f"{label}: {preset}", values)
            ratios.append((label, *(paired_ratio(figures["sane"], figures[peer]) for peer in PRESETS[1:])))
    clocks = [clock_us() for _ in range(options.repeats)]
    report.ratios.append(
        Ratio("b2: profiler=sane / neither sampler nor step clock", ratios[0][2], MOST, at_most=True)
    )
    with tempfile.TemporaryDirectory() as name:
        hours = ten_hours()
        reports = [report_s(hours, Path(name)) for _ in range(3)]
        size = (Path(name) / "profiler" / "report.html").stat().st_size / 1e6
    print(f"report of ten hours: {', '.join(f'{each:.2f}' for each in reports)} s of CPU time, {size:.2f} MB")
    report.ratios.append(Ratio("report of ten hours, seconds", max(reports), MOST_REPORT_S, at_most=True))
    report.ratios.append(Ratio("step clock alone, microseconds a step", min(clocks), MOST_US, at_most=True))
    for label, to_none, to_bare in ratios:
        print(f"{label}: profiler=sane / none {to_none:.3f}, / neither {to_bare:.3f}")
    finish(report, options)


if __name__ == "__main__":
    main()
