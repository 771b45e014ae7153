"""The profiler around a fit in this process: what it keeps, how it goes on, and that it hurts nobody."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from lightning.pytorch import Trainer

from sweepmaker.profiler import early, sampler, session
from sweepmaker.profiler.clock import StepClock
from sweepmaker.profiler.gpus import Gpus
from sweepmaker.profiler.machine import Machine
from sweepmaker.profiler.phases import Phases
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.session import Profiling
from tests.profiler.planted import Data, Net
from tests.profiler.recorded import CONF, preset, profile

pytestmark = pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")


def fit(folder: Path, *overrides: str, main: bool = True, net: Net | None = None, **data: Any) -> Profiling:
    """One process of a run, in this one."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["profiler.sample_ms=100", "profiler.scan_s=1", *overrides])
    began = session.time.perf_counter()
    profiling = Profiling(cfg, folder, began if main else None, early.begin(cfg, began) if main else None)
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=profiling.callbacks(), profiler=profiling.phases,
        default_root_dir=folder,
    )  # fmt: skip
    profiling.attach(trainer)
    planted = Data(**{"count": 160, "nap": 0.002, **data})
    planted.setup("fit")
    profiling.watch(trainer, planted, 1, [])
    trainer.fit(net or Net(), planted)
    profiling.finish("completed")
    return profiling


def summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "profiler" / "summary.json").read_text())
    return content


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("profiler")]


def test_a_process_that_continues_a_run_continues_its_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(tmp_path)
    first = summary(tmp_path)
    assert first["steps"] == 40 and threads() == []
    assert capsys.readouterr().err.count("profile: ") == 2
    fit(tmp_path)
    second = summary(tmp_path)
    assert second["steps"] == 80
    assert all(second["split"][name] >= first["split"][name] for name in first["split"])
    series = json.loads((tmp_path / "profiler" / "series.json").read_text())
    assert sorted(series["system"]["time"]) == series["system"]["time"]
    assert sum(series["steps"]["count"][0]) == 80


def test_what_happens_before_training_is_sampled_too(tmp_path: Path) -> None:
    profiling = fit(tmp_path, start=0.4)
    series = json.loads((tmp_path / "profiler" / "series.json").read_text())
    first = series["phases_of_run"]["initialisation"]
    assert first > 0.8 and series["system"]["time"][0] < 0.5  # set up twice, by us and by Lightning
    assert series["system"]["time"] == sorted(series["system"]["time"])
    assert series["starts"] == [pytest.approx(first, abs=0.01)]
    assert profiling.clock.images == 160


def test_a_start_of_many_minutes_is_kept_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "_MOST", 8)
    reader = early.Early(60.0, time.perf_counter())
    for _ in range(50):
        reader.look()
    times = [reading[0] for reading in reader.stop()]
    assert len(times) < 8 and times == sorted(times) and times[0] >= 0


def test_a_run_that_never_trains_leaves_no_thread(tmp_path: Path) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["profiler.sample_ms=100"])
    began = time.perf_counter()
    profiling = Profiling(cfg, tmp_path, began, early.begin(cfg, began))
    assert threads() == ["profiler, early"]
    profiling.finish("failed")
    assert threads() == [] and list(tmp_path.iterdir()) == []


def test_a_machine_that_cannot_be_read_early_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise RuntimeError("no such counter")

    monkeypatch.setattr(early, "Machine", broken)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert early.begin(compose("train", []), 0.0) is None
        assert early.begin(compose("train", ["profiler=none"]), 0.0) is None
        assert early.begin(compose("train", ["train=false", "ckpt_path=x"]), 0.0) is None


def test_what_is_kept_is_json_whatever_a_rule_said(tmp_path: Path) -> None:
    made = profile(preset(), seconds=60, busy=(30,))
    kept = made.rules["LowGPUUtilization"]["last"]
    kept["details"]["gpu0"]["gpu_95"], kept["gain"] = float("nan"), float("inf")
    made.facts["odd"] = float("nan")
    made.save(tmp_path / "series.json")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    content = json.loads((tmp_path / "series.json").read_text(), parse_constant=refuse)
    assert content["rules"]["LowGPUUtilization"]["last"]["details"]["gpu0"]["gpu_95"] is None
    Profile(preset(), range(4), 1).load(tmp_path / "series.json")


def test_off_means_off(tmp_path: Path) -> None:
    profiling = fit(tmp_path, "profiler=none")
    assert list(tmp_path.iterdir()) == [] and threads() == []
    assert profiling.clock.images == 160 and profiling.clock.rows == []


def test_other_processes_than_the_main_one_write_nothing(tmp_path: Path) -> None:
    fit(tmp_path, main=False)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_of_an_earlier_process_costs_its_profile_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "profiler").mkdir()
    (tmp_path / "profiler" / "series.json").write_text('{"version": 1, "system": 3}')
    fit(tmp_path)
    assert summary(tmp_path)["steps"] == 40
    assert "begins anew" in caplog.text


def test_a_file_that_only_looks_whole_costs_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = profile(preset(), seconds=30, busy=())
    made.save(tmp_path / "profiler" / "series.json")
    content = json.loads((tmp_path / "profiler" / "series.json").read_text())
    content["loads"]["cpu"] = {"100000": 1}  # a bin that there is not
    (tmp_path / "profiler" / "series.json").write_text(json.dumps(content))
    fit(tmp_path)
    assert summary(tmp_path)["steps"] == 40
    assert "begins anew" in caplog.text


@pytest.mark.parametrize("where", ["__init__", "read"])
def test_an_error_of_the_profiler_is_one_line(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no such counter")

    if where == "read":
        monkeypatch.setattr(session, "Machine", type("Odd", (Machine,), {}))
        monkeypatch.setattr(session.Sampler, "look", broken)
    else:
        monkeypatch.setattr(session, "Machine", broken)
        monkeypatch.setattr(early, "Machine", broken)
    with caplog.at_level(logging.WARNING, logger="sweepmaker"):
        profiling = fit(tmp_path)
    assert profiling.clock.images == 160  # the fit went on
    said = [record.message for record in caplog.records if record.name.startswith("sweepmaker")]
    assert len(said) == 1 and "no such counter" in said[0]
    assert threads() == []


def test_a_disk_that_is_full_hurts_nobody(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(self: Profile, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Profile, "save", full)
    fit(tmp_path)
    assert caplog.text.count("No space left") == 1
    assert capsys.readouterr().err.count("profile: ") == 2  # they need no disk


def test_a_driver_that_fails_at_the_end_hurts_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Gpus) -> None:
        raise RuntimeError("GPU is lost")

    monkeypatch.setattr(Gpus, "close", broken)
    fit(tmp_path)
    assert summary(tmp_path)["state"] == "completed" and "GPU is lost" in caplog.text


def test_a_counter_that_hangs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session.Sampler, "stop", lambda self: None)  # as if it had not heard
    profiling = fit(tmp_path)
    assert "hangs" in caplog.text and not (tmp_path / "profiler" / "report.html").exists()
    monkeypatch.undo()
    assert profiling._sampler is not None
    profiling._sampler.stop()
    assert threads() == []


def test_after_training_the_rules_do_not_look_again_and_again(tmp_path: Path) -> None:
    """A long test would outvote what they saw while training."""
    looks: list[float | None] = []
    made = Profile(preset("sane", "profiler.sample_ms=100"))
    clock = StepClock(Phases())
    clock.first = 1.0
    ended = threading.Event()

    def write() -> None:
        if clock.ended is None:
            clock.ended = 2.0
        else:
            ended.set()

    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(sampler, "_WRITE_S", 0.0)
        made.settings = replace(made.settings, scan_s=0.0)
        watcher = sampler.Sampler(made, clock, Machine(), Gpus([]), time.perf_counter,
                                  lambda: looks.append(clock.ended), write)  # fmt: skip
        watcher.start()
        assert ended.wait(60)
        watcher.stop()
    assert looks and set(looks) == {None}


def test_a_profile_that_is_kept_and_read_says_the_same(tmp_path: Path) -> None:
    made = profile(preset(), seconds=200, busy=(30, 40), step=lambda n: 0.1 if n % 50 else 1.0)
    made.save(tmp_path / "series.json")
    again = Profile(preset(), range(4), 2, made.facts)
    again.load(tmp_path / "series.json")
    assert (again.count, again.images, again.together) == (made.count, made.images, made.together)
    assert again.loads.as_dict() == made.loads.as_dict()
    assert again.outliers.as_dict() == made.outliers.as_dict()
    assert again.rules.keys() == made.rules.keys()
    assert again.share("forward") == pytest.approx(made.share("forward"))


def test_a_profile_goes_on_on_another_machine(tmp_path: Path) -> None:
    """A spot job may come back with other GPUs, another number of cores."""
    profile(preset(), seconds=60, busy=(30,)).save(tmp_path / "series.json")
    other = Profile(preset(), range(8), 2)
    other.load(tmp_path / "series.json")
    other.add_sample(70.0, {"cpu": 10.0}, [10.0] * 8, [(50, 60), (70, 80)], training=True)
    assert other.system.high("gpu1")[-1] == 70 and other.system.low("gpu0").min() < 40
