"""What conf/deploy.yaml may hold, checked before a model is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sweepmaker.config.errors import ConfigError
from sweepmaker.config.rules import (
    AUTO,
    BOOLEAN,
    NOTHING,
    TEXT,
    Rule,
    either,
    integer,
    node,
    number,
    one_of,
    refused,
    several,
)

HERE = ("serve", "predict")
ENDPOINTS = ("deploy", "list", "delete", "invoke")
WHOSE = "a run's folder, its model folder, a sweep's folder, a tuning job's name, or best"
"""What ``run`` may be."""
ENGINES = ("auto", "onnx", "openvino", "eager", "compile", "plain")

RULES: dict[str, Rule] = {
    "action": one_of(*HERE, *ENDPOINTS),
    "run": either(TEXT, NOTHING),
    "runs": either(TEXT, several(TEXT), NOTHING),
    "engine": one_of(*ENGINES),
    "threads": integer(1, 1024),
    "top_k": integer(1, 1000),
    "host": TEXT,
    "port": integer(0, 65535),
    "workers": either(AUTO, integer(1, 1024)),
    "batch": node("max", "latency_ms"),
    "batch.max": either(AUTO, integer(1, 1024)),
    "batch.latency_ms": number(least=0, most=1000),
    "limits": node("payload_mb", "pixels", "instances", "queue", "timeout_s"),
    "limits.payload_mb": number(above=0, most=1024),
    "limits.pixels": integer(1, 2**31),
    "limits.instances": integer(1, 100_000),
    "limits.queue": either(AUTO, integer(1, 100_000)),
    "limits.timeout_s": number(above=0, most=3600),
    "images": either(TEXT, NOTHING),
    "output": TEXT,
    "name": either(TEXT, NOTHING),
    "endpoint": node("instance", "count", "serverless", "startup_s", "image"),
    "register": either(TEXT, NOTHING),
    "wait": BOOLEAN,
    "confirm": BOOLEAN,
    "dry_run": BOOLEAN,
}
"""What is below ``endpoint`` and ``where`` is checked by whoever makes requests of it."""


@dataclass(frozen=True)
class Limits:
    """What of a request is refused without being computed.

    Attributes:
        payload_mb: of its body, 2^20 bytes.
        pixels: decoded, of all its images together.
        instances: images in it.
        queue: requests that may wait; None: chosen by the server.
        timeout_s: seconds until an answer has to be there.
    """

    payload_mb: float = 6.0
    pixels: int = 50_000_000
    instances: int = 256
    queue: int | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Options:
    """The config of one ``deploy.py``, as conf/deploy.yaml describes it; None stands for ``auto``."""

    action: str
    run: str | None
    runs: tuple[str, ...] | None
    engine: str
    threads: int
    top_k: int
    host: str
    port: int
    workers: int | None
    batch_max: int | None
    batch_latency_ms: float
    limits: Limits
    images: str | None
    output: str


def options(cfg: DictConfig) -> Options:
    """The checked options.

    Raises:
        ConfigError: an unknown key, or a value that is not allowed.
    """
    given = _flat(cfg)
    for key, value in given.items():
        if key not in RULES:
            near = get_close_matches(key, RULES, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"there is no such key{hint}", key=key, allowed=", ".join(RULES))
        if not RULES[key].passes(value):
            near = get_close_matches(str(value), RULES[key].allowed.split(", "), n=1)
            fix = f"{key}={near[0]}" if near and isinstance(value, str) else None
            raise refused(key, value, RULES[key], fix)
    if missing := [key for key in RULES if key not in given]:
        raise ConfigError("is needed; null or its default is what it means to leave it out", key=missing[0])
    _go_together(given)
    runs = given["runs"]
    return Options(
        action=given["action"],
        run=given["run"],
        runs=None if runs is None else (runs,) if isinstance(runs, str) else tuple(runs),
        engine=given["engine"],
        threads=given["threads"],
        top_k=given["top_k"],
        host=given["host"],
        port=given["port"],
        workers=_number(given["workers"]),
        batch_max=_number(given["batch.max"]),
        batch_latency_ms=float(given["batch.latency_ms"]),
        limits=Limits(
            payload_mb=float(given["limits.payload_mb"]),
            pixels=given["limits.pixels"],
            instances=given["limits.instances"],
            queue=_number(given["limits.queue"]),
            timeout_s=float(given["limits.timeout_s"]),
        ),
        images=given["images"],
        output=given["output"],
    )


def _flat(cfg: DictConfig) -> dict[str, Any]:
    """The keys with those below ``batch`` and ``limits`` by their whole names."""
    given: dict[str, Any] = dict(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    given.pop("where", None)
    for name in ("batch", "limits"):
        below = given.get(name)
        if isinstance(below, Mapping):
            given |= {f"{name}.{key}": value for key, value in below.items()}
    return given


def _number(value: Any) -> int | None:
    return None if value == "auto" else int(value)


def _go_together(given: Mapping[str, Any]) -> None:
    if given["action"] in (*HERE, "deploy") and given["run"] is None and given["runs"] is None:
        raise ConfigError(
            "is needed: whose model?",
            key="run",
            allowed=WHOSE,
            fix="run=best for the best run below outputs and multirun",
        )
    if given["runs"] is not None and given["run"] not in (None, "best"):
        raise ConfigError("goes with run=best", key="runs", fix="leave run out, or runs")
    if given["action"] == "predict" and given["images"] is None:
        raise ConfigError("is needed: what is to be predicted?", key="images",
                          allowed="a folder, a glob or a file", fix="images=FOLDER")  # fmt: skip
