"""Where in the training a checkpoint stands, written into Lightning's loop state in the one form it
continues from exactly.

Lightning's own mid-epoch checkpoints skip the validation of an epoch when they are saved on its last
batch, and repeat or lose the metrics of the epoch. There are three places where we save:

- ``epoch``: an epoch is about to start and nothing of it has happened;
- ``batch``: ``batch`` batches of the epoch are done, with all that belongs to them;
- ``validation``: the last batch before a validation is done, and none of that validation counts.

The names of the loop state are Lightning's private ones, so pyproject.toml bounds its version; the
resume tests compare bit by bit and would notice.
"""

from __future__ import annotations

from typing import Any

Loops = dict[str, Any]
_VALIDATION = "epoch_loop.val_loop.batch_progress"


def at_epoch_start(loops: Loops, epoch: int) -> None:
    """``epoch`` epochs are complete: Lightning then starts the next one afresh."""
    progress = loops["fit_loop"]["epoch_progress"]
    for counters in (progress["total"], progress["current"]):
        _set(counters, epoch)
    _no_validation(loops)


def at_batch(loops: Loops, batch: int, *, counts_again: bool) -> None:
    """``batch`` batches of the epoch are complete; the next one has been fetched but not used.

    Args:
        loops: Lightning's loop state, changed in place.
        batch: from 1.
        counts_again: a validation has just ended, after a batch that completed an optimizer step. On
            restart Lightning passes this place once more, without validating, and counts that step.
    """
    fit = loops["fit_loop"]
    progress = fit["epoch_loop.batch_progress"]
    fetched = progress["current"]["ready"] - batch
    _set(progress["total"], progress["total"]["ready"] - fetched)
    _set(progress["current"], batch)
    progress["is_last_batch"] = False  # was said of the one fetched
    if counts_again:
        fit["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
    _no_validation(loops)


def before_validation(loops: Loops) -> None:
    """The validation is to be run from its first batch: looks to Lightning like a broken-off one."""
    progress = loops["fit_loop"][_VALIDATION]
    for counters in (progress["total"], progress["current"]):
        _set(counters, 0)
        counters["ready"] = counters["started"] = 1
    progress["is_last_batch"] = False


def _no_validation(loops: Loops) -> None:
    """No validation is under way: one that a restart repeated still looks broken off in its totals."""
    progress = loops["fit_loop"][_VALIDATION]
    for counters in (progress["total"], progress["current"]):
        _set(counters, counters["completed"])


def _set(counters: dict[str, int], value: int) -> None:
    for name in counters:
        counters[name] = value
