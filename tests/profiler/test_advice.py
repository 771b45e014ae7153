"""What the rules advise, and when they had better not: bursts of batches, busy GPUs, memory nobody read."""

from __future__ import annotations

import pytest

from sweepmaker.profiler.phases import PHASES
from sweepmaker.profiler.report.files import of_rule
from sweepmaker.profiler.rules.batches import larger_batch
from tests.profiler.recorded import Profile, judged, preset, profile
from tests.profiler.test_rules import AROUND, WAITING, fired


@pytest.mark.parametrize(("workers", "override"), [(0, "data.num_workers=4"), (1, "data.num_workers=4")])
def test_batches_that_come_in_bursts_are_waited_for(workers: int, override: str) -> None:
    """Four at a time: the median wait is 50 us, and 80 % of the time goes by waiting."""
    waits = {"data_wait": 0.8, "forward": 0.2}
    made = profile(preset(), phases=waits, step=lambda n: 6e-5 if n % 4 else 2.5, loader_num_workers=workers)
    assert made.durations.quantile("data_wait", 0.5) < 1e-4
    assert judged(made).verdicts["DataWait"].override == override


def test_a_rule_that_is_voted_down_advises_nothing() -> None:
    """It holds as the run ends, but held too seldom before."""
    made = profile(preset(), seconds=300, busy=(lambda t: 95 if t < 240 else 20,), memory=10, cpu=20)
    verdict = judged(made).verdicts["LowGPUUtilization"]
    assert not verdict.triggered and verdict.advice == "" and verdict.override is None and verdict.gain == 1
    assert verdict.sentence.startswith("It held in ") and "looks, fewer than the 15" in verdict.sentence
    kept = of_rule(made, judged(made), "LowGPUUtilization")
    assert kept["RuleTriggered"] == 0 and kept["Advice"] == "" and kept["Override"] is None


@pytest.mark.parametrize("busy", [95, 72])
def test_a_busy_gpu_has_no_steps_that_are_too_small(busy: float) -> None:
    """Whoever reads a result first waits for it: with a progress bar that is a callback."""
    made = profile(preset(), busy=(busy,), phases=AROUND, memory=10, batch_size=4)
    assert not judged(made).verdicts["StepOverhead"].triggered


def test_steps_that_are_all_unlike_the_others_have_no_length() -> None:
    """One step an epoch, a debugger that samples each: then nothing is known to be too short."""
    made, row = Profile(preset(), facts={"accelerator": "cpu"}), [0.0] * len(PHASES)
    row[PHASES.index("backward")] = 0.1
    made.add_steps(20.0, [(row, 32, True)] * 200)
    verdict = judged(made).verdicts["StepOverhead"]
    assert verdict.looked and not verdict.triggered and "nan" not in verdict.sentence


def test_memory_that_nobody_read_may_be_full() -> None:
    made = Profile(preset(), (), 1, {"accelerator": "cuda", "batch_size": 32, "keys": ["batch_size"]})
    other = Profile(preset(), (), 0, {"accelerator": "mps", "batch_size": 32, "keys": ["batch_size"]})
    for number in range(200):
        for each, gpus in ((made, [(20.0, None)]), (other, [])):
            each.add_sample(number / 2, {"memory": 10.0}, [], gpus, training=True)
    assert "LowGPUUtilization" in fired(made)
    assert larger_batch(made) is None and larger_batch(other) is None
    made.add_sample(200.0, {}, [], [(20.0, 10.0)], training=True)
    assert larger_batch(made) == "batch_size=128"


def test_keys_that_another_module_may_understand_otherwise_are_not_recommended() -> None:
    found = judged(profile(preset(), phases=WAITING, keys=[]))
    verdict = found.verdicts["DataWait"]
    assert verdict.triggered and verdict.override is None
    assert "num_workers=4" in verdict.advice
