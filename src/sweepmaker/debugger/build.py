"""From the ``debugger`` node to callbacks, and what the run asks them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from omegaconf import DictConfig, OmegaConf

from sweepmaker.config.choices import Choices
from sweepmaker.debugger import settings
from sweepmaker.debugger.callback import Debugger
from sweepmaker.run.folder import RunFolder

_OURS = "sweepmaker."


def callbacks(cfg: DictConfig, folder: RunFolder, resume: Path | None, *, fresh: bool) -> list[Callback]:
    """The callbacks that ``cfg.debugger`` asks for.

    Args:
        cfg: a checked config.
        folder: the run's.
        resume: the run's folder, where it can be continued.
        fresh: the network's weights were initialised, not loaded.

    Raises:
        ConfigError: a wrong setting.
    """
    if not cfg.train or "debugger" not in cfg:
        return []
    asked = settings.check(OmegaConf.to_container(cfg.debugger, resolve=True))  # type: ignore[arg-type]
    made: list[Callback] = []
    if asked.rules:
        own = [part for part in ("model", "data") if not str(cfg[part].get("_target_")).startswith(_OURS)]
        made.append(Debugger(asked, folder.path / "debugger", resume=resume, fresh=fresh, own=own))
    if asked.smdebug:
        from sweepmaker.debugger.smdebug import SmdebugHook  # an extra, and slow to import

        made.append(SmdebugHook(folder.path / "debugger", asked.every_n_steps or settings.EVERY_N_STEPS))
    return made


def choose_interval(made: Sequence[Callback], choices: Choices) -> None:
    """Sample less often where a step takes next to no time: on cached features."""
    features = choices.as_dict().get("features", {}).get("value") == "cached"
    for callback in made:
        if isinstance(callback, Debugger) and features and callback.automatic:
            callback.every_n_steps = settings.EVERY_N_STEPS_ON_FEATURES
            choices.add(
                "debugger.every_n_steps", callback.every_n_steps,
                "steps on cached features take a millisecond or two, a sample about as long",
            )  # fmt: skip


def stopped(made: Sequence[Callback]) -> dict[str, Any] | None:
    """Which rule ended the run and why, as run.json keeps it; said on stderr."""
    for callback in made:
        if isinstance(callback, Debugger) and callback.stopped is not None:
            why = callback.stopped
            if why["rule"] is not None:  # rank 0 says it
                print(f"stopped by rule {why['rule']}: {why['reason']}", file=sys.stderr, flush=True)
            return why
    return None
