"""Where a training step's time goes, told by the actions that Lightning names to its profiler."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch.profilers import Profiler

PHASES = (
    "loop", "data_wait", "transfer", "forward", "backward", "optimizer", "callbacks", "validation",
    "checkpoint",
)  # fmt: skip
"""``loop`` is what no other phase has: Lightning's own work between them."""
NAMES = {
    "loop": "loop around the model", "data_wait": "waiting for data", "transfer": "copies to the device",
    "forward": "forward", "backward": "backward", "optimizer": "optimizer", "callbacks": "callbacks",
    "validation": "validation", "checkpoint": "checkpoints",
}  # fmt: skip
"""What they are called in the report and in the console."""
LOOP, DATA_WAIT, TRANSFER, FORWARD, BACKWARD, OPTIMIZER, CALLBACKS, VALIDATION, CHECKPOINT = range(
    len(PHASES)
)
STEP = (LOOP, DATA_WAIT, TRANSFER, FORWARD, BACKWARD, OPTIMIZER, CALLBACKS)
"""What belongs to a step; validation and checkpoints come between two of them."""

UNUSUAL = "unusual_step"
"""The action by which others tell that this step does more than most: the debugger's samples, say."""

_NOTHING = nullcontext()
_NEW = -1  # an action that nobody classified yet
_OF_STRATEGY = {"batch_to_device": TRANSFER, "training_step": FORWARD, "backward": BACKWARD}
_OF_MODULE = {"optimizer_step": OPTIMIZER, "lr_scheduler_step": OPTIMIZER}
# One hook a step is enough: six of them for each callback would cost more than most of them do.
_OF_CALLBACKS = ("on_train_batch_end", "on_train_epoch_start", "on_train_epoch_end")


def phase_of(action: str) -> int | None:
    """The phase of an action as Lightning 2.6 names it; None: it belongs to whatever surrounds it."""
    owner, _, _ = action.partition("]")
    hook = action.rpartition(".")[2]
    if action == "save_checkpoint":
        return CHECKPOINT
    if hook == "train_dataloader_next":
        return DATA_WAIT
    if owner == "[Strategy":
        return _OF_STRATEGY.get(hook)
    if owner == "[LightningModule" and hook in _OF_MODULE:
        return _OF_MODULE[hook]
    if owner in ("[Callback", "[LightningModule") and hook in _OF_CALLBACKS:
        return CALLBACKS
    return None


class _Timed:
    """``with`` for one phase; one object serves nested uses too: `Phases` keeps what is interrupted."""

    def __init__(self, phases: Phases, phase: int) -> None:
        self._phases = phases
        self._phase = phase

    def __enter__(self) -> None:
        self._phases.enter(self._phase)

    def __exit__(self, *_: object) -> None:
        if self._phases._outer:  # else training ended meanwhile
            self._phases.leave()


class Phases(Profiler):
    """A Lightning profiler that adds up each phase's own time, without that of phases inside it.

    Its seconds are those of the Python process: a GPU works on after a call has returned, and the wait
    for it shows where the process next needs a result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.active = False
        self.unusual = False  # this step, as somebody told
        self.totals = [0.0] * len(PHASES)  # since they were last taken
        self._known: dict[str, int | None] = {}
        self._timed = [_Timed(self, phase) for phase in range(len(PHASES))]
        self._outer: list[int] = []
        self._now = LOOP
        self._since = 0.0

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        """Lightning asks about sixty times a step; what belongs to no phase costs next to nothing."""
        if not self.active:
            return _NOTHING
        phase = self._known.get(action_name, _NEW)
        if phase == _NEW:
            phase = self._classify(action_name)
        return _NOTHING if phase is None else self._timed[phase]

    def start(self, action_name: str) -> None:
        phase = self._known.get(action_name, _NEW)
        if phase is None or not self.active:
            return
        if phase == _NEW:
            phase = self._classify(action_name)
        if phase is not None:
            self.enter(phase)

    def _classify(self, action: str) -> int | None:
        if action == UNUSUAL:
            self.unusual = True  # not kept as known: it is to be heard each time
            return None
        phase = self._known[action] = phase_of(action)
        return phase

    def stop(self, action_name: str) -> None:
        if self._known.get(action_name) is not None and self._outer:
            self.leave()

    def enter(self, phase: int) -> None:
        """A phase begins; within a validation only a checkpoint is told apart."""
        now = time.perf_counter()
        current = self._now
        self.totals[current] += now - self._since
        self._since = now
        self._outer.append(current)
        if current != VALIDATION or phase == CHECKPOINT:
            self._now = phase

    def leave(self) -> None:
        """The phase that was entered last ends."""
        now = time.perf_counter()
        self.totals[self._now] += now - self._since
        self._since = now
        self._now = self._outer.pop()

    def begin(self) -> None:
        """Training starts: from now on every moment belongs to a phase."""
        self.active, self._outer, self._now, self.unusual = True, [], LOOP, False
        self.totals, self._since = [0.0] * len(PHASES), time.perf_counter()

    def end(self) -> None:
        """Training is over."""
        self.active = False
        self._outer = []

    def take(self) -> list[float]:
        """Seconds of each phase since the last call, up to this moment."""
        now = time.perf_counter()
        self.totals[self._now] += now - self._since
        self._since = now
        taken, self.totals = self.totals, [0.0] * len(PHASES)
        return taken

    def listen_to(self, profiler: Profiler) -> None:
        """Hear of the actions that the user's own profiler is told; it works as before."""
        if profiler is self:
            return
        theirs: Any = profiler
        theirs.start = _both(profiler.start, self.start)
        theirs.stop = _both(self.stop, profiler.stop)


def _both(one: Callable[[str], None], other: Callable[[str], None]) -> Callable[[str], None]:
    def call(action_name: str) -> None:
        one(action_name)
        other(action_name)

    return call
