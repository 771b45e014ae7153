"""Command lines of ``compare.py``: the real script over folders that real runs left, or others like them."""

from __future__ import annotations

import csv
import io
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from launchers.aws.clients import connect
from tests.compare.folders import make_run, make_sweep
from tests.integration.runs import CHECKOUT, TINY, environment, module, script, train


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    make_sweep(folder / "multirun" / "2026-11-23" / "10-00-00", (1e-3, 3e-3), seeds=(0, 1))
    make_run(folder / "outputs" / "2026-11-23" / "a, b=c", lr=1e-2)
    return folder


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("", 5),
        ("runs=multirun", 4),
        ("runs=multirun/*/10*", 4),
        ("'runs=[multirun/*/*/0,outputs]'", 2),
        ("""'runs="outputs/2026-11-23/a, b=c"'""", 1),
        ("'only.overrides={lr: 0.003}'", 2),
        ("only.state=completed only.since=2026-11-23", 5),
        ("only.experiment=null 'only.state=[completed,failed]'", 5),
        ("metric=valid/loss mode=min 'repeats=[]'", 5),
    ],
)
def test_command_lines(command: str, runs: int, place: Path) -> None:
    before = sorted(place.rglob("*"))
    ended = script("compare.py", *shlex.split(command), "format=json", cwd=place)
    assert (ended.code, ended.err) == (0, "")
    assert len(json.loads(ended.out)["runs"]) == runs
    assert sorted(place.rglob("*")) == before  # it changes nothing and leaves nothing


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("experiment=b2", "fix: only.experiment=b2"),
        ("only.stat=failed", "did you mean only.state?"),
        ("runs=a=b", "fix: 'runs=\"a=b\"'"),
        ("runs=a,b", "several: 'runs=[a,b]'"),
        ("multirun", "runs="),
        ("rums=multirun", "did you mean runs?"),
        ("runs=nowhere", "runs: nothing matches nowhere"),
        ("-m", "takes no -m"),
        ("format=xml", "allowed: table, csv, json, markdown"),
        ("action=rule", "allowed: compare"),
        ("only.state=failed", "only.state: none of 5 runs passes the filters"),
        ("html=no/such/page.html", "mkdir -p"),
    ],
)
def test_mistakes_are_one_message(command: str, said: str, place: Path) -> None:
    ended = script("compare.py", *shlex.split(command), cwd=place)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err and "Traceback" not in ended.err and ended.err.startswith("error: ")


def test_each_form_tells_of_the_same_runs(place: Path) -> None:
    table = script("compare.py", cwd=place)
    markdown = script("compare.py", "format=markdown", cwd=place)
    rows = list(csv.DictReader(io.StringIO(script("compare.py", "format=csv", cwd=place).out)))
    best = script("compare.py", "best=true", cwd=place).out.splitlines()
    assert len(rows) == 5 and rows[0]["run"] == best[1]
    assert f"best: {best[1]}" in table.out and "± " in table.out
    assert markdown.out.count("completed") == 5
    assert best[0] == "lr=0.003 batch_size=32 seed=0"


def test_a_reader_that_has_enough_is_no_error(place: Path) -> None:
    words = [sys.executable, str(CHECKOUT / "compare.py"), "format=json"]
    process = subprocess.Popen(words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment())  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    assert (process.wait(timeout=60), err) == (128 + signal.SIGPIPE, "")


def test_no_torch_and_no_optuna_for_a_table(place: Path) -> None:
    program = (
        "import sys, runpy; sys.argv = ['compare.py']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'lightning', 'optuna', 'sklearn', 'scipy', 'pandas', 'tensorboard'}\n"
        "print(*sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    program = program.replace("'compare.py'", repr(str(CHECKOUT / "compare.py")))
    done = subprocess.run([sys.executable, "-c", program], cwd=place, capture_output=True, text=True)
    assert done.stderr.split() == [] and "completed" in done.stdout


def test_watch_ends_with_ctrl_c(place: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = [sys.executable, str(CHECKOUT / "compare.py"), "watch=true", "watch_s=0.1", f"html={page}"]
    process = subprocess.Popen(words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment())  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("best: "):
            break
    written = page.stat().st_mtime_ns
    make_run(place / "outputs" / "new", lr=2e-2)
    deadline = time.monotonic() + 60
    while page.stat().st_mtime_ns == written and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert page.stat().st_mtime_ns != written


@pytest.mark.slow
def test_real_runs_and_what_they_leave_for_the_page(tmp_path: Path) -> None:
    ended = train("-m", *TINY, "lr=1e-3,1e-2", "epochs=2", cwd=tmp_path)
    assert ended.code == 0, ended.err
    shown = json.loads(script("compare.py", "format=json", f"html={tmp_path / 'p.html'}", cwd=tmp_path).out)
    assert [run["overrides"]["lr"] for run in shown["runs"]] in (["0.001", "0.01"], ["0.01", "0.001"])
    for run in shown["runs"]:
        record = json.loads((tmp_path / run["folder"] / "run.json").read_text())
        assert run["objective"]["value"] == record["objective"]["value"]
        assert run["objective"]["epoch"] == record["objective"]["epoch"]
    text = (tmp_path / "p.html").read_text()
    assert "data:image/png;base64," in text and "confidence" in text  # of the images it was wrong about


@pytest.mark.slow
def test_the_best_is_the_services_and_that_of_the_kept_results(tmp_path: Path) -> None:
    """DescribeHyperParameterTuningJob, optimization_results.yaml and compare name the same trial."""
    words = [*TINY, "epochs=2", "where=embedded", "job.include_untracked=true"]
    try:
        sweep = script("launch.py", "-m", *words, "lr=tag(log,interval(1e-4,1e-1))", "job.max_jobs=4",
                       "job.max_parallel_jobs=2", cwd=tmp_path)  # fmt: skip
        assert sweep.code == 0, sweep.err
        told = json.loads(sweep.out.splitlines()[-1])
        folder = tmp_path / told["folder"]
        kept = json.loads((folder / "launch.json").read_text())
        where: dict[str, Any] = {**kept["where"], "region": kept["region"]}
        service = connect(where).sagemaker.describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=told["name"]
        )
        best = json.loads(
            script("compare.py", f"runs={folder}", "best=true", "format=json", cwd=tmp_path).out
        )
    finally:
        assert module("launchers.embedded", "stop", cwd=tmp_path).code == 0
    assert best["job"]["name"] == service["BestTrainingJob"]["TrainingJobName"]
    tuned = service["BestTrainingJob"]["TunedHyperParameters"]
    assert best["overrides"]["lr"] == tuned["lr"]
    written = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    assert float(best["overrides"]["lr"]) == written["best_params"]["lr"]
    assert best["objective"]["value"] == written["best_value"]
    value = service["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert best["objective"]["value"] == pytest.approx(value, rel=1e-6)  # a float of 32 bits on the wire
