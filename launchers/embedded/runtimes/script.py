"""A Python script, run by a process that was warm before: from its first line to the process's end."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import ctypes
import gc
import importlib.machinery
import io
import os
import signal
import sys
import threading
import types
from typing import Any, NoReturn

_FAILED = 1
_NOT_FOUND = 2  # as `python missing.py` ends


def run(path: str) -> NoReturn:
    """As ``python path`` would."""
    main = types.ModuleType("__main__")
    vars(main).update(
        __file__=path,
        __builtins__=builtins,
        __loader__=importlib.machinery.SourceFileLoader("__main__", path),
        __cached__=None,
        __annotations__={},
    )
    sys.modules["__main__"] = main
    code = _execute(path, main)
    _end(code, main)


def _execute(path: str, main: types.ModuleType) -> int:
    """The exit code; negative: to end by that signal."""
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        print(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        return _NOT_FOUND
    try:
        exec(compile(source, path, "exec", dont_inherit=True), vars(main))
    except SystemExit as end:
        return _asked_for(end.code)
    except BaseException as error:
        trace = error.__traceback__ and error.__traceback__.tb_next  # without this very frame
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else _FAILED
    return 0


def _asked_for(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return _FAILED


def _end(code: int, main: types.ModuleType) -> NoReturn:
    """What an interpreter does at its end, but for taking apart every library: that costs 0.3 s."""
    private: Any = threading
    private._shutdown()  # joins threads, and ends the pools of concurrent.futures
    atexit._run_exitfuncs()
    for names in (_private(main), list(vars(main))):
        for name in names:
            if name != "__builtins__":
                vars(main)[name] = None
    gc.collect()
    # what the script left open is written, as it would be when the interpreter takes it apart
    for one in gc.get_objects():
        if isinstance(one, io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
            with contextlib.suppress(Exception):
                one.flush()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    ctypes.CDLL(None).fflush(None)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _private(main: types.ModuleType) -> list[str]:
    return [name for name in vars(main) if name.startswith("_") and not name.startswith("__")]
