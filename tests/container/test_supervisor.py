"""The first process of an image of our own: signals, orphans, and a trial that cannot speak any more."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import psutil
import pytest

from sweepmaker.container.bundle import ARCHIVE
from tests.container.containers import CHECKOUT, Container, Ended, code_with, ended

SCRIPT = """
import os, signal, subprocess, sys, time
from pathlib import Path
from sweepmaker.run import interrupt

given = dict(line.lstrip("+").split("=", 1) for line in sys.argv[1:])
exec(given["do"])
"""
WAIT = """
try:
    print('ready')
    while True: signal.pause()
except interrupt.Interrupted:
    Path('saved').touch()
    raise
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    return code_with(tmp_path / "code", SCRIPT)


def job(tmp_path: Path, code: Path, do: str) -> Container:
    """A job that brings ``code`` in a channel, for an image that has the checkout's."""
    container = Container(tmp_path / "ml", {"+do": do})
    channel = container.base / "input" / "data" / "code"
    channel.mkdir()
    with tarfile.open(channel / ARCHIVE, "w:gz") as tar:
        for path in sorted(code.iterdir()):
            tar.add(path, path.name)
    return container


def to_its_end(container: Container, *arguments: str, **env: str) -> Ended:
    return ended(container.image(CHECKOUT, *arguments, **env))


def lines_of(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def gone(pid: int, within_s: float = 20) -> bool:
    """Whether the process ends, and does not stay as a zombie of somebody who never looks."""
    deadline = time.monotonic() + within_s
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not psutil.pid_exists(pid)


def test_the_job_s_code_runs_and_not_the_image_s(tmp_path: Path, code: Path) -> None:
    marked = code / "src" / "sweepmaker" / "__init__.py"
    marked.write_text(marked.read_text() + "\nprint('of the bundle')\n")
    container = job(tmp_path, code, "import sweepmaker; print(sys.argv[0]); print(sweepmaker.__file__)")
    done = to_its_end(container)
    assert done.code == 0, done.err
    first, script, package = done.out.splitlines()
    assert first == "of the bundle"
    assert package.startswith(str(Path(script).parent))
    assert not Path(script).parent.exists()  # nothing stays behind where no container ends with it


@pytest.mark.parametrize(
    ("submitted", "told"),
    [("s3://bucket/sourcedir.tar.gz", "is not on this machine"), ("/opt/ml/none.tar.gz", "is missing")],
)
def test_code_that_is_not_there_is_a_failure(tmp_path: Path, submitted: str, told: str) -> None:
    container = Container(tmp_path / "ml", {"sagemaker_submit_directory": submitted})
    done = to_its_end(container)
    assert done.code == 2
    assert container.failure is not None
    assert told in container.failure and "job.code=channel" in container.failure


def test_a_hostile_archive_is_a_failure(tmp_path: Path, code: Path) -> None:
    (code / "evil").symlink_to("/etc")
    container = job(tmp_path, code, "print('ran')")
    done = to_its_end(container)
    assert done.code == 1 and done.out == "" and "Traceback" not in done.err
    assert container.failure is not None and "'evil' is neither a file nor a folder" in container.failure


def test_other_code_is_refused(tmp_path: Path, code: Path) -> None:
    shutil.rmtree(code / "src")
    done = to_its_end(container := job(tmp_path, code, ""))
    assert done.code == 1
    assert container.failure is not None and "not the code of this project" in container.failure


def test_an_exit_code_is_handed_on_with_its_failure(tmp_path: Path, code: Path) -> None:
    container = job(tmp_path, code, "raise ValueError('boom')")
    assert to_its_end(container).code == 1
    assert container.failure is not None and container.failure.startswith("ValueError: boom")


def test_a_stop_reaches_the_trial(tmp_path: Path, code: Path) -> None:
    container = job(tmp_path, code, WAIT.replace("'saved'", repr(str(tmp_path / "saved"))))
    with container.image(CHECKOUT) as process:
        assert lines_of(process, 1) == ["ready"]
        process.terminate()
    assert process.returncode == 0
    assert (tmp_path / "saved").exists()
    assert container.failure is None


def test_a_stop_reaches_it_through_pid_1(tmp_path: Path, code: Path) -> None:
    """The kernel drops what PID 1 has no handler for; where no namespace can be made, as above."""
    container = job(tmp_path, code, "print('parent', os.getppid())\n" + WAIT)
    namespace = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        namespace = ["unshare"]
    process = subprocess.Popen(
        [*namespace, sys.executable, "-m", "sweepmaker.container", "train"], cwd=tmp_path,
        env=container.environment(PYTHONPATH=str(CHECKOUT / "src")), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        parent, ready = lines_of(process, 2)
        forks = len(namespace) > 1
        assert ready == "ready" and (parent == "parent 1" or not forks)
        os.kill(psutil.Process(process.pid).children()[0].pid if forks else process.pid, signal.SIGTERM)
    assert process.returncode == 0
    assert container.failure is None


def test_a_stop_before_the_trial_listens_is_none_of_its_failures(tmp_path: Path, code: Path) -> None:
    """Whenever it comes: while the code is unpacked, while Python starts."""
    container = job(tmp_path, code, "print('ready'); signal.pause()")
    for delay in (0.15, 0.2, 0.25, 0.3):
        process = container.image(CHECKOUT)
        psutil_process = psutil.Process(process.pid)
        while not handles_sigterm(psutil_process):
            time.sleep(0.002)
        time.sleep(delay - 0.15)
        process.terminate()
        done = ended(process)
        assert done.code == 0, (delay, done)
        assert container.failure is None


def handles_sigterm(process: psutil.Process) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))


@pytest.mark.parametrize(("name", "hint"), [("SIGKILL", "out of memory"), ("SIGSEGV", "SIGSEGV")])
def test_a_killed_trial_is_spoken_for(tmp_path: Path, code: Path, name: str, hint: str) -> None:
    container = job(tmp_path, code, f"os.kill(os.getpid(), signal.{name})")
    done = to_its_end(container)
    assert done.code == 128 + signal.Signals[name]
    assert container.failure is not None and hint in container.failure


def test_what_a_trial_leaves_behind_ends_with_it(tmp_path: Path, code: Path) -> None:
    do = "print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)"
    done = to_its_end(job(tmp_path, code, do))
    assert done.code == 0, done.err
    left = int(done.out)
    assert gone(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


# As PID 1 gets them: processes whose own parent has ended.
ADOPTING = (
    "import ctypes, runpy, sys; assert not ctypes.CDLL(None).prctl(36, 1); sys.argv[1:] = ['train'];"
    "runpy.run_module('sweepmaker.container', run_name='__main__', alter_sys=True)"
)


def test_orphans_are_collected(tmp_path: Path, code: Path) -> None:
    do = "print(subprocess.run(['sh', '-c', 'sleep 0.1 & echo $!'], stdout=subprocess.PIPE).stdout.decode());"
    do += "signal.pause()"
    container = job(tmp_path, code, do)
    process = subprocess.Popen(
        [sys.executable, "-c", ADOPTING], env=container.environment(PYTHONPATH=str(CHECKOUT / "src")),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        orphan = int(lines_of(process, 1)[0])
        collected = gone(orphan)
        process.terminate()
    assert collected
    assert process.returncode == 0


def test_without_a_bundle_the_image_runs_its_own_code(tmp_path: Path) -> None:
    container = Container(tmp_path / "ml", {"lrr": "1"})
    done = to_its_end(container)
    assert done.code == 2, done.err
    assert container.failure is not None and container.failure.startswith("ConfigError: lrr: ")


def test_other_words_are_answered_with_those_that_work(tmp_path: Path) -> None:
    done = to_its_end(Container(tmp_path / "ml", {}), "else")
    assert (done.code, done.err) == (2, "usage: python -m sweepmaker.container train | serve\n")


def test_nothing_of_aws_is_imported() -> None:
    program = (
        "import importlib, json, pkgutil, sys, sweepmaker.container as container\n"
        "for module in pkgutil.iter_modules(container.__path__, container.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    env = os.environ | {"PYTHONPATH": str(CHECKOUT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    seen = set(json.loads(done.stdout))
    assert "sweepmaker" in seen
    ours = {
        "sweepmaker",
        "__main__",
        "_virtualenv",
        "_distutils_hack",
        "sphinxcontrib",
        "google",
        "mpl_toolkits",
    }
    assert seen - set(sys.stdlib_module_names) - ours == set()
