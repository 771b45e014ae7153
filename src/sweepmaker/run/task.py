"""One run from start to end: its folder, its record, its outcome as state and exit code.

Nothing heavy is imported before the config is checked.
"""

from __future__ import annotations

import logging
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
from sweepmaker.profiler import early
from sweepmaker.run import disk, environment, interrupt, preflight, reader, threads
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
        if not environment.is_main_process():
            return _train(cfg, folder, None, Choices(quiet=True), None)
        begun = _begin(cfg, folder)
    except UserError as error:
        app.report(error)
        if not folder.in_use and HydraConfig.get().output_subdir and not folder.record.exists():
            folder.discard(f"{HydraConfig.get().job.name}.log")
        folder.release()
        _leave(cfg, error.exit_code)
    if not isinstance(begun, tuple):
        folder.release()
        interrupt.raise_if_requested()
        return begun
    record, earlier = begun
    choices = Choices()
    try:
        interrupt.raise_if_requested()  # while the folder was claimed
        record.update(**_surroundings(earlier))
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
        _end(record, choices, "failed", failure_of(error))
        if not isinstance(error, Exception):
            raise
        code = _report(error)
    else:
        folder.release()
        return objective
    folder.release()
    _leave(cfg, code)


def _train(
    cfg: DictConfig,
    folder: RunFolder,
    record: RunRecord | None,
    choices: Choices,
    earlier: dict[str, Any] | None,
) -> float | None:
    threads.choose(cfg, choices, earlier)
    watched = early.begin(cfg, record.began) if record is not None else None
    from sweepmaker.run.training import train  # torch, Lightning: seconds

    return train(cfg, folder, record, choices, watched)


def _begin(cfg: DictConfig, folder: RunFolder) -> tuple[RunRecord, dict[str, Any] | None] | float | None:
    """Claim the folder; its new record and the earlier one, or the objective of a run that is over."""
    # a folder that is claimed has a run.json, whatever comes: nothing slow stands in between
    with interrupt.noted():
        folder.claim()
        folder.sweep()
        earlier = reader.read_to_continue(folder.path)
        if earlier is not None and cfg.train and earlier["state"] in ("completed", "stopped"):
            return _of_completed(folder, earlier)
        return RunRecord(folder.record, _known(cfg, earlier), folder.path if cfg.train else None), earlier


def _known(cfg: DictConfig, earlier: dict[str, Any] | None) -> dict[str, object]:
    """What run.json holds from the first moment on."""
    known: dict[str, object] = {
        "overrides": [line for line in HydraConfig.get().overrides.task if not line.startswith("resume=")],
        "seed": cfg.seed,
        "objective": {"name": cfg.objective.name, "mode": cfg.objective.mode, "value": None},
    }
    if earlier is not None:
        # what it found out holds until this process knows better, which it may not live to
        names = ("timing", "weights", "choices", "data", "git", "versions", "hardware")
        known |= {name: earlier[name] for name in names if earlier.get(name)}
        if "timing" in known:  # it goes on, so the end that the earlier process wrote is none
            known["timing"] = {**earlier["timing"], "end": None}
    return known


def _surroundings(earlier: dict[str, Any] | None) -> dict[str, object]:
    """What takes other programs and files to find out."""
    git = environment.git(_CHECKOUT)
    # without versions it ended before it got this far, so there is no commit to compare with
    known = earlier if earlier is not None and earlier.get("versions") else {"git": git}
    if (known.get("git") or {}).get("commit") != (git or {}).get("commit"):
        log.warning("the code is at another commit than when this run began: results may differ")
    return {"git": git, "versions": environment.versions(), "hardware": environment.hardware()}


def _of_completed(folder: RunFolder, record: dict[str, Any]) -> float | None:
    value = (record.get("objective") or {}).get("value")
    print(
        f"{folder.path} is {record['state']} already; nothing to do "
        f"({argv.word('ckpt_path', folder.path)} trains on from it)",
        file=sys.stderr,
    )
    return None if value is None else float(value)


def _interrupted(record: RunRecord, folder: RunFolder, choices: Choices, stop: interrupt.Interrupted) -> None:
    interrupt.finish()
    _end(record, choices, "interrupted", {"type": "Interrupted", "message": str(stop), "frames": []})
    folder.release()
    print(f"interrupted by {stop}; continue with: {argv.resume_line(folder.path)}", file=sys.stderr)


def _end(record: RunRecord, choices: Choices, state: str, failure: dict[str, Any]) -> None:
    """End in a way that has a cause of its own, which is what the user has to hear of."""
    try:
        record.end(state, failure, choices=record.fields["choices"] | choices.as_dict())
    except UserError as error:
        if not failure["message"].startswith(error.message):  # else it is told already
            log.warning("%s", error.message)


def _report(error: Exception) -> int:
    if isinstance(error, UserError):
        app.report(error)
        return error.exit_code
    if (known := disk.full(error)) is not None:
        return _report(known)
    traceback.print_exception(error)
    return EXIT_FAILED


def _leave(cfg: DictConfig, code: int) -> NoReturn:
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN and cfg.get("fail_fast") is not True:
        raise app.RunFailed(str(Path(hydra.runtime.output_dir).parent), code) from None
    sys.stdout.flush()
    raise SystemExit(code)
