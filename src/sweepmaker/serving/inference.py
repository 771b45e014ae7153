"""The handler: the four functions that SageMaker's inference toolkit looks for, over a model artifact.

No input is ever unpickled: the toolkit's own ``input_fn`` runs code from an ``application/x-npy`` body.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError
from sweepmaker.serving import answers
from sweepmaker.serving.answers import Prediction
from sweepmaker.serving.errors import RequestError
from sweepmaker.serving.model import Model, load
from sweepmaker.serving.parsing import Images, parse
from sweepmaker.serving.settings import RULES, Limits


def model_fn(model_dir: str, context: Any = None) -> Model:
    """The model in ``model_dir``; SWEEPMAKER_ENGINE, SWEEPMAKER_THREADS and SWEEPMAKER_TOP_K may say how.

    Raises:
        UserError: the artifact is broken, or the engine cannot be had.
    """
    return load(
        model_dir,
        engine=_engine(),
        threads=_number("SWEEPMAKER_THREADS", "threads", 1),
        top_k=_number("SWEEPMAKER_TOP_K", "top_k", 5),
        choices=Choices(),
    )


def _engine() -> str:
    name = os.environ.get("SWEEPMAKER_ENGINE") or "auto"
    if not RULES["engine"].passes(name):
        raise ConfigError(
            f"{name!r} is not allowed", key="SWEEPMAKER_ENGINE", allowed=RULES["engine"].allowed
        )
    return name


def _number(variable: str, key: str, otherwise: int) -> int:
    text = os.environ.get(variable, "")
    number = int(text) if text.isdecimal() else otherwise
    if text and not (text.isdecimal() and RULES[key].passes(number)):
        raise ConfigError(f"{text!r} is not allowed", key=variable, allowed=RULES[key].allowed)
    return number


def input_fn(body: bytes | bytearray | str, content_type: str | None, context: Any = None) -> Images:
    """The images of a request: uint8 [3, H, W] each, RGB, upright.

    Args:
        body: raw image, base64 text, or JSON.
        content_type: of it.
        context: its ``limits`` (`Limits`) count, where it has any.

    Raises:
        RequestError: 400, 413 or 415 with a message.
    """
    limits = getattr(context, "limits", None)
    body = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return parse(body, content_type, limits if isinstance(limits, Limits) else Limits())


def predict_fn(images: Sequence[Tensor], model: Model, context: Any = None) -> Prediction:
    """What ``model`` says of ``images``.

    Raises:
        RequestError: 422: it has no finite answer for one of them.
    """
    probabilities = torch.softmax(model.logits(images), dim=1)
    if not torch.isfinite(probabilities).all():
        raise RequestError(422, "the model answers this image with nan")
    return Prediction(
        probabilities,
        model.classes,
        model.top_k,
        single=getattr(images, "single", True),
        as_text=getattr(images, "as_text", False),
    )


def output_fn(prediction: Prediction, accept: str | None, context: Any = None) -> tuple[bytes, str]:
    """The body of the answer and its content type.

    Raises:
        RequestError: 406: the client accepts neither JSON nor plain text.
    """
    return answers.answer(prediction, accept)
