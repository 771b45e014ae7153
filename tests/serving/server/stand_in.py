"""A handler that does as a request says, so that tests see what becomes of it: crash, hang, take a while.

A body is JSON: ``{"do": "echo", ...}``. ``SERVING_GATE`` names a file that the model waits for, and
``SERVING_BREAK`` one that keeps a worker from starting as long as it is there.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sweepmaker.config.errors import UserError
from sweepmaker.serving.errors import RequestError


@dataclass(frozen=True)
class Said:
    """One entry for each request that was computed together."""

    probabilities: list[dict[str, Any]]


def model_fn(model_dir: str, context: Any = None) -> str:
    gate, broken = os.environ.get("SERVING_GATE"), os.environ.get("SERVING_BREAK")
    while gate and not Path(gate).exists():
        time.sleep(0.01)
    if broken and Path(broken).exists():
        raise UserError("the model is broken", fix="mend it")
    print("the model is there")
    return model_dir


def input_fn(body: bytearray, content_type: str | None, context: Any = None) -> list[dict[str, Any]]:
    if body.startswith(b"\x89PNG"):  # the warm-up
        return [{"do": "echo"}]
    try:
        asked = json.loads(body)
        do = asked["do"]
    except (ValueError, KeyError, TypeError):
        raise RequestError(400, "this is no order") from None
    if do == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if do == "late":
        time.sleep(asked["seconds"])
        os.kill(os.getpid(), signal.SIGSEGV)
    if do == "once":  # ends the first worker that tries it, as if memory had run out
        mark = Path(asked["mark"])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if do == "defect":
        raise RuntimeError("a defect")
    if do == "memory":
        raise MemoryError
    if do == "exhausted":
        raise torch.OutOfMemoryError("CUDA out of memory")
    if do == "lost":
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")
    return [asked | {"bytes": len(body), "type": content_type}]


def predict_fn(images: list[dict[str, Any]], model: str, context: Any = None) -> Said:
    seconds = max(float(one.get("seconds", 0)) for one in images)
    while any("wait" in one and not Path(one["wait"]).exists() for one in images):
        time.sleep(0.005)
    time.sleep(seconds)
    return Said([one | {"pid": os.getpid(), "together": len(images)} for one in images])


def output_fn(prediction: Said, accept: str | None, context: Any = None) -> Any:
    if prediction.probabilities[0]["do"] == "object":
        return prediction.probabilities[0]
    return json.dumps(prediction.probabilities[0]), "application/json"
