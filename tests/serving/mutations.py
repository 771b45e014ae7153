"""Payloads that no client means to send: images damaged in every way, base64 noise, JSON of any shape."""

from __future__ import annotations

import base64
import json
import random
import struct
from typing import Any

from tests.serving.models import odd_images

KINDS = ("image/jpeg", "image/png", "application/octet-stream", "text/plain", "application/json", None)
_NUMBERS = (b"\x00", b"\xff", b"\x7f\xff", b"\xff\xff", b"\x80\x00\x00\x00", b"\x7f\xff\xff\xff", b"\xff" * 4)


class Mutations:
    """An endless source of them, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._images = [*odd_images().values()]

    def payload(self) -> tuple[bytes, str | None]:
        """A body and its content type."""
        make = self._random.choice((self._image, self._image, self._image, self._base64, self._json))
        return make(), self._random.choice(KINDS) if make is not self._json else "application/json"

    def _image(self) -> bytes:
        content = bytearray(self._random.choice(self._images))
        for _ in range(self._random.randint(1, 4)):
            self._random.choice((self._cut, self._flip, self._number, self._repeat, self._early))(content)
        return bytes(content)

    def _cut(self, content: bytearray) -> None:
        del content[self._random.randint(0, len(content)) :]

    def _flip(self, content: bytearray) -> None:
        for _ in range(self._random.randint(1, 20)):
            if content:
                content[self._random.randrange(len(content))] = self._random.randrange(256)

    def _number(self, content: bytearray) -> None:
        """Where sizes and lengths stand: most of them are near the beginning."""
        at = self._random.randint(0, min(len(content), 200))
        number = self._random.choice((*_NUMBERS, struct.pack("<I", self._random.getrandbits(32))))
        content[at : at + len(number)] = number

    def _repeat(self, content: bytearray) -> None:
        at = self._random.randint(0, len(content))
        part = content[at : at + self._random.randint(1, 300)]
        content[at:at] = part * self._random.randint(1, 20)

    def _early(self, content: bytearray) -> None:
        """One format's beginning before another's rest."""
        other = self._random.choice(self._images)
        content[: self._random.randint(0, 40)] = other[: self._random.randint(0, 40)]

    def _base64(self) -> bytes:
        text = bytearray(base64.b64encode(self._image()))
        self._random.choice((self._cut, self._flip, lambda _: None))(text)
        return self._random.choice((b"", b"data:image/png;base64,", b"data:,", b" \n")) + bytes(text)

    def _json(self) -> bytes:
        text = json.dumps(self._value(4))
        if self._random.random() < 0.2:
            mark = self._random.choice(("[", '{"image":', '{"instances":['))
            text = mark * self._random.randint(1, 50_000) + text
        return text.encode(self._random.choice(("utf-8", "utf-16", "utf-32")))

    def _value(self, depth: int) -> Any:
        choice = self._random.randint(0, 8 if depth else 5)
        if choice <= 1:
            return base64.b64encode(self._image()).decode()
        if choice == 2:
            return self._random.choice((None, True, -1, 1e308, float("nan"), 10**200, "", "\ud800", "é"))
        if choice <= 5:
            key = self._random.choice(("image", "instances", "b64", "image", "other"))
            return {key: self._value(max(0, depth - 1)) if depth else "x"}
        return [self._value(depth - 1) for _ in range(self._random.randint(0, 5))]
