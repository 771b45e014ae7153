"""The first process of an image of our own: ``python -m sweepmaker.container train``, or ``serve``.

It starts the trial as its child and does what is left to PID 1: hands signals on (the kernel drops
those that PID 1 has no handler for, and AWS's own toolkit keeps them to itself), collects orphans,
and tells of a trial that was killed and could not say so itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from sweepmaker.config.errors import EXIT_CONFIG, EXIT_FAILED, UserError
from sweepmaker.container import bundle, failure
from sweepmaker.container.folders import Folders
from sweepmaker.container.overrides import STATIC_FILE, dump_static, read_object

_OWN_CODE = Path(__file__).resolve().parents[3]
_ENTRY = Path("src", "sweepmaker", "container", "entry.py")
_USAGE = "usage: python -m sweepmaker.container train | serve"


def main(arguments: list[str]) -> int:
    """Answer what a SageMaker image is started with; the exit code."""
    if arguments == ["serve"]:
        from sweepmaker.container.serving import serve  # a trial has no need of it

        return serve(Folders.of(os.environ), os.environ)
    if arguments != ["train"]:
        print(_USAGE, file=sys.stderr)
        return EXIT_CONFIG
    return Supervisor(Folders.of(os.environ)).run()


class Supervisor:
    """Starts a trial, hands signals on to it, and waits for it."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._signals: list[int] = []  # that came in
        self._handed_on = False
        self._child: int | None = None  # process id

    def run(self) -> int:
        """The whole life of the container; its exit code."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._handle)
        scratch = Path(tempfile.mkdtemp(prefix="sweepmaker-code-"))
        try:
            root = self._code(scratch)
            return self._run_trial(root)
        except (UserError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            self._tell(failure.of_error(error))
            return error.exit_code if isinstance(error, UserError) else EXIT_FAILED
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _code(self, scratch: Path) -> Path:
        """The folder of the code to run: the job's own, or the image's where the job brings none."""
        self._folders.failure.unlink(missing_ok=True)
        found = bundle.find(read_object(self._folders.hyperparameters), self._folders)
        if found is None:
            root = self._own_code(scratch)
        elif found.is_dir():
            root = found
        else:
            root = scratch
            bundle.unpack(found, scratch)
        if not (root / _ENTRY).is_file():
            raise UserError(f"{found or _OWN_CODE} has no {_ENTRY}: not the code of this project")
        return root

    def _own_code(self, scratch: Path) -> Path:
        """A copy of what lies in the image, for a trial that has nothing in common with others."""
        if not (_OWN_CODE / "train.py").is_file():
            raise UserError(
                "the job brings no code and the image has none", fix="send it in the input channel 'code'"
            )
        shutil.copy(_OWN_CODE / "train.py", scratch)
        for name in ("conf", "src"):
            shutil.copytree(_OWN_CODE / name, scratch / name, ignore=shutil.ignore_patterns("__pycache__"))
        (scratch / STATIC_FILE).write_bytes(dump_static([]))
        return scratch

    def _run_trial(self, root: Path) -> int:
        if self._signals:
            return self._stopped()
        # a session of its own: Ctrl-C at a terminal reaches it once, through here
        child = subprocess.Popen([sys.executable, str(root / _ENTRY)], start_new_session=True)
        self._child = child.pid
        if self._signals and not self._handed_on:
            self._hand_on(child.pid, self._signals[-1])
        self._wait_for(child.pid)
        self._child = None
        code = child.wait()
        if code >= 0:
            return code
        if -code in self._signals:
            return self._stopped()  # before it could listen
        why = f"the trial was ended by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            why += ": most likely out of memory (a smaller batch_size, fewer data.num_workers,"
            why += " or a larger job.instance_type)"
        self._tell(f"Killed: {why}")
        return 128 - code

    def _wait_for(self, child: int) -> None:
        """Until ``child`` has ended; whoever else has ended as a child of this process is collected."""
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            assert ended is not None
            if ended.si_pid == child:
                # what it left behind; the number is its own until it is collected
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child, signal.SIGKILL)
                return
            os.waitpid(ended.si_pid, 0)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self._signals.append(signum)
        if self._child is not None:
            self._hand_on(self._child, signum)

    def _hand_on(self, child: int, signum: int) -> None:
        self._handed_on = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signum)

    def _stopped(self) -> int:
        """The exit code after a signal that came before there was anything to save."""
        signum = self._signals[-1]
        if signum == signal.SIGTERM:
            return 0
        self._tell(f"Interrupted: {signal.Signals(signum).name}")
        return 128 + signum

    def _tell(self, text: str) -> None:
        print(text, file=sys.stderr)
        with contextlib.suppress(OSError):
            failure.write(self._folders.failure, text)
