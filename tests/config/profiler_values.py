"""For every rule of the profiler's node: values that pass it, and values that do not."""

from __future__ import annotations

from sweepmaker.config.profiler_keys import PARAMETERS

Values = tuple[list[object], list[object]]

_PERCENT: Values = ([0, 12.5, 100], [-1, 101, "70", None, True])
_SECONDS: Values = ([0, 0.5, 3600], [-1, "30", None, True])
_COUNT: Values = ([1, 500], [0, 1.5, None, True])
_OF_PARAMETERS: dict[str, Values] = {
    "patience_s": _SECONDS,
    "window_s": ([0.5, 60], [0, -1, "60", None]),
    "cpu_mode": (["mean", "any"], ["max", None, True]),
    "least_steps": _COUNT,
    "least_step_ms": ([0, 1.5], [-1, None]),
    "min_threshold": ([0, 70, 250], [-1, None]),
    "max_threshold": ([0, 200], [-1, None]),
    "mad": ([None, 6, 0.5], [0, -1, "six"]),
    "stddev": ([3, 0.5], [0, None]),
    "n_outliers": ([0, 10], [-1, 0.5, None]),
    "few_images": ([0, 4], [-1, 0.5, None]),
    "per_minute": ([None, 0.2], [0, -1, "a"]),
    "rank_threshold": ([0, 0.2, 3], [-0.1, None]),
}
_OF_RULES: dict[str, Values] = {  # where a name means something else than elsewhere
    "Dataloader.data_wait": ([-1, 0, 10], [-2, 101, None]),
    "LoadBalancing.threshold": ([0, 0.5, 1], [1.1, -0.1, None]),
    "MaxInitializationTime.threshold": ([0, 20, 600], [-1, None]),
}

PROFILER_VALUES: dict[str, Values] = {
    "profiler": ([{"enabled": False}, {}, None], [3, "sane", {"interval": 1}]),
    "profiler.enabled": (
        [False],  # true asks for all other keys: test_profiler_keys.py
        [1, "yes", None],
    ),
    "profiler.preset": (["sane", "mine"], ["", None, 3]),
    "profiler.sample_ms": ([100, 500, 60_000], [99, 60_001, 0.5, None]),
    "profiler.scan_s": ([1, 60, 2.5], [0.5, None, "60"]),
    "profiler.least_share": ([0, 0.5, 1], [-0.1, 1.1, None]),
    "profiler.trace": ([True, False], [1, None]),
    "profiler.trace_steps": ([1, 100], [0, 101, None]),
    "profiler.rules": ([{"DataWait": None}, {}], [None, 3, {"DateWait": {}}]),
}
for _rule, _parameters in PARAMETERS.items():
    _wrong: list[object] = [3, "off", *([{"treshold": 1}] if _parameters else [])]
    PROFILER_VALUES[f"profiler.rules.{_rule}"] = ([{}, None], _wrong)
    for _name in _parameters:
        _values = _OF_RULES.get(f"{_rule}.{_name}") or _OF_PARAMETERS.get(_name, _PERCENT)
        PROFILER_VALUES[f"profiler.rules.{_rule}.{_name}"] = _values
