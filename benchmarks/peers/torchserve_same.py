"""TorchServe with our own handler's functions: the same reading, the same engine, another server."""

import base64
import os
from typing import Any

from sweepmaker.serving import inference

_model: Any = None


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[str]:
    """What TorchServe calls, once without data."""
    global _model
    if _model is None:
        _model = inference.model_fn(os.environ["SERVING_MODEL_DIR"])
    answers = []
    for row in data or []:
        image = base64.b64decode(row["body"]["image"])  # TorchServe has read the JSON
        prediction = inference.predict_fn(inference.input_fn(image, "image/jpeg"), _model)
        answers.append(inference.output_fn(prediction, "application/json")[0].decode())
    return answers
