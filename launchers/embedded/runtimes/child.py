"""The trial's own process, from its fork to the first line of the job's code."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from launchers.embedded.runtimes import command, failure, linux, namespace, script, unpack
from launchers.embedded.runtimes.order import Order

_SOFT = 1  # exit code of what a job did wrong, as AWS's toolkit ends


def run(order: Order, log: int, guard: int) -> NoReturn:
    """Become the trial; ends as the script ends.

    Args:
        order: what is to run.
        log: file descriptor that takes its output.
        guard: the process that forked this one.
    """
    _detach(order, log, guard)
    try:
        found = _prepare(order)
    except (unpack.CodeError, OSError, ValueError) as error:
        text = str(error) if isinstance(error, unpack.CodeError) else f"{type(error).__name__}: {error}"
        os.write(2, f"error: {text}\n".encode(errors="replace"))
        with contextlib.suppress(OSError):
            failure.write(order.failure, text)
        os._exit(_SOFT)
    if found.script is None:
        _execute(found)
    _freshen(order, found)
    script.run(found.script)


def _detach(order: Order, log: int, guard: int) -> None:
    """Nothing is shared any more with the process that this one was forked from."""
    linux.die_with_parent()
    if os.getppid() != guard:
        os._exit(_SOFT)  # it was killed before the line above
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):  # some belong to the C library
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    os.closerange(3, _highest_descriptor() + 1)
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    linux.first_to_die()
    if order.cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # they were taken from this machine meanwhile
            os.sched_setaffinity(0, order.cores)


def _highest_descriptor() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return max(int(name) for name in os.listdir(folder))  # noqa: PTH208
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _prepare(order: Order) -> command.Command:
    """The code unpacked, ``/opt/ml`` and the environment in place."""
    ml = Path(order.ml)
    if command.runs_script(order):
        kept = Path(order.root, "code")
        unpack.place(ml, Path(order.code) if order.code else None, order.hyperparameters, kept)
        if order.way == "toolkit":
            for name in unpack.keep_from_pip(ml):
                note(f"{name} is not installed: it would change the environment of every later trial")
    found = command.of(order)
    if (names := command.reads_at_start(order.environment)) and order.way == "fork":
        note(f"started afresh instead of forked: {', '.join(sorted(names))} count only at a start")
    variables = command.environment(order)
    if order.private:
        namespace.enter(ml)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(found.folder)
    return found


def note(text: str, log: int = 2) -> None:
    """A line of the embedded server's own in the trial's log."""
    os.write(log, f"embedded SageMaker: {text}\n".encode(errors="replace"))


def _execute(found: command.Command) -> NoReturn:
    try:
        os.execvp(found.arguments[0], found.arguments)
    except OSError as error:
        # as a container engine answers for a command that cannot be run
        os.write(2, f"{found.arguments[0]}: {error.strerror}\n".encode(errors="replace"))
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _freshen(order: Order, found: command.Command) -> None:
    """What an interpreter that has just started would look like."""
    assert found.script is not None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True)
    if order.code is not None:
        sys.pycache_prefix = str(Path(order.root, "pycache", unpack.mark(Path(order.code))))
        sys.dont_write_bytecode = False
    sys.argv = list(found.arguments[2:])
    sys.orig_argv = list(found.arguments)
    sys.path[:] = [str(Path(found.script).parent), *command.search_path(order)]
    for name in [one for one in sys.modules if one.partition(".")[0] == "launchers"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    _own_chance()
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(order.threads)


def _own_chance() -> None:
    """No two trials draw the same numbers, unless they seed."""
    import random
    import tempfile
    from multiprocessing import process

    random.seed()
    tempfile.tempdir = None
    own: Any = process.current_process()
    own.authkey = os.urandom(32)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.seed()
