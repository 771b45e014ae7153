"""Keys of the profiler node: each rule's parameters with what they may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sweepmaker.config.rules import BOOLEAN, NOTHING, Rule, either, integer, lacking, node, number, one_of
from sweepmaker.config.rules import TEXT as _TEXT

_PERCENT = number(least=0, most=100)
_SECONDS = number(least=0)
_WINDOW = {"patience_s": _SECONDS, "window_s": number(above=0)}
_BOTTLENECK = {
    "threshold": _PERCENT, "gpu_threshold": _PERCENT, "cpu_mode": one_of("mean", "any"),
    "patience_s": _SECONDS,
}  # fmt: skip

PARAMETERS: dict[str, dict[str, Rule]] = {
    "BatchSize": {
        "cpu_threshold_p95": _PERCENT, "gpu_threshold_p95": _PERCENT, "gpu_memory_threshold_p95": _PERCENT,
        **_WINDOW,
    },
    "LowGPUUtilization": {"threshold_p95": _PERCENT, "threshold_p5": _PERCENT, **_WINDOW},
    "DataWait": {"threshold": _PERCENT, "least_steps": integer(1)},
    "CPUBottleneck": {**_BOTTLENECK, "cpu_threshold": _PERCENT},
    "IOBottleneck": {**_BOTTLENECK, "io_threshold": _PERCENT},
    "Dataloader": {
        "min_threshold": number(least=0), "max_threshold": number(least=0),
        "data_wait": number(least=-1, most=100),
    },
    "StepOutlier": {
        "mad": either(number(above=0), NOTHING), "stddev": number(above=0), "n_outliers": integer(0),
        "least_lost": _PERCENT,
    },
    "StepOverhead": {"threshold": _PERCENT, "least_step_ms": _SECONDS, "least_steps": integer(1),
                     "few_images": integer(0), "fixed": _PERCENT},
    "ValidationTime": {"threshold": _PERCENT, "patience_s": _SECONDS},
    "CheckpointTime": {"threshold": _PERCENT, "patience_s": _SECONDS},
    "CPUUnderutilised": {"threshold_p95": _PERCENT, "data_wait": _PERCENT, **_WINDOW},
    "GPUMemoryIncrease": {
        "increase": _PERCENT, "per_minute": either(number(above=0), NOTHING), **_WINDOW,
    },
    "LoadBalancing": {"threshold": number(least=0, most=1), "rank_threshold": number(least=0),
                      "least_difference": _PERCENT,
                      "patience_s": _SECONDS},
    "MaxInitializationTime": {"threshold": number(least=0)},
    "OverallSystemUsage": {},
    "OverallFrameworkMetrics": {},
}  # fmt: skip

_KEYS = ("enabled", "preset", "sample_ms", "scan_s", "least_share", "trace", "trace_steps", "rules")

PROFILER_RULES: dict[str, Rule] = {
    "profiler": either(node(*_KEYS), NOTHING),
    "profiler.enabled": BOOLEAN,
    "profiler.preset": _TEXT,
    "profiler.sample_ms": integer(100, 60_000),
    "profiler.scan_s": number(least=1),
    "profiler.least_share": number(least=0, most=1),
    "profiler.trace": BOOLEAN,
    "profiler.trace_steps": integer(1, 100),
    "profiler.rules": node(*PARAMETERS),
    **{f"profiler.rules.{name}": either(node(*parameters), NOTHING) if parameters else either(node(), NOTHING)
       for name, parameters in PARAMETERS.items()},
    **{f"profiler.rules.{name}.{key}": rule
       for name, parameters in PARAMETERS.items() for key, rule in parameters.items()},
}  # fmt: skip


def check_whole(profiler: Mapping[str, Any]) -> None:
    """A preset that is not switched off has every key, and so has every rule in it.

    One without ``enabled``, an empty file say, would else be off without a word.

    Raises:
        ConfigError: one is missing.
    """
    if profiler.get("enabled") is False:
        return
    _whole(profiler, _KEYS, "profiler")
    for name, parameters in profiler["rules"].items():
        if parameters is not None:
            _whole(parameters, PARAMETERS[name], f"profiler.rules.{name}")


def _whole(given: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    for key in keys:
        if key not in given:
            raise lacking(f"{where}.{key}", f"presets with all keys of {where}: {', '.join(keys)}")
