"""A rule on two runs: whether they do the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from sweepmaker.config.rules import TEXT, number, one_of, several
from sweepmaker.debugger import store
from sweepmaker.debugger.observations import Reader, Step
from sweepmaker.debugger.rules.base import Finding, Rule, layer


@dataclass
class SimilarAcrossRuns(Rule):
    """This run does something else than an earlier one that it should repeat.

    Condition: at a step that both runs sampled, the losses or the norms of the gradients differ by more
    than ``rtol`` and ``atol`` (``numpy.allclose``).
    What to do: compare seeds, data, versions and threads of the two runs (``run.json``); deterministic
    algorithms on a GPU (``trainer.deterministic=true``).
    Differs from AWS: despite the name AWS's rule fires where tensors differ, and so does this one.
    Gradients are compared by their norms, which is all that is kept of them. Off unless ``other_trials``
    names run folders.
    Example: the same command with another seed, step 0: loss 2.41, there 2.29.
    """

    other_trials: tuple[str, ...] | list[str] = ()
    collection_names: tuple[str, ...] | list[str] = ("losses", "gradients")
    rtol: float = 1e-5
    atol: float = 1e-8

    LIMITS: ClassVar = {
        "other_trials": several(TEXT),
        "collection_names": several(one_of("losses", "gradients")),
        "rtol": number(least=0),
        "atol": number(least=0),
    }

    def __post_init__(self) -> None:
        self._others: dict[str, dict[int, Step]] | None = None

    def on_step(self, step: Step) -> Iterable[Finding]:
        if self._others is None:
            self._others = {folder: _steps(Path(folder)) for folder in self.other_trials}
        for folder, steps in self._others.items():
            other = steps.get(step.step)
            if other is None:
                continue
            if "losses" in self.collection_names and step.losses and other.losses:
                yield from self._differs(step, folder, "loss", step.loss, other.loss)
            if "gradients" in self.collection_names and step.names.parameters == other.names.parameters:
                ours, theirs = step.column("grad_l2"), other.column("grad_l2")
                same = np.isclose(ours, theirs, self.rtol, self.atol, equal_nan=True)
                if not same.all():
                    place = int(np.flatnonzero(~same)[0])
                    where = layer(step.names.parameters[place])
                    yield from self._differs(step, folder, where, float(ours[place]), float(theirs[place]))

    def _differs(self, step: Step, folder: str, where: str, ours: float, theirs: float) -> Iterable[Finding]:
        if not np.isclose(ours, theirs, self.rtol, self.atol, equal_nan=True):
            yield Finding(
                step.step, step.epoch, where, ours, theirs,
                f"runs differ: {ours:.6g} here, {theirs:.6g} in {folder}",
                "the same seed, data, versions, threads and device; on a GPU deterministic algorithms",
                "trainer.deterministic=true",
            )  # fmt: skip


def _steps(folder: Path) -> dict[int, Step]:
    path = folder / "debugger" / store.NAME
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no debugger/{store.NAME}")
    observations = Reader().read_all(store.read(path))
    return {one.step: one for one in observations if isinstance(one, Step)}
