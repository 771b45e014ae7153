"""From probabilities to the body of an answer, in what the client accepts."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sweepmaker.serving.errors import RequestError

JSON, TEXT = "application/json", "text/plain"


@dataclass(frozen=True)
class Prediction:
    """What the model says of the images of one request.

    Attributes:
        probabilities: float32 [N, C], each row sums to 1.
        classes: C names.
        top_k: classes in an answer.
        single: one answer is asked for, not a list.
        as_text: the image came as text, and so does the answer where the client has no preference.
    """

    probabilities: Tensor
    classes: tuple[str, ...]
    top_k: int = 5
    single: bool = True
    as_text: bool = False

    def numbers(self) -> list[int]:
        """The most probable class of each image."""
        return [int(number) for number in self.probabilities.argmax(dim=1)]

    def rows(self) -> list[dict[str, Any]]:
        """``class``, ``label``, ``probability`` and ``top`` (a list of these three) of each image."""
        count = min(self.top_k, self.probabilities.shape[1])
        values, places = self.probabilities.topk(count, dim=1)
        found: list[dict[str, Any]] = []
        for number, top, indices in zip(self.numbers(), values.tolist(), places.tolist(), strict=True):
            entries = [self._entry(index, value) for value, index in zip(top, indices, strict=True)]
            probability = float(self.probabilities[len(found), number])
            found.append({**self._entry(number, probability), "top": entries})
        return found

    def _entry(self, number: int, probability: float) -> dict[str, Any]:
        label = self.classes[number] if self.classes else str(number)
        return {"class": number, "label": label, "probability": probability}


def answer(prediction: Prediction, accept: str | None) -> tuple[bytes, str]:
    """The body and its content type.

    JSON is an object for one image, ``{"predictions": [...]}`` for a list; text has a class number a line.

    Raises:
        RequestError: 406 neither of them is accepted.
    """
    if negotiated(accept, prefer=TEXT if prediction.as_text else JSON) == TEXT:
        return "\n".join(map(str, prediction.numbers())).encode(), TEXT
    rows = prediction.rows()
    said: Any = rows[0] if prediction.single else {"predictions": rows}
    return json.dumps(said, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace"), JSON


def negotiated(accept: str | None, prefer: str = JSON) -> str:
    """The content type that an Accept header (RFC 9110, 12.5.1) asks for; ``prefer`` where it does not care.

    Raises:
        RequestError: 406 neither JSON nor text is accepted.
    """
    if accept is None or not accept.strip():
        return prefer
    offered = [prefer, *({JSON, TEXT} - {prefer})]
    weights = {kind: _weight(accept, kind) for kind in offered}
    best = max(offered, key=lambda kind: weights[kind])  # of equals the first
    if weights[best] <= 0:
        raise RequestError(
            406, f"there are answers in {JSON} (class, label, probability) and {TEXT} (the class number)"
        )
    return best


def _weight(accept: str, kind: str) -> float:
    """What the most precise range that fits says of ``kind``: 0 to 1."""
    said: dict[int, float] = {}
    for part in accept.lower().split(","):
        pattern, *parameters = (word.strip() for word in part.split(";"))
        precision = [kind, kind.partition("/")[0] + "/*", "*/*"]
        if pattern in precision:
            place = precision.index(pattern)
            said[place] = max(said.get(place, 0.0), _quality(parameters))
    return said[min(said)] if said else 0.0


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if found := re.fullmatch(r"q\s*=\s*([01](?:\.\d{0,3})?)", parameter):
            return min(1.0, float(found[1]))
    return 1.0
