"""What every verb's ``__main__`` calls: signals, exit codes, and errors as one message each."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sweepmaker.config import argv, hydra_errors
from sweepmaker.config.errors import EXIT_FAILED, ConfigError, UserError
from sweepmaker.run import disk, interrupt

RUN_MODE = "hydra.mode=RUN"
"""The word that says: one run, whatever the config says."""

_SOURCE = Path(__file__).resolve().parents[2]


class RunFailed(Exception):
    """One run of several failed and was reported when it did; Hydra goes on with the others.

    Args:
        sweep_folder: where the runs of this sweep are.
        exit_code: of the run.
    """

    def __init__(self, sweep_folder: str, exit_code: int) -> None:
        super().__init__(sweep_folder, exit_code)
        self.sweep_folder = sweep_folder
        self.exit_code = exit_code


def start(
    main: Callable[[], Any], prepare: Callable[[list[str]], list[str]] | None = argv.prepare
) -> NoReturn:
    """Run a Hydra app to its end and leave the process with the contract's exit code.

    Args:
        main: decorated with ``hydra.main``.
        prepare: changes the command line before Hydra reads it; None leaves it.
    """
    interrupt.install()
    # Hydra prints errors its own way and ends with 1; with this it hands them to us
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # processes that a launcher or DDP starts shall run this checkout's code, as this one does
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_SOURCE), os.environ.get("PYTHONPATH"))))
    code = 0
    try:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # else started by Lightning with the prepared ones
            sys.argv = prepare(sys.argv) if prepare else sys.argv
        _mode_is_given(sys.argv)
        main()
    except UserError as error:
        report(error)
        code = error.exit_code
    except interrupt.Interrupted as stop:
        interrupt.finish()
        code = stop.exit_code
    except RunFailed as failed:
        code = _sweep_summary(failed)
    except BrokenPipeError:
        code = unheard()
    except Exception as error:
        known = disk.full(error) or hydra_errors.explain(error, sys.argv)
        if known is None:
            traceback.print_exc()
            code = EXIT_FAILED
        else:
            report(known)
            code = known.exit_code
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = unheard()
    sys.exit(code)


@contextlib.contextmanager
def in_our_words() -> Iterator[None]:
    """Within a Hydra app: what a user can mend ends the process here; Hydra would add a line of its own."""
    try:
        yield
    except UserError as error:
        report(error)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        raise SystemExit(unheard()) from None


def refuse_multirun(why: str, fix: str = "leave -m out") -> None:
    """Before Hydra makes a folder for it.

    Raises:
        ConfigError: the command line asks for one.
    """
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        raise ConfigError(f"{Path(sys.argv[0]).name} {why}, so it takes no -m", fix=fix)


def unheard() -> int:
    """Whoever read the output (``head``) has enough: nothing is wrong, and nobody is there to be told."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still to be flushed
    return 128 + signal.SIGPIPE  # as every program in a pipe


def _mode_is_given(words: Sequence[str]) -> None:
    """Where the command line says it, spare Hydra a whole composition that only reads ``hydra.mode``.

    It is a sixth of a launch and a fourth of a trial's start. ``-m`` wins over whatever ``hydra.mode``
    says, and None has Hydra set it (``_run_app``).
    """
    if {"-m", "--multirun", RUN_MODE} & set(words):
        from hydra._internal.hydra import Hydra

        Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]


def report(error: UserError) -> None:
    """Say on stderr what a user can mend."""
    print(f"error: {error}", file=sys.stderr, flush=True)


def _sweep_summary(failed: RunFailed) -> int:
    from sweepmaker.run.sweep import failed_runs

    lost, total = failed_runs(failed.sweep_folder)
    if not lost:  # refused before they began, each with its message
        return failed.exit_code
    print(f"error: {len(lost)} of {total} runs failed:", file=sys.stderr)
    for folder, overrides, message in lost:
        print(f"  {folder}  {overrides}  {message}", file=sys.stderr)
    return EXIT_FAILED
