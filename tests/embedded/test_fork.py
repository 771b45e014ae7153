"""What a trial that was forked from a warm process finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from launchers.embedded.runtimes import default_name, linux
from launchers.embedded.runtimes.fork import Fork
from tests.embedded.trials import Trial

pytestmark = [
    pytest.mark.skipif(not linux.HERE, reason="forking is for Linux"),
    pytest.mark.xdist_group("fork"),  # one warm process for all of them
]


def test_fork_is_the_default_here() -> None:
    name, reason = default_name()
    assert name == "fork"
    assert "warm" in reason


def test_a_script_leaves_a_model(runtime: Fork, tmp_path: Path) -> None:
    script = (
        "import os\nprint('one')\nfile = open(os.environ['SM_MODEL_DIR'] + '/weights', 'w')\n"
        "file.write('w')  # left open\n"
    )
    trial = Trial(tmp_path / "job", script)
    assert trial.run(runtime) == 0
    assert trial.text == "one\n"
    assert (trial.ml / "model" / "weights").read_text() == "w"
    assert trial.failure is None


def test_the_zygote_has_one_thread_and_none_of_our_code(runtime: Fork, tmp_path: Path) -> None:
    script = "import sys, json; print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules})))"
    trial = Trial(tmp_path / "job", script)
    assert trial.run(runtime) == 0
    modules = set(json.loads(trial.text))
    assert {"torch", "torchvision", "lightning", "hydra"} <= modules
    assert not {"sweepmaker", "launchers"} & modules
    assert runtime.zygote is not None
    assert psutil.Process(runtime.zygote).num_threads() == 1


def test_a_traceback_shows_the_script_only(runtime: Fork, tmp_path: Path) -> None:
    trial = Trial(tmp_path / "job", "def f():\n    raise ValueError('x')\nf()\n")
    trial.run(runtime)
    assert trial.text.splitlines()[0] == "Traceback (most recent call last):"
    assert "launchers" not in trial.text


def test_the_code_of_each_trial_is_its_own(runtime: Fork, tmp_path: Path) -> None:
    for number in ("one", "two"):
        trial = Trial(
            tmp_path / number, "import part\nprint(part.NAME)\n", files={"part.py": f"NAME = {number!r}\n"}
        )
        assert trial.run(runtime) == 0
        assert trial.text == f"{number}\n"


def test_folder_arguments_and_environment(runtime: Fork, tmp_path: Path) -> None:
    script = (
        "import os, sys, json, signal, tempfile\n"
        "print(json.dumps([os.getcwd(), sys.argv, __name__, __file__, sys.path[:2], dict(os.environ),"
        " sys.stdin.read(), sorted(os.listdir('/proc/self/fd')), tempfile.gettempdir(),"
        " [str(signal.getsignal(n)) for n in (15, 2, 17, 14)], len(os.sched_getaffinity(0))]))\n"
    )
    os.environ["OF_THE_SERVER"] = "1"
    trial = Trial(tmp_path / "job", script, {"lr": "0.10", "x": "a"}, {"MINE": "1", "PATH": "/bin"})
    assert trial.run(runtime) == 0
    folder, argv, name, file, path, env, stdin, files, temporary, handlers, cores = json.loads(trial.text)
    base = "/opt/ml" if runtime.private else str(trial.ml)
    assert (folder, name, file) == (f"{base}/code", "__main__", f"{base}/code/train.py")
    assert argv == ["train.py", "--lr", "0.1", "-x", "a"]
    assert path[0] == f"{base}/code"
    assert stdin == ""
    assert len(files) == 4  # the fourth lists them
    assert handlers == ["0", "<built-in function default_int_handler>", "0", "0"] or handlers[0].endswith("0")
    assert cores == 1
    assert env["MINE"] == "1"
    assert env["PATH"] == "/bin"
    assert env["SM_HP_LR"] == "0.1"
    assert env["SM_NUM_CPUS"] == "1"
    assert env["OMP_NUM_THREADS"] == "1"
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    assert not {"OF_THE_SERVER", "PYTEST_CURRENT_TEST"} & env.keys()
    assert env["HOME"] == temporary
    assert not Path(temporary).exists()


def test_no_two_trials_draw_the_same_numbers(runtime: Fork, tmp_path: Path) -> None:
    script = (
        "import random, numpy, torch, uuid, tempfile\n"
        "print(random.random()); print(numpy.random.rand()); print(torch.rand(1).item())\n"
        "print(tempfile.mkdtemp()); print(torch.initial_seed())\n"
    )
    trials = [Trial(tmp_path / str(number), script) for number in range(2)]
    for trial in trials:
        assert trial.run(runtime) == 0
    first, second = (trial.text.split() for trial in trials)
    assert not set(first) & set(second)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_convolution_runs_with_the_threads_it_was_given(
    runtime: Fork, tmp_path: Path, threads: int
) -> None:
    script = (
        "import torch\nimages = torch.rand(8, 3, 64, 64)\n"
        "print(torch.get_num_threads(), torch.nn.Conv2d(3, 64, 3)(images).mean().backward())\n"
    )
    trial = Trial(tmp_path / "job", script, threads=threads)
    assert trial.run(runtime) == 0
    assert trial.text == f"{threads} None\n"


def test_what_a_starting_interpreter_reads_makes_it_start_afresh(runtime: Fork, tmp_path: Path) -> None:
    trial = Trial(tmp_path / "job", "print(hash('a'))", environment={"PYTHONHASHSEED": "0"})
    assert trial.run(runtime) == 0
    told, value = trial.text.splitlines()
    assert "PYTHONHASHSEED" in told
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    here = subprocess.run([sys.executable, "-c", "print(hash('a'))"], env=env, capture_output=True, text=True)
    assert value == here.stdout.strip()


WORKERS = """
import multiprocessing, sys, torch
def double(x): return 2 * x
class Data(torch.utils.data.Dataset):
    def __len__(self): return 4
    def __getitem__(self, index): return torch.tensor(index)
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(pool.map(double, [1, 2]))
        loader = torch.utils.data.DataLoader(Data(), num_workers=1, multiprocessing_context=method)
        print([int(batch) for batch in loader])
"""


@pytest.mark.slow
def test_processes_of_a_trials_own(runtime: Fork, tmp_path: Path) -> None:
    trial = Trial(tmp_path / "job", WORKERS)
    assert trial.run(runtime) == 0, trial.text
    assert trial.text == "[2, 4]\n[0, 1, 2, 3]\n" * 2
