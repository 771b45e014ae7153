"""Rules about what comes between the steps: validation and checkpoints, which nothing trains through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweepmaker.profiler.phases import PHASES
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.rules.verdict import Verdict, not_looked, word

_FEW = 4  # epochs; with fewer there is no validation to be left out


def validation(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """Validation takes more than so many percent of the training loop."""
    return _between(profile, parameters, "validation", "Validation", _less_often)


def checkpoints(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """Writing checkpoints takes more than so many percent of the training loop."""
    return _between(profile, parameters, "checkpoint", "Writing checkpoints", _cheaper)


def _between(profile: Profile, parameters: Mapping[str, Any], phase: str, what: str, cure: Any) -> Verdict:
    total = float(profile.totals.sum())
    if total < parameters["patience_s"]:
        return not_looked(
            f"{total:.0f} s of the training loop, at least {parameters['patience_s']:g} s are needed"
        )
    seconds = float(profile.totals[PHASES.index(phase)])
    share = 100 * seconds / total if total else 0.0
    details = {"percent": round(share, 2), "seconds": seconds, "loop_s": total}
    sentence = f"{what} took {share:.0f} % of the training loop (limit: {parameters['threshold']:g} %)."
    if share <= parameters["threshold"]:
        return Verdict(False, sentence, datapoints=profile.count, details=details)
    override, advice = cure(profile)
    return Verdict(True, sentence, advice, override, gain=profile.gain(seconds / 2),
                   datapoints=profile.count, details=details)  # fmt: skip


def _less_often(profile: Profile) -> tuple[str | None, str]:
    known = profile.facts
    interval, every, epochs = (
        known.get(name) for name in ("val_check_interval", "check_val_every_n_epoch", "epochs")
    )
    if isinstance(interval, float) and interval < 1:
        return "trainer.val_check_interval=1.0", "Validate once an epoch: trainer.val_check_interval=1.0."
    if isinstance(every, int) and isinstance(epochs, int) and epochs >= _FEW * every:
        override = word(profile, "trainer.check_val_every_n_epoch", 2 * every)
        if override:
            return override, f"Validate half as often: {override}."
    return None, "Validate on fewer images, or on a part of them (trainer.limit_val_batches)."


def _cheaper(profile: Profile) -> tuple[str | None, str]:
    return None, (
        "A checkpoint is written at each epoch's end, and one more when the model is better than before: put "
        "the run folder on a faster disk (hydra.run.dir), or make epochs longer."
    )
