"""What the server is told: by ``deploy.py``'s config, on its own command line, by SageMaker's variables."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweepmaker.config.errors import ConfigError
from sweepmaker.serving.settings import RULES, Limits, Options

HANDLER = "sweepmaker.serving.inference"

# name of a setting -> the key of conf/deploy.yaml whose rule it has
_KEYS = {
    "host": "host",
    "port": "port",
    "workers": "workers",
    "threads": "threads",
    "engine": "engine",
    "top_k": "top_k",
    "batch_max": "batch.max",
    "batch_latency_ms": "batch.latency_ms",
    "payload_mb": "limits.payload_mb",
    "pixels": "limits.pixels",
    "instances": "limits.instances",
    "queue": "limits.queue",
    "timeout_s": "limits.timeout_s",
}
_TEXTS = ("host", "engine")
_LIMITS = ("payload_mb", "pixels", "instances", "queue", "timeout_s")

# as AWS's inference toolkit names them, and as the handler does
_VARIABLES = {
    "SWEEPMAKER_ENGINE": "engine",
    "SWEEPMAKER_THREADS": "threads",
    "SWEEPMAKER_TOP_K": "top_k",
    "SAGEMAKER_BIND_TO_PORT": "port",
    "SAGEMAKER_MODEL_SERVER_WORKERS": "workers",
    "SAGEMAKER_MODEL_SERVER_TIMEOUT": "timeout_s",
    "SAGEMAKER_MAX_PAYLOAD_IN_MB": "payload_mb",
}


@dataclass(frozen=True)
class Settings:
    """All that a server is told; None stands for ``auto``. Units and meaning: conf/deploy.yaml."""

    model_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int | None = None
    threads: int = 1
    engine: str = "auto"
    top_k: int = 5
    batch_max: int | None = None
    batch_latency_ms: float = 2.0
    limits: Limits = field(default_factory=Limits)
    handler: str = HANDLER

    @classmethod
    def of(cls, folder: Path, options: Options) -> Settings:
        """Of ``deploy.py action=serve``."""
        names = (
            "host",
            "port",
            "workers",
            "threads",
            "engine",
            "top_k",
            "batch_max",
            "batch_latency_ms",
            "limits",
        )
        return cls(folder, **{name: getattr(options, name) for name in names})

    @classmethod
    def read(cls, words: Sequence[str], environment: Mapping[str, str]) -> Settings:
        """Of a command line, and of SageMaker's variables where it says nothing.

        Raises:
            ConfigError: a value is not allowed; the message names the option or the variable.
            SystemExit: the command line is none (or asks for help).
        """
        given: dict[str, tuple[str, str]] = {}  # name -> (who says it, text)
        for variable, name in _VARIABLES.items():
            if text := environment.get(variable, ""):
                given[name] = (variable, text)
        options = vars(_parser().parse_args(list(words)))
        for name in _KEYS:
            if (text := options[name]) is not None:
                given[name] = ("--" + name.replace("_", "-"), text)
        values = {name: _value(name, *said) for name, said in given.items()}
        limits = Limits(**{name: values.pop(name) for name in _LIMITS if name in values})
        return cls(Path(options["model_dir"]), limits=limits, handler=options["handler"], **values)

    def for_worker(self, cores: int) -> dict[str, Any]:
        """What a worker has to know, as JSON can have it."""
        environment = {
            "SWEEPMAKER_ENGINE": self.engine,
            "SWEEPMAKER_THREADS": str(self.threads),
            "SWEEPMAKER_TOP_K": str(self.top_k),
        }
        return {
            "model_dir": str(self.model_dir.absolute()),
            "handler": self.handler,
            "limits": vars(self.limits),
            "cores": cores,
            "environment": environment,
        }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sweepmaker.serving.server",
        description="Serve a model artifact over HTTP. What the options mean stands in conf/deploy.yaml.",
    )
    parser.add_argument("--model-dir", required=True, help="the artifact: a run's model/ folder")
    parser.add_argument(
        "--handler", default=HANDLER, help="module with model_fn, input_fn, predict_fn, output_fn"
    )
    for name, key in _KEYS.items():
        parser.add_argument("--" + name.replace("_", "-"), help=f"{key}: {RULES[key].allowed}")
    return parser


def _value(name: str, who: str, text: str) -> Any:
    rule = RULES[_KEYS[name]]
    value: Any = text
    if name not in _TEXTS and text != "auto":
        try:
            value = float(text)
        except ValueError:
            raise ConfigError(f"{text!r} is not allowed", key=who, allowed=rule.allowed) from None
        value = int(value) if value.is_integer() else value
    if not rule.passes(value):
        raise ConfigError(f"{text!r} is not allowed", key=who, allowed=rule.allowed)
    if name in ("batch_latency_ms", "payload_mb", "timeout_s"):
        return float(value)
    return None if value == "auto" and name != "engine" else value
