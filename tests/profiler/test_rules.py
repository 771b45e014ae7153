"""Each rule by series as a machine with GPUs would have recorded them, and healthy ones that fire none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sweepmaker.config.profiler_keys import PARAMETERS
from sweepmaker.profiler.phases import PHASES
from sweepmaker.profiler.rules import RULES
from sweepmaker.profiler.rules.steps import distance
from tests.profiler.recorded import Profile, judged, preset, profile

WAITING = {"data_wait": 0.5, "forward": 0.2, "backward": 0.3}
VALIDATING = {"validation": 0.5, "forward": 0.2, "backward": 0.3}
SMALL = {"optimizer": 0.2, "forward": 0.3, "backward": 0.5}
AROUND = {"callbacks": 0.5, "loop": 0.2, "forward": 0.3}
IDLE: dict[str, Any] = {"busy": (30,), "phases": AROUND}  # small steps leave a GPU idle
CPU_ONLY: dict[str, Any] = {"busy": (), "accelerator": "cpu", "gpus": []}
RANKS: dict[str, Any] = {**CPU_ONLY, "cpu": 25, "threads": 1, "processes": 4, "own_gib": 8.0}

SELDOM = ("profiler.sample_ms=2000", "profiler.scan_s=60")  # long series, few samples
GPU_RULES = ("BatchSize", "LowGPUUtilization", "CPUBottleneck", "IOBottleneck", "GPUMemoryIncrease")


def fired(made: Profile) -> set[str]:
    return set(judged(made).triggered)


def test_every_rule_has_parameters_and_words() -> None:
    assert set(RULES) == set(PARAMETERS) == set(preset().rules) == set(preset("aws").rules)
    for name, parameters in preset().rules.items():
        assert set(parameters) == set(PARAMETERS[name]), name


@pytest.mark.parametrize("name", ["sane", "aws"])
@pytest.mark.parametrize("seconds", [40, 300, 1500])
@pytest.mark.parametrize("busy", [(), (92,), (95, 95), (120, 120)], ids=str)
def test_a_healthy_run_fires_nothing(name: str, seconds: float, busy: tuple[float, ...]) -> None:
    about = {} if busy else {"accelerator": "cpu", "gpus": []}
    cpu = 60 if busy else 97
    assert fired(profile(preset(name), seconds=seconds, busy=busy, cpu=cpu, **about)) == set()


@pytest.mark.parametrize(
    ("rule", "made", "override"),
    [
        ("LowGPUUtilization", {"busy": (30,), "cpu": 90, "memory": 30}, "batch_size=64"),
        ("LowGPUUtilization", {"busy": (lambda t: 95 if t % 20 < 16 else 0,), "memory": 50}, "batch_size=48"),
        ("LowGPUUtilization", {"busy": (30,), "cpu": 90, "memory": 90}, None),  # twice of that fits nowhere
        ("BatchSize", {"busy": (30,), "memory": 10, "cpu": 20}, "batch_size=128"),
        ("BatchSize", {"busy": (30,), "memory": 40, "cpu": 20}, "batch_size=64"),
        ("DataWait", {"phases": WAITING}, "data.num_workers=4"),
        ("DataWait", {"phases": WAITING, "loader_num_workers": 0}, "data.num_workers=2"),
        ("DataWait", {"phases": WAITING, "loader_num_workers": 4}, "data.cache=disk"),
        ("DataWait", {**CPU_ONLY, "phases": WAITING, "loader_num_workers": 0}, "data.cache=disk"),
        (
            "DataWait",
            {"phases": WAITING, "loader_num_workers": 0, "features": True, "memory": 9},
            "batch_size=128",
        ),
        ("DataWait", {"phases": WAITING, "loader_num_workers": 1, "processes": 2}, "data.num_workers=2"),
        ("CPUBottleneck", {"busy": (20,), "cpu": 98}, "data.cache=disk"),
        (
            "CPUBottleneck",
            {"busy": (20,), "cpu": 98, "cache": "disk", "augment": True},
            "data.augment.trivial_augment=false",
        ),
        ("IOBottleneck", {"busy": (20,), "cpu": 20, "iowait": 60}, "data.cache=disk"),
        ("Dataloader", {"loader_num_workers": 32}, "data.num_workers=4"),
        ("Dataloader", {"loader_num_workers": 5, "processes": 2}, "data.num_workers=2"),
        ("Dataloader", {"phases": WAITING, "loader_num_workers": 1}, "data.num_workers=3"),
        ("StepOutlier", {"step": lambda n: 0.1 if n % 50 else 2.0}, None),
        ("StepOverhead", {**IDLE, "memory": 10}, "batch_size=128"),
        ("StepOverhead", {"busy": (30,), "phases": SMALL, "batch_size": 4, "memory": 10}, "batch_size=16"),
        ("StepOverhead", {**IDLE, "memory": 10, "steps_per_epoch": 20}, "batch_size=64"),
        ("StepOverhead", {**IDLE, "memory": 10, "steps_per_epoch": 9}, None),
        ("CPUUnderutilised", {**CPU_ONLY, "cpu": 25, "threads": 1}, "trainer.threads=4"),
        ("CPUUnderutilised", {**CPU_ONLY, "cpu": 25, "threads": 4}, "batch_size=128"),
        ("CPUUnderutilised", {**CPU_ONLY, "cpu": 25, "threads": 1, "processes": 2}, "trainer.threads=2"),
        ("CPUUnderutilised", {**CPU_ONLY, "cpu": 25, "threads": 2, "processes": 2}, "batch_size=128"),
        ("CPUUnderutilised", {**CPU_ONLY, "cpu": 25, "own_gib": 20.0}, "batch_size=48"),
        ("CPUUnderutilised", {**RANKS, "whole": True}, "batch_size=64"),
        ("CPUUnderutilised", {**RANKS, "whole": False}, "batch_size=48"),  # torchrun's: each has as much
        ("CPUUnderutilised", {**CPU_ONLY, "cpu": 25, "in_use": 79.0}, None),
        (
            "StepOverhead",
            {**IDLE, "memory": 10, "accumulate": 4, "steps_per_epoch": 9},
            "batch_size=128 trainer.accumulate_grad_batches=1",
        ),
        (
            "StepOverhead",
            {**IDLE, "memory": 40, "accumulate": 6},
            "batch_size=64 trainer.accumulate_grad_batches=3",
        ),
        ("StepOverhead", {**IDLE, "memory": 10, "accumulate": 3}, None),
        (
            "DataWait",
            {"phases": WAITING, "step": lambda n: 6e-4, "seconds": 40, "memory": 10, "loader_num_workers": 0},
            "batch_size=128",
        ),
        (
            "ValidationTime",
            {"phases": VALIDATING, "epochs": 8, "check_val_every_n_epoch": 1},
            "trainer.check_val_every_n_epoch=2",
        ),
        (
            "ValidationTime",
            {"phases": VALIDATING, "epochs": 8, "val_check_interval": 0.25},
            "trainer.val_check_interval=1.0",
        ),
        ("ValidationTime", {"phases": VALIDATING, "epochs": 3, "check_val_every_n_epoch": 1}, None),
        ("CheckpointTime", {"phases": {"checkpoint": 0.4, "forward": 0.6}}, None),
        ("GPUMemoryIncrease", {"memory": lambda t: 10 + t / 4}, None),
        ("LoadBalancing", {"busy": (95, 40)}, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rule_fires_and_says_what_to_change(rule: str, made: dict[str, Any], override: str | None) -> None:
    found = judged(profile(preset(), **made))
    assert found.verdicts[rule].triggered
    assert found.verdicts[rule].override == override
    assert found.verdicts[rule].advice


def test_five_minutes_are_enough_for_sane_and_not_for_aws() -> None:
    slow: dict[str, Any] = {"busy": (20,), "memory": 10, "cpu": 20, "seconds": 290}
    assert {"BatchSize", "LowGPUUtilization"} <= fired(profile(preset(), **slow))
    assert fired(profile(preset("aws"), **slow)) == set()
    assert {"BatchSize", "LowGPUUtilization"} <= fired(profile(preset("aws"), **slow | {"seconds": 800}))


def test_without_a_gpu_the_rules_about_gpus_say_so() -> None:
    found = judged(profile(preset("aws"), seconds=900, **CPU_ONLY, cpu=95))
    for rule in GPU_RULES:
        assert not found.verdicts[rule].looked and "no GPU" in found.verdicts[rule].sentence


def test_gpus_that_nobody_can_read_are_not_called_missing() -> None:
    found = judged(profile(preset(), busy=(), gpu_problem="NVML: Driver Not Loaded"))
    for rule in GPU_RULES:
        assert not found.verdicts[rule].looked and "Driver Not Loaded" in found.verdicts[rule].sentence


def test_a_full_gpu_is_not_given_a_larger_batch() -> None:
    advice = judged(profile(preset(), busy=(30,), memory=90)).verdicts["LowGPUUtilization"].advice
    assert "no room for a larger batch" in advice
    advice = judged(profile(preset(), busy=(30,), memory=30)).verdicts["LowGPUUtilization"].advice
    assert "with a larger batch" in advice and "batch_size=64" in advice


def test_rules_about_gpus_look_where_a_container_hides_the_cpu() -> None:
    made = Profile(preset(), (), 1, {"accelerator": "cuda"})
    for number in range(200):
        made.add_sample(number / 2, {"memory": 50.0}, [], [(20.0, 30.0)], training=True)
    assert made.watched_s == 100 and "LowGPUUtilization" in fired(made)


def test_one_busy_core_is_a_bottleneck_for_aws_alone() -> None:
    odd: dict[str, Any] = {"busy": (5,), "cpu": 40, "core": 99, "seconds": 600}
    found = fired(profile(preset("aws"), **odd))
    assert "CPUBottleneck" in found and "IOBottleneck" not in found  # it computes, and waits for no disk
    assert "CPUBottleneck" not in fired(profile(preset(), **odd))


def test_a_slow_leak_is_found_that_windows_miss() -> None:
    leaking = profile(preset("sane", *SELDOM), seconds=1500, memory=lambda t: 20 + t / 60)  # a point a minute
    assert "GPUMemoryIncrease" in fired(leaking)
    jump: dict[str, Any] = {"memory": lambda t: 40 if t < 600 else 70, "seconds": 700}
    assert "GPUMemoryIncrease" in fired(profile(preset("aws", *SELDOM), **jump))
    assert "GPUMemoryIncrease" not in fired(
        profile(preset("sane", *SELDOM), **jump)
    )  # the first validation, say
    full_from_the_start = profile(
        preset("sane", *SELDOM), seconds=1500, memory=lambda t: 90 if t > 20 else 90 * t / 20
    )
    assert "GPUMemoryIncrease" not in fired(full_from_the_start)


def test_a_dip_in_one_window_is_no_finding() -> None:
    dip = profile(preset(), seconds=600, busy=(lambda t: 20 if 200 < t < 300 else 95,))
    assert "LowGPUUtilization" not in fired(dip)


def test_few_outliers_or_cheap_ones_do_not_count() -> None:
    rare = profile(preset(), step=lambda n: 0.1 if n % 500 else 0.4)
    cheap = profile(preset(), step=lambda n: 0.1 if n % 50 else 0.16)
    assert fired(rare) == fired(cheap) == set()


def test_outliers_are_told_with_their_cause() -> None:
    split = {"data_wait": 0.9, "forward": 0.05, "backward": 0.05}
    made = profile(preset(), step=lambda n: 0.1 if n % 50 else 2.0)
    assert "Most of it went to backward" in judged(made).verdicts["StepOutlier"].sentence
    made = profile(preset(), phases=split, step=lambda n: 0.1 if n % 50 else 2.0)
    verdict = judged(made).verdicts["StepOutlier"]
    assert "data wait" in verdict.sentence and verdict.override
    assert verdict.details["outliers"][0][0] % 50 == 0


def test_a_long_start_fires_and_a_short_one_does_not() -> None:
    made = profile(preset("sane", "profiler.rules.MaxInitializationTime.threshold=0.05"))
    assert "MaxInitializationTime" in fired(made)  # 5 s
    assert "MaxInitializationTime" not in fired(profile(preset()))


def test_a_run_that_was_continued_is_judged_by_its_longest_start() -> None:
    made = profile(preset("sane", "profiler.rules.MaxInitializationTime.threshold=0.1"))  # 6 s
    made.phases_of_run["initialisation"], made.starts = 9.0, [4.0, 5.0]
    assert "MaxInitializationTime" not in fired(made)
    made.starts = [2.0, 7.0]
    sentence = judged(made).verdicts["MaxInitializationTime"].sentence
    assert (
        "MaxInitializationTime" in fired(made) and "7.0 s" in sentence and "longest of 2 starts" in sentence
    )


def test_what_costs_most_of_the_whole_loop_is_named_first() -> None:
    """Of a little training, half may be waiting: a validation that takes most of the loop matters more."""
    split = {"validation": 0.8, "data_wait": 0.06, "forward": 0.14}
    found = judged(profile(preset(), phases=split, epochs=8, check_val_every_n_epoch=1, **CPU_ONLY, cpu=90))
    assert {"DataWait", "ValidationTime"} <= set(found.triggered) and found.best == "ValidationTime"


def test_waiting_is_named_before_the_workers_that_are_missing() -> None:
    found = judged(profile(preset(), phases=WAITING, loader_num_workers=0, files=False))
    assert {"DataWait", "Dataloader"} <= set(found.triggered) and found.best == "DataWait"


@pytest.mark.parametrize(("own", "told"), [(30.0, True), (85.0, False), (None, False)])
def test_other_programs_on_the_machine_are_told(own: float | None, told: bool) -> None:
    made = profile(preset(), seconds=60, busy=(), accelerator="cpu", gpus=[])
    for number in range(200):
        found = {"cpu": 90.0, **({} if own is None else {"run_cpu": own})}
        made.add_sample(60 + number / 2, found, [90.0] * 4, (), training=True)
    sentences = judged(made).sentences
    assert ("other programs used 60 % of the cores" in sentences[0]) is told


def test_the_same_share_is_no_finding_with_a_batch_of_some_size() -> None:
    assert "StepOverhead" not in fired(profile(preset(), phases=SMALL, batch_size=8))
    assert "StepOverhead" not in fired(profile(preset(), phases={"backward": 1.0}, batch_size=1))


def test_uneven_steps_on_a_busy_machine_are_laid_to_the_others() -> None:
    made = profile(preset(), step=lambda n: 0.1 if n % 50 else 2.0)
    for number in range(2000):
        made.add_sample(300 + number / 2, {"cpu": 99.0, "run_cpu": 20.0}, [99.0] * 4, (), training=True)
    verdict = judged(made).verdicts["StepOutlier"]
    assert verdict.triggered and "Other programs used" in verdict.advice and verdict.override is None


def test_unequal_ranks_fire() -> None:
    made = profile(preset())
    even = {phase: 1.0 for phase in PHASES}
    made.ranks = [even, even]
    assert "LoadBalancing" not in fired(made)
    made.ranks = [even, {**even, "forward": 4.0}]
    found = judged(made)
    assert "LoadBalancing" in found.triggered and "33 % longer" in found.verdicts["LoadBalancing"].sentence


def test_a_small_difference_of_two_steady_gpus_is_no_finding() -> None:
    close: dict[str, Any] = {"busy": (98, 93), "seconds": 600}  # far apart for the histograms
    assert "LoadBalancing" in fired(profile(preset("aws"), **close))
    assert "LoadBalancing" not in fired(profile(preset(), **close))


def test_two_gpus_at_their_limit_are_alike() -> None:
    """AWS's histogram dropped what was above 98 %, so that nothing was left to compare."""
    made = profile(preset(), busy=(120, 120))  # clipped to 100
    assert distance(made.loads, "gpu0", "gpu1") == 0
    assert math.isclose(
        distance(profile(preset(), busy=(100, 0)).loads, "gpu0", "gpu1"), 0.8326, abs_tol=1e-3
    )


def test_the_cause_is_named_before_its_symptoms() -> None:
    found = judged(profile(preset(), busy=(20,), memory=10, cpu=20, phases=WAITING))
    assert {"LowGPUUtilization", "BatchSize", "DataWait"} <= set(found.triggered)
    assert found.best == "DataWait" and found.override == "data.num_workers=4"
    assert found.sentences[1].startswith("profile: DataWait: Training waited for data in 50 %")


def test_a_rule_that_is_switched_off_is_not_there() -> None:
    asked = preset("sane", "profiler.rules.DataWait=null")
    assert "DataWait" not in judged(profile(asked, phases=WAITING)).verdicts


def test_a_rule_that_fails_does_not_take_the_others_along(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = RULES["BatchSize"].__class__(lambda *_: 1 / 0, "", "")  # type: ignore[arg-type,return-value]
    monkeypatch.setitem(RULES, "BatchSize", broken)
    found = judged(profile(preset(), phases=WAITING))
    assert "ZeroDivisionError" in found.verdicts["BatchSize"].sentence
    assert caplog.text.count("rule BatchSize failed") == 1  # not once a look
    assert found.verdicts["DataWait"].triggered
