"""The entry that every image starts, around a small ``train.py``: no torch, a fifth of a second each."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.container.containers import ENTRY, JOB, Container, code_with

# Shows what it was started with, then does what the job asks for.
SCRIPT = """
import json, os, sys
from pathlib import Path
import __main__

given = dict(line.lstrip("+").split("=", 1) for line in sys.argv[1:])
names = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
print(json.dumps({
    "argv": sys.argv, "cwd": os.getcwd(), "spec": __main__.__spec__ is None, "name": __name__,
    "env": {name: os.environ.get(name) for name in names},
}))
run = Path(given["hydra.run.dir"].strip("'"))
(run / "model").mkdir(parents=True, exist_ok=True)
(run / "model" / "model.json").write_text("{}")
(run / "metrics.csv").write_text("epoch")

def record(**fields):
    (run / "run.json").write_text(json.dumps(fields))

exec(given.get("do", "record(state='completed')"))
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return code_with(tmp_path_factory.mktemp("code"), SCRIPT, ["epochs=3"])


def test_the_script_is_started_as_from_the_command_line(code: Path, tmp_path: Path) -> None:
    container = Container(tmp_path / "ml", {"lr": "1.10", "+a.b": "'x y'", "_tuning_objective_metric": "m"})
    ended = container.entry(code, SM_HP_LR="5")
    assert ended.code == 0, ended.err
    seen = json.loads(ended.out)
    assert seen["argv"] == [
        str(code / "train.py"), "epochs=3", "+a.b='x y'", "lr=1.10", "hydra.mode=RUN",
        f"hydra.run.dir={container.run}",
    ]  # fmt: skip
    assert seen["cwd"] == str(code) and seen["spec"] and seen["name"] == "__main__"
    assert container.failure is None
    assert (container.base / "model" / "model.json").exists()
    output = container.base / "output" / "data"
    assert json.loads((output / "run.json").read_text()) == {"state": "completed"}
    assert (output / "metrics.csv").exists()


def test_a_folder_that_hydra_would_misread_is_quoted(code: Path, tmp_path: Path) -> None:
    container = Container(tmp_path / "a b,c=d", {})
    ended = container.entry(code)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["argv"][-1] == f"hydra.run.dir='{container.run}'"


@pytest.mark.parametrize(
    ("do", "code_out", "told"),
    [
        ("record(failure={'type': 'Full', 'message': 'memory', 'frames': ['/src/a.py:1 f']}); exit(1)",
         1, "Full: memory\nat a.py:1 f"),
        ("print('error: lrr: no such key', file=sys.stderr); exit(2)", 2, "ConfigError: lrr: no such key"),
        ("raise ValueError('boom')", 1, "ValueError: boom\nat "),
        ("import not_there", 1, "ModuleNotFoundError: No module named 'not_there'\nthe image lacks"),
        ("exit('some words')", 1, "exit code 1: some words"),
        ("(run / 'run.json').write_text('{'); print('error: x', file=sys.stderr); exit(1)", 1, "Error: x"),
        ("raise ValueError(os.environ['A_SECRET'])", 1, "ValueError: [hidden]"),
    ],
)  # fmt: skip
def test_a_failure_is_told_and_what_there_is_kept(
    code: Path, tmp_path: Path, do: str, code_out: int, told: str
) -> None:
    container = Container(tmp_path / "ml", {"+do": do})
    ended = container.entry(code, A_SECRET="open sesame")
    assert ended.code == code_out, ended.err
    assert container.failure is not None and container.failure.startswith(told)
    assert (container.base / "output" / "data" / "metrics.csv").exists()


def test_an_earlier_failure_is_not_this_one(code: Path, tmp_path: Path) -> None:
    container = Container(
        tmp_path / "ml", {"+do": "record(failure={'type': 'E', 'message': 'first'}); exit(1)"}
    )
    container.entry(code)
    assert container.failure == "E: first"
    container.send({"+do": "print('error: second', file=sys.stderr); exit(1)"})
    container.entry(code)
    assert container.failure == "Error: second"
    container.send({})
    container.entry(code)
    assert container.failure is None


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"hydra.run.dir": "/x"}, "ConfigError: hyperparameters: 'hydra.run.dir' is not for a job to set"),
        ({"a b": "1"}, "ConfigError: hyperparameters: 'a b' is no key"),
        ({"lr": 1}, "ConfigError: hyperparameters: lr is a int"),
    ],
)
def test_what_is_refused_is_told(code: Path, tmp_path: Path, sent: dict[str, object], told: str) -> None:
    container = Container(tmp_path / "ml", sent)
    ended = container.entry(code)
    assert ended.code == 2 and ended.out == "" and "Traceback" not in ended.err
    assert container.failure is not None and container.failure.startswith(told)


def test_a_job_of_a_hostile_name_is_refused(code: Path, tmp_path: Path) -> None:
    container = Container(tmp_path / "ml", {})
    assert container.entry(code, TRAINING_JOB_NAME="../../elsewhere").code == 2
    assert container.failure is not None and "TRAINING_JOB_NAME" in container.failure


def test_channels_become_keys(tmp_path: Path) -> None:
    channels = {"data": "data.root", "weights": "model.weights=net.pth"}
    code = code_with(tmp_path / "code", SCRIPT, ["data.root=/of/the/laptop"], channels)
    container = Container(tmp_path / "ml", {"data.root": "/swept"})
    (container.base / "input/data/data").mkdir()
    ended = container.entry(code)
    assert ended.code == 2
    assert container.failure is not None and "no input channel 'weights'" in container.failure
    (container.base / "input/data/weights").mkdir()
    ended = container.entry(code)
    assert ended.code == 2
    assert container.failure is not None and "net.pth is missing" in container.failure
    (container.base / "input/data/weights/net.pth").touch()
    ended = container.entry(code)
    assert ended.code == 0, ended.err
    data = container.base / "input" / "data"
    assert json.loads(ended.out)["argv"][1:-2] == [
        "data.root=/of/the/laptop", "data.root=/swept", f"data.root={data}/data",
        f"model.weights={data}/weights/net.pth",
    ]  # fmt: skip


def test_only_the_first_machine_leaves_results(code: Path, tmp_path: Path) -> None:
    hosts = ["algo-1", "algo-2"]
    container = Container(tmp_path / "ml", {}, hosts)
    container.be("algo-2", hosts)
    ended = container.entry(code)
    assert ended.code == 0, ended.err
    seen = json.loads(ended.out)
    assert seen["env"] == {"NODE_RANK": "1", "MASTER_ADDR": "algo-1", "MASTER_PORT": "7777"}
    assert "++trainer.num_nodes=2" in seen["argv"] and "hydra.output_subdir=null" in seen["argv"]
    assert not (container.base / "output" / "data").exists()
    container.be("algo-1", hosts)
    assert container.entry(code, RANK="1", LOCAL_RANK="1").code == 0
    assert not (container.base / "output" / "data").exists()
    assert container.entry(code).code == 0
    assert (container.base / "output" / "data" / "run.json").exists()


def test_without_the_job_s_files_it_says_so(code: Path, tmp_path: Path) -> None:
    container = Container(tmp_path / "ml", {})
    (container.base / "input/config/hyperparameters.json").unlink()
    assert container.entry(code).code == 2
    assert container.failure is not None and "hyperparameters.json is missing" in container.failure


def test_results_that_cannot_be_kept_are_a_failure(code: Path, tmp_path: Path) -> None:
    container = Container(tmp_path / "ml", {})
    (container.base / "model").rmdir()
    (container.base / "model").write_text("a file is in the way")
    assert container.entry(code).code == 1
    assert container.failure is not None and "Error" in container.failure.split(":")[0]
    container.send({"+do": "print('error: the cause', file=sys.stderr); exit(1)"})
    assert container.entry(code).code == 1
    assert container.failure == "Error: the cause"


@pytest.mark.parametrize(("signum", "expected"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_is_no_failure(code: Path, tmp_path: Path, signum: int, expected: int) -> None:
    do = "import signal; sys.stdout.write('ready\\n'); signal.pause()"
    container = Container(tmp_path / "ml", {"+do": do})
    process = subprocess.Popen(
        [sys.executable, str(code / ENTRY)], env=container.environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        lines = [process.stdout.readline(), process.stdout.readline()]  # through a pipe, at once
        process.send_signal(signum)
    assert lines[1] == "ready\n"
    assert process.returncode == expected
    assert (container.failure is None) == (expected == 0)
    assert (container.base / "output" / "data" / "metrics.csv").exists()
    assert container.run.is_relative_to(container.base / "checkpoints" / JOB)
