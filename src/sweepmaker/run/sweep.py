"""The runs of one Hydra sweep, from its folder: how many there are to be, which of them failed."""

from __future__ import annotations

import math
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from omegaconf import DictConfig, OmegaConf

from sweepmaker.run import disk, reader


def failed_runs(folder: str | Path) -> tuple[list[tuple[Path, str, str]], int]:
    """Runs of the sweep in ``folder`` that failed, as (folder, overrides, message), and the number of all.

    One whose run.json is broken counts among them: nobody can tell that it did not fail.
    """
    failed, total = [], 0
    for path in sorted(Path(folder).glob("*/run.json"), key=lambda path: path.parent.name.zfill(9)):
        total += 1
        try:
            record = reader.read(path.parent)
        except (ValueError, OSError) as error:
            failed.append((path.parent, "", f"its run.json is broken: {disk.reason(error)}"))
            continue
        if record is not None and record["state"] == "failed":
            message = str((record.get("failure") or {}).get("message", "")).partition("\n")[0]
            failed.append((path.parent, " ".join(map(str, record.get("overrides", []))), message))
    return failed, total


def runs_at_once(folder: str | Path) -> int | None:
    """How many runs the sweep in ``folder`` hands to its launcher together; None: that is not known.

    From the command line that Hydra keeps in ``multirun.yaml``; other sweepers than Hydra's own decide
    as they go.
    """
    file = Path(folder) / "multirun.yaml"
    if not file.is_file():
        return None
    hydra = OmegaConf.select(OmegaConf.load(file), "hydra")
    if not isinstance(hydra, DictConfig) or "BasicSweeper" not in str(hydra.sweeper.get("_target_")):
        return None
    lines = [f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()]
    counts: dict[str, int] = {}
    for override in OverridesParser.create().parse_overrides([*lines, *hydra.overrides.task]):
        if override.value_type is ValueType.GLOB_CHOICE_SWEEP:
            return None  # as many as there are options with such names
        swept = override.is_discrete_sweep()
        counts[override.get_key_element()] = len(list(override.sweep_iterator())) if swept else 1
    runs = math.prod(counts.values())
    return min(runs, hydra.sweeper.get("max_batch_size") or runs)
