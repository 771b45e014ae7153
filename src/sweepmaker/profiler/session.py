"""The profiler of one run: started before training, ended with a report whatever the run's end was.

Nothing here may hurt the run: an error of the profiler is one line of warning.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.profilers import Profiler
from omegaconf import DictConfig

from sweepmaker.profiler import facts, ranks, settings
from sweepmaker.profiler.clock import StepClock
from sweepmaker.profiler.early import Early, Reading
from sweepmaker.profiler.gpus import Gpus
from sweepmaker.profiler.machine import Machine
from sweepmaker.profiler.phases import Phases
from sweepmaker.profiler.profile import FOLDER, Profile, node_folder
from sweepmaker.profiler.sampler import Sampler

log = logging.getLogger(__name__)

SERIES = "series.json"
_LONG_START_S = 30.0  # without a first step: from here on the start itself is worth a report


class Profiling:
    """
    Args:
        cfg: the run's config.
        folder: the run folder.
        began: seconds of `time.perf_counter` at which the run began; None in a process that does not
            write to the folder.
        early: has read the machine since then.

    Attributes:
        phases: the Lightning profiler to give to the trainer, or to let listen to the user's own.
        clock: the callback that cuts time into steps; there without the profiler too, for run.json.
    """

    def __init__(
        self, cfg: DictConfig, folder: Path, began: float | None, early: Early | None = None
    ) -> None:
        self._cfg = cfg
        self._run = folder
        self._folder = folder / FOLDER
        self._main = main = began is not None
        self._node = 0
        self._began = time.perf_counter() if began is None else began
        self._settings = settings.read(cfg) if cfg.train else None
        self.phases = Phases()
        watched = self._settings is not None
        self.clock = StepClock(self.phases, keep=watched and main,
                               told=(self._started, self._ended) if watched else None)  # fmt: skip
        self._profile: Profile | None = None
        self._early = early
        self._sampler: Sampler | None = None
        self._machine: Machine | None = None
        self._gpus = Gpus([])
        self._ranks: list[dict[str, float]] = []
        self._broken = False

    def callbacks(self) -> list[Callback]:
        """For the trainer: the step clock, and what else was asked for."""
        made: list[Callback] = [self.clock]
        if self._settings is None:
            return made
        if self._settings.trace and self._main:
            from sweepmaker.profiler.trace import Trace

            made.append(Trace(self._folder, self._settings.trace_steps))
        return made

    def attach(self, trainer: Trainer) -> None:
        """Hear of what Lightning does, also where the user gave the trainer a profiler."""
        profiler: Profiler = trainer.profiler  # type: ignore[attr-defined]
        self.phases.listen_to(profiler)

    def watch(self, trainer: Trainer, data: LightningDataModule, threads: int, gpus: list[str]) -> None:
        """Begin to keep what is sampled: trainer and data are built.

        Every machine of a run watches itself, in the first of its processes.

        Args:
            gpus: names of what torch sees.
        """
        if self._settings is None or not (self._main or (trainer.node_rank > 0 and trainer.local_rank == 0)):
            return
        with self._harmless():
            if not self._main:
                self._node = trainer.node_rank
                self._folder = self._folder / node_folder(self._node)
                self.clock.keep = True
            about = facts.of_run(self._cfg, trainer, data, threads) | {"node": self._node}
            places = facts.gpu_places(trainer)
            self._gpus = Gpus(places, uuids=facts.gpu_uuids(places))
            about |= {"gpus": self._gpus.names or gpus, "gpu_uuids": self._gpus.uuids,
                      "gpu_problem": self._gpus.problem}  # fmt: skip
            if self._gpus.problem:
                print(f"profiler: GPUs are not sampled ({self._gpus.problem})", file=sys.stderr)
            machine, readings = self._so_far()
            machine.whole = about["whole"]
            about["memory_gib"] = machine.memory_gib
            profile = Profile(self._settings, machine.cores, len(self._gpus.names), about)
            self._continue(profile)
            for seconds, found, cores in readings:
                profile.add_sample(profile.earlier_s + seconds, found, cores, (), training=False)
            self._profile = profile
            self._machine = machine
            self._sampler = Sampler(
                profile, self.clock, machine, self._gpus, self._seconds, self._scan, self._write
            )
            self._sampler.start()

    def _so_far(self) -> tuple[Machine, list[Reading]]:
        early, self._early = self._early, None
        return (Machine(), []) if early is None else (early.machine, early.stop())

    def _started(self, trainer: Trainer) -> None:
        """Training has begun: the loader is there now."""
        if self._profile is not None:
            with self._harmless():
                # a new one: the sampler may be writing the old one down
                self._profile.facts = {**self._profile.facts, **facts.of_loader(trainer)}

    def _ended(self, trainer: Trainer) -> None:
        """Training is over in all processes: their shares of the work, for the comparison of the ranks."""
        with self._harmless():
            self._ranks = ranks.gather(trainer, self.clock, self._profile)

    def finish(self, state: str) -> None:
        """Stop sampling, let the rules look a last time, write the report and say two lines.

        Args:
            state: how the run ended, for the report.
        """
        profile, self._profile = self._profile, None
        if profile is None or self._sampler is None:
            with self._harmless():
                self._without_training(state)
            return
        with self._harmless():
            self._sampler.stop()
            self._broken = self._broken or self._sampler.error is not None  # that line was said
            if self._sampler.is_alive():  # the profile is still that thread's own
                log.warning("the profiler hangs on a counter of this machine: there is no report")
            elif self.clock.first is not None or self._long_start():
                profile.unwatched = self._why_unwatched()
                self._report(profile, state)
        with self._harmless():
            self._gpus.close()

    def _without_training(self, state: str) -> None:
        """It ended while weights or data were fetched, say: how long that took is all there is to tell."""
        early, self._early = self._early, None
        if early is None:
            return
        readings = early.stop()
        if self._settings is None or not self._long_start() or (self._folder / SERIES).exists():
            return  # a report of an earlier process tells more
        profile = Profile(self._settings, early.machine.cores, facts={"cores": len(early.machine.cores)})
        for seconds, found, cores in readings:
            profile.add_sample(seconds, found, cores, (), training=False)
        self._report(profile, state)

    def _long_start(self) -> bool:
        rule = self._settings.rules.get("MaxInitializationTime") if self._settings is not None else None
        limit = _LONG_START_S if rule is None else min(_LONG_START_S, 60 * rule["threshold"])
        return self._seconds() >= limit

    def _why_unwatched(self) -> str | None:
        if self._sampler is None or (error := self._sampler.error) is None:
            return None
        return (
            f"Only the first {self._sampler.until:.0f} s of this run were watched: "
            f"the profiler itself failed ({type(error).__name__}: {error})."
        )

    def _report(self, profile: Profile, state: str) -> None:
        from sweepmaker.profiler import judge, sweep
        from sweepmaker.profiler.report import files

        profile.add_steps(profile.earlier_s + self._seconds(), self.clock.drain())
        self._take_times(profile)
        profile.ranks = self._ranks
        if self._machine is not None:
            profile.facts = {**profile.facts, "counters_missing": self._machine.missing}
        judge.scan(profile)
        found = judge.conclude(profile)
        with self._harmless():
            profile.save(self._folder / SERIES)
            files.write(self._run, profile, found, state, self._folder)
            if self._main and HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
                sweep.write(self._run.parent)  # anew after each run: whichever ends last has seen them all
        if self._main:
            for line in found.sentences:  # a disk that is full has no say in them
                print(line, file=sys.stderr)

    def _continue(self, profile: Profile) -> None:
        path = self._folder / SERIES
        if path.is_file():
            try:
                profile.load(path)
            except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                log.warning("the profile of this run begins anew: %s cannot be read (%s: %s)",
                            path, type(error).__name__, error)  # fmt: skip

    def _seconds(self) -> float:
        """Since this process began with the run."""
        return time.perf_counter() - self._began

    def _take_times(self, profile: Profile) -> None:
        now, clock = time.perf_counter(), self.clock
        first = clock.first if clock.first is not None else now
        last = max(clock.ended or now, first)
        profile.take_times(first - self._began, last - first, now - last)

    def _scan(self) -> None:
        from sweepmaker.profiler import judge

        if (profile := self._profile) is not None:
            self._take_times(profile)
            judge.scan(profile)

    def _write(self) -> None:
        if (profile := self._profile) is not None:
            self._take_times(profile)
            profile.save(self._folder / SERIES)

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self._broken:
                log.warning("the profiler failed, the run is not touched by it: %s: %s",
                            type(error).__name__, error)  # fmt: skip
                log.debug("where the profiler failed", exc_info=error)
            self._broken = True
