"""One trial: ``train.py`` of a code folder, in this process, with what the job sent."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

from sweepmaker.config.errors import EXIT_FAILED, ConfigError, UserError
from sweepmaker.container import failure, outcome, overrides
from sweepmaker.container.folders import Folders
from sweepmaker.container.hosts import Hosts, is_first_here
from sweepmaker.run import interrupt

EXIT_SIGTERM = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Trial:
    """What a trial is started with.

    Args:
        script: ``train.py``.
        arguments: its overrides.
        run: its run folder.
        hosts: the machines it runs on.
    """

    script: Path
    arguments: tuple[str, ...]
    run: Path
    hosts: Hosts


def main(root: Path) -> int:
    """Run the trial of the code in ``root`` and leave its results; the exit code for the container.

    A trial that was asked to end (SIGTERM: a stop, a timeout, a spot interruption) and saved what
    there was is no failure there: 0.
    """
    os.environ["PYTHONUNBUFFERED"] = "1"
    _reconfigure(sys.stdout)
    tail = failure.Tail(sys.stderr)
    sys.stderr = cast(TextIO, tail)
    folders = Folders.of(os.environ)
    text: str | None = None
    trial: Trial | None = None
    before: bytes | None = None
    try:
        try:
            interrupt.install()
            if is_first_here():  # or it would be taken for this attempt's
                folders.failure.unlink(missing_ok=True)
            trial = prepare(root, folders)
            before = _content(trial.run / "run.json")
            code = _train(trial)
        finally:
            interrupt.finish()
    except interrupt.Interrupted as stop:
        interrupt.finish()
        code, text = stop.exit_code, f"Interrupted: {stop}"
    except Exception as error:
        code = _report(error)
        text = failure.of_error(error)
    if code == EXIT_SIGTERM:
        code = 0
    if code:
        text = text or _recorded(trial, before) or failure.of_output(tail.text, code)
    if trial is not None and trial.hosts.is_main_process():
        try:
            outcome.keep(trial.run, folders)
        except OSError as error:
            reported = _report(error)
            if not code:
                code, text = reported, failure.of_error(error)
    if code and text and is_first_here():
        _tell(folders.failure, text)
    sys.stdout.flush()
    return code


def prepare(root: Path, folders: Folders) -> Trial:
    """Read what the job sent; nothing is started yet.

    Raises:
        ConfigError: a file of the platform, a hyperparameter or a channel is not what it has to be.
    """
    from sweepmaker.config import app, argv  # needs PyYAML

    script = root / "train.py"
    if not script.is_file():
        raise ConfigError(f"{script} is missing: not the code of this project")
    static = overrides.load_static(root / overrides.STATIC_FILE)
    lines = overrides.replay(overrides.read_object(folders.hyperparameters), static.overrides, static.swept)
    for channel, target in static.channels.items():
        key, _, file = target.partition("=")
        path = folders.channel(channel) / file
        if not path.exists():
            raise ConfigError(f"{path} is missing in the input channel {channel!r}", key=key)
        lines.append(f"{key}={argv.quote(str(path))}")
    hosts = Hosts.read(folders.resources)
    run = folders.run(os.environ)
    lines += [*hosts.overrides(), app.RUN_MODE, f"hydra.run.dir={argv.quote(str(run))}"]
    return Trial(script, tuple(lines), run, hosts)


def _train(trial: Trial) -> int:
    """Run the script as ``python train.py ...`` would; the exit code."""
    os.environ.update(trial.hosts.variables(os.environ))
    os.chdir(trial.script.parent)
    # Lightning starts its other processes from this
    sys.argv = [str(trial.script), *trial.arguments]
    try:
        runpy.run_path(str(trial.script), run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return EXIT_FAILED
    return 0


def _recorded(trial: Trial | None, before: bytes | None) -> str | None:
    """What this attempt wrote into ``run.json`` about its failure, not what an earlier one did."""
    if trial is None or _content(trial.run / "run.json") == before:
        return None
    try:
        return failure.of_record(overrides.read_object(trial.run / "run.json"))
    except ConfigError:  # the program that writes it is the one that failed
        return None


def _tell(path: Path, text: str) -> None:
    try:
        failure.write(path, text)
    except OSError as error:
        print(f"could not write {path}: {error}", file=sys.stderr)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _report(error: Exception) -> int:
    if isinstance(error, UserError):
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    traceback.print_exception(error)
    return EXIT_FAILED


def _reconfigure(stream: TextIO) -> None:
    """Metric lines leave at once, through a pipe too: Hyperband and early stopping wait for them."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)
