"""What the ``profiler`` node of the config asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf


@dataclass(frozen=True)
class Settings:
    """The checked node ``profiler``.

    Attributes:
        preset: name of the thresholds, for the report.
        sample_s: between two readings of the machine.
        scan_s: between two looks of the rules at what was read.
        least_share: of the scans in which a rule about a window has to hold, for it to count as found.
        trace: record operators for a few steps.
        trace_steps: how many.
        rules: name -> its parameters; a rule that is switched off is not there.
    """

    preset: str
    sample_s: float
    scan_s: float
    least_share: float
    trace: bool
    trace_steps: int
    rules: Mapping[str, Mapping[str, Any]]


def read(cfg: DictConfig) -> Settings | None:
    """The settings in ``cfg``; None where the profiler is switched off or the config knows none."""
    if OmegaConf.select(cfg, "profiler.enabled", default=False) is not True:
        return None
    node: Any = OmegaConf.to_container(cfg.profiler, resolve=True)
    return Settings(
        preset=node["preset"],
        sample_s=node["sample_ms"] / 1000,
        scan_s=float(node["scan_s"]),
        least_share=float(node["least_share"]),
        trace=bool(node["trace"]),
        trace_steps=int(node["trace_steps"]),
        rules={name: parameters for name, parameters in node["rules"].items() if parameters is not None},
    )
