"""Trials that fail, are killed, or lose who watches over them: nobody else is hurt, nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from launchers.embedded.runtimes import linux
from launchers.embedded.runtimes.fork import Fork
from launchers.embedded.runtimes.spec import LostError
from launchers.embedded.runtimes.starter import Starter
from launchers.embedded.runtimes.strays import kill_strays
from tests.embedded.trials import CHECKOUT, DEADLINE_S, Trial, at_work, eventually, is_gone

pytestmark = [
    pytest.mark.skipif(not linux.HERE, reason="forking is for Linux"),
    pytest.mark.xdist_group("fork"),  # one warm process for all of them
]

SLEEP = "import time\nprint('started', flush=True)\ntime.sleep(600)\n"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("import sys\nsys.exit(3)", "ExitCode 3"),
        ("import os\nos._exit(7)", "ExitCode 7"),
        ("raise ValueError('too odd')", "ValueError: too odd"),
        ("import sys\nsys.exit('words')", "ExitCode 1"),
        ("import ctypes\nctypes.string_at(0)", "ExitCode -11"),
        ("import os\nos.kill(os.getpid(), 9)", "ExitCode -9"),
        ("import os\nos.killpg(0, 9)", "ExitCode -9"),
        ("this is no Python", "SyntaxError"),
        ("raise KeyboardInterrupt", "ExitCode -2"),
        (
            "import resource, psutil\nmost = psutil.Process().memory_info().vms + (1 << 27)\n"
            "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
            "parts = []\nwhile True: parts.append(bytearray(1 << 24))",
            "MemoryError",
        ),
    ],
)
def test_a_failing_script_fails_alone(runtime: Fork, tmp_path: Path, script: str, told: str) -> None:
    assert Trial(tmp_path / "before", "print(1)").run(runtime) == 0
    zygote = runtime.zygote
    trial = Trial(tmp_path / "job", script, {"lr": "1"})
    assert trial.run(runtime) == 1  # as AWS's toolkit ends
    assert trial.failure is not None
    assert trial.failure.startswith("ExecuteUserScriptError:\n")
    assert told in trial.failure
    assert "train.py --lr 1" in trial.failure
    assert runtime.zygote == zygote
    assert Trial(tmp_path / "after", "print(1)").run(runtime) == 0


def test_a_failure_that_the_script_wrote_stays(runtime: Fork, tmp_path: Path) -> None:
    script = "open('/opt/ml/output/failure', 'w').write('mine')\nraise SystemExit(1)\n"
    if not runtime.private:
        script = script.replace("/opt/ml", str(tmp_path / "job" / "ml"))
    trial = Trial(tmp_path / "job", script)
    assert trial.run(runtime) == 1
    assert trial.failure == "mine"


def test_sigterm_reaches_the_script(runtime: Fork, tmp_path: Path) -> None:
    script = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "print('started', flush=True)\ntime.sleep(600)\n"
    )
    trial = Trial(tmp_path / "job", script)
    handle = at_work(trial, runtime)
    assert handle.wait(0) is None
    handle.terminate()
    assert handle.wait(DEADLINE_S) == 0


def test_sigterm_ends_a_script_that_does_not_listen(runtime: Fork, tmp_path: Path) -> None:
    trial = Trial(tmp_path / "job", SLEEP)
    handle = at_work(trial, runtime)
    handle.terminate()
    assert handle.wait(DEADLINE_S) == -signal.SIGTERM
    assert trial.failure is None


DAEMON = """
import os, subprocess, sys, time
first, second = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(second, str(os.getpid()).encode())
        time.sleep(600)
    os._exit(0)
executed = subprocess.Popen(["sleep", "600"], start_new_session=True, env={})
print(os.read(first, 99).decode(), executed.pid)
print("started", flush=True)
"""


def test_gpus_are_named_as_the_server_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers mean something else in CUDA's own order than in nvidia-smi's."""
    script = "import os; print(os.environ['CUDA_DEVICE_ORDER'], os.environ['CUDA_VISIBLE_DEVICES'])"
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    for visible, expected in ((None, "PCI_BUS_ID"), ("1,0", "FASTEST_FIRST")):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        runtime = Starter(tmp_path, Path(sys.executable))
        trial = Trial(
            tmp_path / expected, script, environment={"CUDA_DEVICE_ORDER": "mine"}, gpus=("1", "GPU-a")
        )
        assert trial.run(runtime) == 0
        assert trial.text == f"{expected} 1,GPU-a\n"
        runtime.close()


@pytest.mark.parametrize("end", ["itself", "kill", "guard"])
@pytest.mark.parametrize("name", ["fork", "process"])
def test_nothing_that_a_trial_started_outlives_it(runtime: Fork, tmp_path: Path, name: str, end: str) -> None:
    if name == "fork":
        _nothing_outlives_it(runtime, tmp_path, end)
        return
    cold = Starter(tmp_path, Path(sys.executable))
    try:
        _nothing_outlives_it(cold, tmp_path, end)
    finally:
        cold.close()


def _nothing_outlives_it(runtime: Starter, tmp_path: Path, end: str) -> None:
    trial = Trial(tmp_path / "job", DAEMON + ("" if end == "itself" else "time.sleep(600)\n"))
    handle = at_work(trial, runtime)
    others = [int(word) for word in trial.text.split()[:2]]
    if end == "itself":
        assert handle.wait(DEADLINE_S) == 0
    elif end == "kill":
        handle.kill()
        assert handle.wait(0) == -signal.SIGKILL
    else:
        assert handle.guard is not None
        os.kill(handle.guard, signal.SIGKILL)
        with pytest.raises(LostError):
            handle.wait(DEADLINE_S)
        handle.kill()
        eventually(lambda: all(is_gone(pid) for pid in others), "orphans are killed")
    assert handle.pid is not None
    assert [pid for pid in (handle.pid, *others) if not is_gone(pid)] == []
    assert not (trial.folder / "layer").exists()


def test_kill_returns_the_same_again_and_again(runtime: Fork, tmp_path: Path) -> None:
    handle = at_work(Trial(tmp_path / "job", SLEEP), runtime)
    for _ in range(2):
        handle.kill()
        assert handle.wait(1) == -signal.SIGKILL
    handle.terminate()


def test_a_stopped_guard_is_killed_with_its_trial(
    runtime: Fork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchers.embedded.runtimes.handle._KILL_S", 0.3)
    handle = at_work(Trial(tmp_path / "job", SLEEP), runtime)
    assert handle.guard is not None
    assert handle.pid is not None
    os.kill(handle.guard, signal.SIGSTOP)
    handle.kill()
    assert is_gone(handle.pid)
    with pytest.raises(LostError):
        handle.wait(0)


def test_a_trial_goes_on_without_the_zygote_and_the_next_one_gets_another(
    runtime: Fork, tmp_path: Path
) -> None:
    script = (
        "import os, time\nprint('started', flush=True)\n"
        "while not os.path.exists('../go'): time.sleep(0.01)\nprint('done')\nraise SystemExit(4)\n"
    )
    trial = Trial(tmp_path / "job", script)
    handle = at_work(trial, runtime)
    zygote = runtime.zygote
    assert zygote is not None
    os.kill(zygote, signal.SIGKILL)
    eventually(lambda: is_gone(zygote) or psutil.Process(zygote).status() == "zombie", "it dies")
    assert Trial(tmp_path / "next", "print(1)").run(runtime) == 0
    assert runtime.zygote != zygote
    assert handle.wait(0) is None
    (trial.ml / "go").touch()
    assert handle.wait(DEADLINE_S) == 1
    assert trial.text == "started\ndone\n"
    assert "ExitCode 4" in (trial.failure or "")


def test_a_trial_is_started_though_the_guard_that_waits_was_killed(runtime: Fork, tmp_path: Path) -> None:
    assert Trial(tmp_path / "before", "print(1)").run(runtime) == 0
    assert runtime.zygote is not None
    zygote = psutil.Process(runtime.zygote)
    eventually(lambda: len(zygote.children(recursive=True)) == 2, "a guard and its trial's process wait")
    waiting = zygote.children(recursive=True)
    waiting[0].kill()
    eventually(lambda: all(is_gone(process.pid) for process in waiting), "both are gone")
    assert Trial(tmp_path / "after", "print(1)").run(runtime) == 0
    assert runtime.zygote == zygote.pid


def test_close_kills_what_runs(tmp_path: Path) -> None:
    runtime = Fork(tmp_path)
    handle = at_work(Trial(tmp_path / "job", SLEEP), runtime)
    zygote = runtime.zygote
    runtime.close()
    assert handle.pid is not None
    assert zygote is not None
    assert is_gone(handle.pid)
    assert is_gone(zygote)
    with pytest.raises(RuntimeError, match="closed"):
        Trial(tmp_path / "next").start(runtime)


SERVER = """
import sys, time
from pathlib import Path
from launchers.embedded.runtimes import open_runtime
from tests.container.containers import code_with
from tests.embedded.trials import Trial
root = Path(sys.argv[1])
runtime = open_runtime(sys.argv[2], root=root)
trial = Trial(root / "job", Path(sys.argv[3]).read_text())
handle = trial.start(runtime)
print(handle.guard, handle.pid, getattr(runtime, "zygote", None) or "", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fork", "process"])
@pytest.mark.parametrize("guard_too", [False, True])
def test_a_killed_server_leaves_nothing(tmp_path: Path, name: str, guard_too: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(DAEMON + "time.sleep(600)\n")
    root = tmp_path / "root"
    root.mkdir()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(root), name, str(script)],
        cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        known = [int(word) for word in server.stdout.readline().split()]
        log = root / "job" / "log"
        eventually(lambda: "started" in log.read_text(), "the script prints")
        others = [int(word) for word in log.read_text().split()[:2]]
    finally:
        server.kill()
        server.communicate()
    if guard_too:
        os.kill(known[0], signal.SIGKILL)
        kill_strays(root)
    eventually(lambda: all(is_gone(pid) for pid in known + others), "they end by themselves")
    assert kill_strays(root) == 0


def test_strays_of_another_root_are_left_alone(tmp_path: Path) -> None:
    found = []
    for name in ("mine", "other"):
        env = {**os.environ, "SWEEPMAKER_EMBEDDED_ROOT": str(tmp_path / name)}
        found.append(subprocess.Popen(["sleep", "600"], env=env))
    try:
        assert kill_strays(tmp_path / "mine") == 1
        assert found[0].wait(5) == -signal.SIGKILL
        assert found[1].poll() is None
    finally:
        for one in found:
            one.kill()
            one.wait()
