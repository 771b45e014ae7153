"""One run from start to end: its folder, its record, its outcome as state and exit code.

Nothing heavy is imported before the config is checked.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from sweepmaker.config import app, argv
from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import EXIT_FAILED, UserError
from sweepmaker.run import environment, interrupt, preflight, reader, threads
from sweepmaker.run.folder import RunFolder
from sweepmaker.run.record import RunRecord, failure_of

log = logging.getLogger(__name__)

_CHECKOUT = Path(__file__).resolve().parents[3]


def run(cfg: DictConfig) -> float | None:
    """Train and test as ``cfg`` says; the best objective, or None where nothing was trained.

    Raises:
        RunFailed: the run failed and is one of several; the others go on.
        SystemExit: the run failed and is the only one, or ``fail_fast=true``.
    """
    interrupt.install()
    folder = RunFolder(HydraConfig.get().runtime.output_dir)
    try:
        preflight.check(cfg, folder)
        if not is_main_process():
            return _train(cfg, folder, None, Choices(quiet=True), None)
        folder.claim()
        folder.sweep()
        if (ended := _already_completed(cfg, folder)) is not None:
            return ended
    except UserError as error:
        app.report(error)
        if not folder.in_use and HydraConfig.get().output_subdir and not folder.record.exists():
            folder.discard(f"{HydraConfig.get().job.name}.log")
        _leave(cfg, error.exit_code)
    choices = Choices()
    earlier = reader.read(folder.path)
    record = RunRecord(folder.record, _known(cfg, earlier))
    try:
        objective = _train(cfg, folder, record, choices, earlier)
    except interrupt.Interrupted as stop:
        _interrupted(record, folder, choices, stop)
        raise
    except BaseException as error:
        if (signum := interrupt.requested()) is not None:
            # what broke, broke because the process was asked to end (a data worker got the signal, say)
            log.warning("ended with %s: %s", type(error).__name__, error)
            asked = interrupt.Interrupted(signum)
            _interrupted(record, folder, choices, asked)
            raise asked from error
        record.update(choices=choices.as_dict())
        record.end("failed", failure_of(error))
        if not isinstance(error, Exception):
            raise
        code = _report(error)
    else:
        folder.release()
        return objective
    folder.release()
    _leave(cfg, code)


def is_main_process() -> bool:
    """Whether this is the process that writes the run folder: rank 0, not a DDP child of it."""
    ranks = (os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))
    return all(rank == "0" for rank in ranks)


def _train(
    cfg: DictConfig,
    folder: RunFolder,
    record: RunRecord | None,
    choices: Choices,
    earlier: dict[str, Any] | None,
) -> float | None:
    threads.choose(cfg, choices, earlier)
    from sweepmaker.run.training import train  # torch, Lightning: seconds

    return train(cfg, folder, record, choices)


def _known(cfg: DictConfig, earlier: dict[str, Any] | None) -> dict[str, object]:
    git = environment.git(_CHECKOUT)
    known: dict[str, object] = {
        "overrides": [line for line in HydraConfig.get().overrides.task if not line.startswith("resume=")],
        "seed": cfg.seed,
        "objective": {"name": cfg.objective.name, "mode": cfg.objective.mode, "value": None},
        "git": git,
        "versions": environment.versions(),
        "hardware": environment.hardware(),
    }
    if earlier is not None:
        known["timing"] = earlier["timing"]
        if (earlier.get("git") or {}).get("commit") != (git or {}).get("commit"):
            log.warning("the code is at another commit than when this run began: results may differ")
    return known


def _already_completed(cfg: DictConfig, folder: RunFolder) -> float | None:
    record = reader.read(folder.path)
    if record is None or not cfg.train or record["state"] not in ("completed", "stopped"):
        return None
    value = (record.get("objective") or {}).get("value")
    print(
        f"{folder.path} is {record['state']} already; nothing to do "
        f"(ckpt_path={folder.path} trains on from it)",
        file=sys.stderr,
    )
    return None if value is None else float(value)


def _interrupted(record: RunRecord, folder: RunFolder, choices: Choices, stop: interrupt.Interrupted) -> None:
    interrupt.finish()
    record.update(choices=choices.as_dict())
    record.end("interrupted", {"type": "Interrupted", "message": str(stop), "frames": []})
    folder.release()
    again = shlex.quote(f"resume={argv.quote(str(folder.path))}")
    print(
        f"interrupted by {stop}; continue with: python train.py {again}",
        file=sys.stderr,
    )


def _report(error: Exception) -> int:
    if isinstance(error, UserError):
        app.report(error)
        return error.exit_code
    traceback.print_exception(error)
    return EXIT_FAILED


def _leave(cfg: DictConfig, code: int) -> NoReturn:
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN and cfg.get("fail_fast") is not True:
        raise app.RunFailed(str(Path(hydra.runtime.output_dir).parent), code) from None
    sys.stdout.flush()
    raise SystemExit(code)
