"""Runs that end before their first step, or are not watched to their end; disks that are full for a time."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from sweepmaker.profiler import early, sampler, session
from sweepmaker.profiler.clock import StepClock
from sweepmaker.profiler.gpus import Gpus
from sweepmaker.profiler.machine import Machine
from sweepmaker.profiler.phases import PHASES, Phases
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.session import Profiling
from tests.profiler.planted import Net
from tests.profiler.recorded import CONF, preset, profile
from tests.profiler.test_clock import NAP
from tests.profiler.test_clock import fit as clocked
from tests.profiler.test_session import fit, summary, threads

pytestmark = pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")


def started(folder: Path, ago: float) -> Profiling:
    """A run that began so many seconds ago and has not come to build its data yet."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["profiler.sample_ms=100"])
    began = time.perf_counter() - ago
    return Profiling(cfg, folder, began, early.begin(cfg, began))


def test_a_start_that_took_too_long_is_told_though_nothing_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ended after forty minutes of fetching its data."""
    profiling = started(tmp_path, 2400)
    assert profiling._early is not None
    profiling._early.look()
    profiling.finish("interrupted")
    found = summary(tmp_path)
    assert found["state"] == "interrupted" and found["rules"]["MaxInitializationTime"]["triggered"]
    assert found["split"]["initialisation"] == pytest.approx(2400, abs=30) and found["steps"] == 0
    assert "no first step" in capsys.readouterr().err and threads() == []
    assert json.loads((tmp_path / "profiler" / "series.json").read_text())["system"]["time"]


def test_a_report_of_an_earlier_process_stays(tmp_path: Path) -> None:
    fit(tmp_path)
    before = (tmp_path / "profiler" / "report.html").read_text()
    started(tmp_path, 2400).finish("interrupted")
    assert (tmp_path / "profiler" / "report.html").read_text() == before


def test_the_wait_for_the_first_batch_is_part_of_the_start(tmp_path: Path) -> None:
    clock, _, _ = clocked(tmp_path, "data_wait")
    place = PHASES.index("data_wait")
    rows = clock.drain()
    assert clock.begun is not None and clock.first is not None and clock.first - clock.begun >= 0.95 * NAP
    assert rows[0][0][place] < 0.5 * NAP <= rows[1][0][place]
    assert clock.training[place] >= 0.95 * 4 * NAP  # run.json has all of it


def test_a_disk_that_is_full_for_a_time_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    made, clock = Profile(preset("sane", "profiler.sample_ms=100")), StepClock(Phases())
    tries, ended = [], threading.Event()

    def write() -> None:
        tries.append(len(made.system))
        if len(tries) > 2:
            ended.set()
        else:
            raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "_WRITE_S", 0.0)
        watcher = sampler.Sampler(made, clock, Machine(), Gpus([]), time.perf_counter, lambda: None, write)
        watcher.start()
        assert ended.wait(60)
        watcher.stop()
    assert watcher.error is None and tries[2] > tries[0]
    assert caplog.text.count("No space left") == 1


def test_a_report_of_a_part_of_the_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threading.Event()

    def broken(self: Any) -> None:
        seen.set()
        raise RuntimeError("no such <counter>")

    monkeypatch.setattr(session.Sampler, "look", broken)
    fit(tmp_path, net=Net(nap=0.01))
    assert seen.is_set() and "no such <counter>" in summary(tmp_path)["unwatched"]
    page = (tmp_path / "profiler" / "report.html").read_text()
    assert "of this run were watched" in page and "no such &lt;counter&gt;" in page


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("steps", {"names": ["step"], "low": [[]], "high": [[]], "total": [[]], "count": [[]], "time": []}),
        ("system", {"limit": 10**9}),
        ("system", {"limit": 64}),
        ("system", {"span": 0}),
        ("outliers", {"usual": [1.0]}),
        ("together", {"CPUBottleneck": {"samples": 1}}),
        ("together", {"CPUBottleneck": 3}),
        ("rules", {"BatchSize": {"scans": 1, "triggered": 1, "violations": 1, "last": 7}}),
        ("rules", {"BatchSize": 1}),
    ],
    ids=str,
)
def test_a_profile_of_another_program_is_not_gone_on_with(
    name: str, spoilt: dict[str, Any], tmp_path: Path
) -> None:
    """What has another shape would end the watch later, with the first step or the last look."""
    path = tmp_path / "series.json"
    profile(preset(), seconds=5).save(path)
    content = json.loads(path.read_text())
    content[name] |= spoilt
    path.write_text(json.dumps(content))
    fresh = Profile(preset(), range(4), 1)
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        fresh.load(path)
    assert fresh.count == 0 and len(fresh.system) == 0


def test_what_is_written_down_does_not_change_meanwhile(tmp_path: Path) -> None:
    profiling = started(tmp_path, 0)
    profiling._profile = made = Profile(preset(), facts={"a": 1})
    being_written = made.facts

    class Trainer:
        train_dataloader, num_training_batches, accumulate_grad_batches = None, 3, 1

    profiling._started(Trainer())  # type: ignore[arg-type]
    assert being_written == {"a": 1} and made.facts["steps_per_epoch"] == 3
    profiling._profile = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("sweepmaker"), "disabled", True)
        profiling.finish("failed")
