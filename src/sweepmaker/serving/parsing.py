"""From the body of a request to images: raw bytes, base64 text, JSON; nothing else is ever read.

What comes in is hostile until it is decoded: sizes are looked at before anything is decoded, JSON is
parsed once, and of Pillow's formats only those that photographs have are let in.
"""

from __future__ import annotations

import binascii
import json
from typing import Any

from torch import Tensor

from sweepmaker.config.errors import DataError
from sweepmaker.data.decode import TooLarge, decode_image
from sweepmaker.serving.errors import RequestError
from sweepmaker.serving.settings import Limits

RAW = ("application/octet-stream", "binary/octet-stream", "text/plain", "")
"""Content types whose body may be an image or base64 text; the content tells which."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*")
_SCANS = 20  # of a JPEG of limits.pixels; a usual progressive one has 10, each is a pass over all pixels
_NEITHER = f"the request is neither an image in a known format ({', '.join(FORMATS)}) nor base64 text of one"
_ALLOWED = (
    "image/* or application/octet-stream with the bytes of an image, text/plain or application/octet-stream "
    "with its base64, application/json"
)


class Images(list[Tensor]):
    """uint8 [3, H, W] each, RGB, upright.

    Attributes:
        single: the request holds one image and asks for one answer, not for a list.
        as_text: it came as base64 text.
    """

    single = True
    as_text = False


def parse(body: bytes | bytearray, content_type: str | None, limits: Limits) -> Images:
    """The images in the body of a request.

    Args:
        body: as it came.
        content_type: of it, with or without parameters; None: there was none.
        limits: what is above them is refused.

    Raises:
        RequestError: 400 what it is not, 413 too large, 415 a type that is not read.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if len(body) > limits.payload_mb * 2**20:
        raise RequestError(413, f"the request has {len(body)} bytes, more than {limits.payload_mb:g} MB")
    decoder = _Decoder(limits)
    if kind == "application/json" or kind.endswith("+json"):
        return _of_json(body, decoder)
    if kind not in RAW and not kind.startswith("image/"):
        raise RequestError(415, f"this content type is not read; allowed: {_ALLOWED}")
    images = Images()
    if not body:
        raise RequestError(400, "the request has no body; it takes an image")
    if not is_image(body):
        body = unpacked(body, _NEITHER)
        if not is_image(body):
            raise RequestError(400, _NEITHER)
        images.as_text = True
    images.append(decoder.image(body, "the image"))
    return images


def is_image(body: bytes | bytearray) -> bool:
    """Whether it begins as an image in one of `FORMATS`."""
    return body.startswith(_MAGIC) or (body[:4] == b"RIFF" and body[8:12] == b"WEBP")


def unpacked(text: bytes | bytearray, otherwise: str) -> bytes:
    """The bytes that base64 ``text`` stands for; either alphabet, line breaks, ``data:`` URLs, ``=`` or none.

    Raises:
        RequestError: 400 with ``otherwise``: it is no base64.
    """
    text = text.strip()
    if text[:5].lower() == b"data:":
        head, _, text = text.partition(b",")
        if not head.lower().endswith(b";base64"):
            raise RequestError(400, "a data: URL has to be base64: data:image/jpeg;base64,...")
    text = b"".join(text.split()).translate(_URL_SAFE).rstrip(b"=")
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        raise RequestError(400, otherwise) from None


_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _of_json(body: bytes | bytearray, decoder: _Decoder) -> Images:
    try:
        said = json.loads(body)
    except RecursionError:
        raise RequestError(400, "the JSON is nested too deeply") from None
    except ValueError:  # UnicodeDecodeError is one
        raise RequestError(400, "the body is not JSON") from None
    images = Images()
    if not isinstance(said, dict) or set(said) not in ({"image"}, {"instances"}):
        raise RequestError(400, _JSON)
    if "instances" not in said:
        images.append(decoder.of_text(_text(said, ""), ""))
        return images
    images.single = False
    instances = said["instances"]
    if not isinstance(instances, list) or not instances:
        raise RequestError(400, _JSON)
    if len(instances) > decoder.limits.instances:
        most = decoder.limits.instances
        raise RequestError(413, f"{len(instances)} instances are more than the {most} of a request")
    for number, instance in enumerate(instances):
        name = f"instances[{number}]: "
        images.append(decoder.of_text(_text(instance, name), name))
    return images


_JSON = 'the JSON has to be {"image": "<base64>"} or {"instances": ["<base64>", ...]}'


def _text(given: Any, name: str) -> bytes:
    """The base64 text in ``"..."``, ``{"image": ...}`` or ``{"b64": ...}``, one in another at most."""
    for _ in range(2):
        if isinstance(given, dict) and len(given) == 1 and (inner := given.keys() & {"image", "b64"}):
            given = given[inner.pop()]
    if not isinstance(given, str):
        raise RequestError(
            400, name + 'an image in JSON is base64 text: "..." or {"image": "..."} or {"b64": "..."}'
        )
    try:
        return given.encode("ascii")
    except UnicodeEncodeError:
        raise RequestError(400, f"{name}it is not base64 text") from None


class _Decoder:
    """Decodes the images of one request, whose pixels together have a limit."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._left = limits.pixels

    def of_text(self, text: bytes, name: str) -> Tensor:
        """The image that base64 ``text`` stands for; ``name`` begins messages."""
        content = unpacked(text, f"{name}it is not base64 text")
        if not is_image(content):
            raise RequestError(400, f"{name}it is base64 of something that is no {', '.join(FORMATS)}")
        return self.image(content, f"{name}the image")

    def image(self, content: bytes | bytearray, name: str) -> Tensor:
        """The image in ``content``.

        Raises:
            RequestError: 400 it is broken, 413 it has too many pixels.
        """
        most = self._left
        scans = content.count(b"\xff\xda") if content[:2] == b"\xff\xd8" else 0
        if scans > _SCANS:
            most = min(most, self.limits.pixels * _SCANS // scans)
        try:
            writable = content if isinstance(content, bytearray) else bytearray(content)  # as tensors want it
            image = decode_image(writable, name=name, max_pixels=most, formats=FORMATS)
        except TooLarge as error:
            count = f"{error.pixels:,} pixels, more" if error.pixels else "more pixels"
            raise RequestError(413, f"{name} has {count} than {self._why(most)}") from None
        except DataError as error:
            raise RequestError(400, error.message) from None
        except MemoryError:
            raise RequestError(413, f"{name} does not fit into memory") from None
        self._left -= image.shape[-1] * image.shape[-2]
        return image

    def _why(self, most: int) -> str:
        if most == self.limits.pixels:
            return f"the {most:,} of a request"
        if most == self._left:
            return f"are left of the {self.limits.pixels:,} of a request"
        return f"the {most:,} of a JPEG with so many scans"
