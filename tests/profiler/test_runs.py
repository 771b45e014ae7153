"""Real runs with a bottleneck built in fire its rule, and what the report advises makes them faster."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sweepmaker.config.profiler_keys import PARAMETERS
from tests.integration.runs import SIGTERM, TINY, assert_equal_runs, train, train_and_signal

OWN = (
    "model=own", "model._target_=tests.profiler.planted.Net", "data=own",
    "data._target_=tests.profiler.planted.Data", "objective.name=val_loss", "objective.mode=min",
    "test=false",
    "+data.num_workers=0", "+data.batch_size=${batch_size}", "profiler.sample_ms=100", "profiler.scan_s=1",
)  # fmt: skip


def run(folder: Path, words: Sequence[str]) -> tuple[dict[str, Any], str]:
    """The summary of a run, and its stderr."""
    ended = train(*words, f"hydra.run.dir={folder}")
    assert ended.code == 0, ended.err
    summary: dict[str, Any] = json.loads((folder / "profiler" / "summary.json").read_text())
    lines = [line for line in ended.err.splitlines() if line.startswith("profile: ")]
    assert lines == [f"profile: {sentence}" for sentence in summary["sentences"]] and len(lines) == 2
    assert (folder / "profiler" / "report.html").stat().st_size > 10_000
    return summary, ended.err


def found(summary: dict[str, Any]) -> set[str]:
    return {name for name, rule in summary["rules"].items() if rule["triggered"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("DataWait", "batch_size=4 epochs=2 +data.nap=0.01 +model.nap=0.008 +data.count=240"),
        (
            "DataWait",
            "batch_size=4 epochs=2 +data.nap=0.02 data.num_workers=1 +model.nap=0.01 +data.count=240",
        ),
        (
            "ValidationTime",
            "batch_size=4 epochs=4 +data.count=40 +model.nap=0.005 +model.validation=1 "
            "profiler.rules.ValidationTime.patience_s=0",
        ),
        (
            "StepOverhead",
            "batch_size=1 epochs=2 +data.count=2500 profiler.rules.StepOverhead.least_step_ms=5",
        ),
    ],
    ids=["slow items", "one worker too few", "dear validation", "tiny batch"],
)
def test_following_the_advice_makes_a_slow_run_faster(rule: str, words: str, tmp_path: Path) -> None:
    asked = [*OWN, *words.split()]
    before, err = run(tmp_path / "slow", asked)
    assert rule in found(before), before["rules"][rule]
    override = before["rules"][rule]["override"]
    assert override and (before["override"] is None or f"try {before['override']}" in err)
    key = override.split("=")[0]
    kept = [word for word in asked if not re.match(rf"\+?{key}=", word)]
    after, _ = run(tmp_path / "fast", [*kept, f"+{override}" if key.startswith("data.") else override])
    assert speed(after) >= 1.5 * speed(before), (before, after)


def speed(summary: dict[str, Any]) -> float:
    """Images a second of the whole training loop, validation and checkpoints with it."""
    split = summary["split"]
    loop = split["training_step"] + split["data_wait"] + split["validation"] + split["checkpoint"]
    images: float = summary["images_per_second"] * (split["training_step"] + split["data_wait"])
    return images / loop


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("StepOutlier", "batch_size=4 epochs=3 +data.count=1200 +model.odd=0.15"),
        (
            "MaxInitializationTime",
            "epochs=1 +data.start=4 profiler.rules.MaxInitializationTime.threshold=0.06",
        ),
        (
            "LoadBalancing",
            "batch_size=4 epochs=2 +data.count=400 +model.nap=0.02 +model.lazy_rank=1 trainer=ddp "
            "trainer.accelerator=cpu profiler.rules.LoadBalancing.patience_s=0",
        ),
        (
            "CheckpointTime",
            "batch_size=4 epochs=3 +data.count=240 +model.nap=0.01 +model.checkpoint=0.5 "
            "profiler.rules.CheckpointTime.patience_s=0",
        ),
    ],
)
def test_a_planted_bottleneck_fires_its_rule(rule: str, words: str, tmp_path: Path) -> None:
    summary, _ = run(tmp_path / "run", [*OWN, *words.split()])
    assert rule in found(summary), summary["rules"][rule]


@pytest.mark.slow
def test_every_machine_of_a_run_watches_itself(tmp_path: Path) -> None:
    """Two machines, played by two processes of this one; each would start its own."""
    folder = tmp_path / "run"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [*OWN, "batch_size=4", "epochs=2", "+data.count=160", "+model.nap=0.02", "trainer=ddp",
             "trainer.accelerator=cpu", "trainer.devices=1", "++trainer.num_nodes=2",
             f"hydra.run.dir={folder}"]  # fmt: skip
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with ThreadPoolExecutor() as pool:
        second = pool.submit(train, *words, "hydra.output_subdir=null", "hydra.job.name=train_node_1",
                             NODE_RANK="1", **shared)  # fmt: skip
        first = train(*words, NODE_RANK="0", **shared)
    assert first.code == 0, first.err
    assert second.result().code == 0, second.result().err
    assert "profile: " in first.err and "profile: " not in second.result().err
    for where in ("profiler", "profiler/node-1"):
        content = json.loads((folder / where / "series.json").read_text())
        assert content["system"]["time"] and content["count"] == 40, where
        assert (folder / where / "report.html").is_file()
    usage = json.loads((folder / "profiler" / "reports" / "OverallSystemUsage.json").read_text())
    assert {name: 0 < found["cpu_p95"] <= 101 for name, found in usage["Details"]["nodes"].items()} == {
        "node-0": True, "node-1": True,
    }  # fmt: skip
    assert "profiler/node-1/report.html" in (folder / "profiler" / "report.html").read_text()
    assert not list(folder.rglob("*.tmp"))


LOOKING = {"StepOverhead", "DataWait", "Dataloader", "MaxInitializationTime", "ValidationTime",
           "CheckpointTime", "CPUUnderutilised"}  # fmt: skip
PATIENT = [name for name, parameters in PARAMETERS.items() if "patience_s" in parameters]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["sane", "aws"])
def test_a_healthy_run_fires_nothing(preset: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # a shared machine has outliers of its own, and a disk that others write to
    words = ["profiler.rules.CheckpointTime.threshold=80"]
    if preset == "sane":
        words += ["data.limit.train=512", "profiler.rules.StepOutlier.least_lost=50"]  # 256 steps
    else:
        words += ["profiler.rules.StepOutlier=null"]
    words += ["profiler.rules.CPUUnderutilised.threshold_p95=5"]  # however many cores this machine has
    words += [f"profiler.rules.{name}.patience_s=1" for name in PATIENT]
    words += [f"profiler.rules.{name}.window_s=1" for name in PATIENT if "window_s" in PARAMETERS[name]]
    ended = train(
        *TINY, "epochs=8", f"profiler={preset}", *words, "profiler.scan_s=1", f"hydra.run.dir={folder}"
    )
    assert ended.code == 0, ended.err
    summary = json.loads((folder / "profiler" / "summary.json").read_text())
    # AWS's rules count workers, and there are none
    assert found(summary) <= ({"Dataloader"} if preset == "aws" else set())
    assert summary["override"] is None or preset == "aws"
    looked = {name for name, rule in summary["rules"].items() if rule["looked"]}
    assert LOOKING | ({"StepOutlier"} if preset == "sane" else set()) <= looked


@pytest.mark.slow
def test_a_run_that_breaks_over_a_signal_was_interrupted(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = train(*OWN, "epochs=1", "batch_size=4", "+model.fragile=true", f"hydra.run.dir={folder}")
    assert ended.code == 143 and "worker is killed" in ended.err, ended.err
    assert json.loads((folder / "run.json").read_text())["state"] == "interrupted"
    assert json.loads((folder / "profiler" / "summary.json").read_text())["state"] == "interrupted"


@pytest.mark.slow
def test_a_run_that_is_broken_off_has_its_report_and_goes_on_with_it(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    arguments = [*TINY, "epochs=4"]
    assert train(*arguments, "profiler=none", f"hydra.run.dir={whole}").code == 0
    assert not (whole / "profiler").exists()
    first = train_and_signal([*arguments, f"hydra.run.dir={folder}"], SIGTERM, 8, 0.3, tmp_path)
    assert first.code == 143, first.err
    broken = json.loads((folder / "profiler" / "summary.json").read_text())
    assert broken["state"] == "interrupted" and 0 < broken["steps"] < 64
    assert "interrupted" in (folder / "profiler" / "report.html").read_text()
    ended = train(f"resume={folder}", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert_equal_runs(whole, folder)
    summary = json.loads((folder / "profiler" / "summary.json").read_text())
    assert summary["state"] == "completed" and summary["steps"] >= 64  # what was done twice counts twice
    assert summary["split"]["initialisation"] > broken["split"]["initialisation"]
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.slow
def test_a_real_network_on_a_tiny_batch_is_told_to_take_a_larger_one(tmp_path: Path) -> None:
    words = [*TINY, "epochs=1", "test=false", "debugger=none", "data.limit.train=768"]
    before, _ = run(tmp_path / "slow", [*words, "batch_size=2"])
    override = before["rules"]["StepOverhead"]["override"]
    # a machine with little memory left is told 4
    assert override in ("batch_size=4", "batch_size=8"), before["rules"]["StepOverhead"]
    after, _ = run(tmp_path / "fast", [*words, override])
    assert after["images_per_second"] >= 1.5 * before["images_per_second"], (before, after)


@pytest.mark.slow
def test_steps_that_the_debugger_samples_are_not_called_outliers(tmp_path: Path) -> None:
    ended = train(
        *TINY, "epochs=2", "debugger.every_n_steps=4", "test=false", f"hydra.run.dir={tmp_path}/run"
    )
    assert ended.code == 0, ended.err
    series = json.loads((tmp_path / "run" / "profiler" / "series.json").read_text())
    assert series["count"] == 32  # two begin an epoch, every fourth is sampled, and so are the first ten
    assert 8 <= sum(series["durations"]["step"].values()) <= 20


@pytest.mark.slow
def test_operators_are_recorded_beside_lightnings_own_profiler(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ("epochs=1", "profiler.trace=true", "profiler.trace_steps=2", "+trainer.profiler=simple")
    ended = train(*TINY, *words, f"hydra.run.dir={folder}")
    assert ended.code == 0, ended.err
    assert "Profiler Report" in ended.err
    operators = json.loads((folder / "profiler" / "operators.json").read_text())
    assert any("convolution" in row["name"] for row in operators["cpu"])
    assert (folder / "profiler" / "trace.json.gz").stat().st_size > 1000
    assert "convolution" in (folder / "profiler" / "report.html").read_text()


@pytest.mark.slow
def test_a_run_that_fails_has_its_report(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = train(
        *OWN, "batch_size=4", "epochs=1", "objective.name=no_such_metric", f"hydra.run.dir={folder}"
    )
    assert ended.code == 2 and "no_such_metric" in ended.err
    assert json.loads((folder / "profiler" / "summary.json").read_text())["state"] == "failed"
