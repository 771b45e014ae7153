"""Where observations arrive: stored, shown to the rules, and what these find written down. Rank 0 only."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

from sweepmaker.config.errors import UserError
from sweepmaker.debugger import findings, store
from sweepmaker.debugger.engine import Engine
from sweepmaker.debugger.observations import End, Names, Observation, Reader, Stall, record
from sweepmaker.debugger.rules.base import Finding
from sweepmaker.debugger.settings import Settings
from sweepmaker.debugger.watchdog import Watchdog
from sweepmaker.run import atomic, disk

log = logging.getLogger(__name__)

FINDINGS = "findings.json"
STACKS = "stalled.txt"


class Desk:
    """Args:
    settings: the checked settings.
    folder: the run's ``debugger`` folder.
    resume: the run's folder, for the message of a full disk.
    """

    def __init__(self, settings: Settings, folder: Path, resume: Path | None) -> None:
        self._settings = settings
        self._folder = folder
        self._resume = resume
        self._store = store.Store(folder / store.NAME, resume)
        self._reader = Reader()
        self._engine = Engine(settings.rules, self._say)
        self._quiet = False
        self._ended = False
        self._watches = False  # what an earlier process found has been read
        self._begun = time.monotonic()
        self._place = (0, 0)
        self._lock = threading.RLock()  # the watchdog's thread takes part
        self._watchdog: Watchdog | None = None

    @property
    def size(self) -> int:
        """Bytes of the store: what a checkpoint remembers."""
        return self._store.size

    @property
    def count(self) -> int:
        """Findings so far."""
        return self._engine.count

    @property
    def stop(self) -> tuple[str, Finding] | None:
        """The rule that asks the run to end, and why."""
        return self._engine.stop

    def why(self) -> dict[str, Any] | None:
        """`stop` as run.json keeps it."""
        if self.stop is None:
            return None
        rule, found = self.stop
        reason = f"{found.where}: {found.value:.4g} against {found.threshold:.4g}: {found.meaning}"
        return {"rule": rule, "step": found.step, "epoch": found.epoch, "reason": reason}

    def begin(self, names: Names, size: int, place: tuple[int, int]) -> None:
        """Cut the store back to the checkpoint, and show the rules what is in it: they go on from there.

        Args:
            names: what the columns of this process's steps stand for.
            size: bytes that the checkpoint knew of; 0 for a run that begins.
            place: (optimizer steps done, epoch).
        """
        self._place = place
        self._store.truncate(size)
        if self._store.size < size:
            log.warning("%s is shorter than the checkpoint knew it: rules begin anew", self._store.path)
        self._quiet = True
        for stored in store.read(self._store.path):
            observation = self._read(stored)
            if observation is not None:
                self._engine.show(observation)
                self._ended = isinstance(observation, End)
        self._quiet = False
        if not self._store.size:
            self.name(names)  # of a run that goes on they may change again before its first step
        self._watches = True
        self._write()
        self._watch()

    def name(self, names: Names) -> None:
        """What the columns of the steps from here on stand for; stored where it is new."""
        known = self._reader.names
        if (known.parameters, known.activations) != (names.parameters, names.activations):
            self._append(record(names))
            self._read(record(names))

    def take(self, observation: Observation) -> None:
        """Store an observation and show it to the rules."""
        self.take_step(record(observation))

    def take_step(self, stored: dict[str, Any]) -> None:
        """Store a record; the rules see what is read back of it."""
        if stored["kind"] == "step":
            stored |= {
                "seconds": round(time.monotonic() - self._begun, 3),
                "gap_s": round(self._watchdog.longest_gap_s(), 3) if self._watchdog else 0.0,
            }
        with self._lock:
            self._ended = False  # a run that is given more epochs goes on after its end
            self._append(stored)
            observation = self._read(stored)
            if observation is not None and self._engine.show(observation):
                self._write()

    def beat(self, step: int, epoch: int) -> None:
        """A sign of life."""
        self._place = (step, epoch)
        if self._watchdog is not None:
            self._watchdog.beat()

    def end(self, step: int, epoch: int, *, stopped: bool) -> None:
        """The training is over (``stopped``: a rule ended it): the last findings, and the table."""
        self.close()
        if not self._ended:
            self.take(End(step, epoch, stopped=stopped))
            self._ended = True
        self._engine.end("NoIssuesFound")
        self._write()
        print(findings.table(self._engine.reports), file=sys.stderr, flush=True)

    def cut_off(self) -> None:
        """The training was interrupted or failed."""
        self.close()
        if self._watches and not self._ended:
            self._engine.end("Stopped")
            self._write()

    def fail(self, reason: str) -> None:
        """Nothing more can be observed."""
        self.close()
        self._engine.fail(reason)
        self._write()

    def close(self) -> None:
        """Stop the watchdog."""
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None

    def _watch(self) -> None:
        for one in self._settings.rules:
            threshold = one.rule.parameters.get("threshold")
            if one.name == "StalledTraining" and threshold is not None:
                self._watchdog = Watchdog(float(threshold), self._folder / STACKS, self._stalled)
                self._watchdog.start()

    def _stalled(self, gap_s: float) -> None:
        try:
            self.take(Stall(*self._place, round(gap_s, 3)))
        except UserError as error:  # in a thread of its own: the training meets the full disk itself
            log.warning("a stall of %.0f s could not be kept: %s", gap_s, error.message)

    def _read(self, stored: dict[str, Any]) -> Observation | None:
        observation = self._reader.read(stored)
        self._engine.own = self._reader.names.own
        return observation

    def _append(self, stored: dict[str, Any]) -> None:
        self._store.append(stored)

    def _write(self) -> None:
        path = self._folder / FINDINGS
        with disk.naming(path, resume=self._resume):
            self._folder.mkdir(parents=True, exist_ok=True)
            atomic.write_json(path, findings.document(self._settings.preset, self._engine.reports))

    def _say(self, rule: str, finding: Finding) -> None:
        if not self._quiet:
            print(findings.line(rule, finding), file=sys.stderr, flush=True)
