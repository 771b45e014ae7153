"""Image files as people have them -> RGB tensors.

Common JPEG and WebP go through torchvision's decoders (about 1.4 times Pillow's speed, same
pixels); all else through Pillow: PNG, CMYK, palettes, alpha (over white), 16 bits, other formats.
The content decides, not the extension.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, decode_webp

from sweepmaker.config.errors import DataError
from sweepmaker.data.headers import Header, read_header

MAX_PIXELS = 178_956_970
"""Pillow's own limit against decompression bombs: twice ``Image.MAX_IMAGE_PIXELS``."""


class TooLarge(DataError):
    """An image with more pixels than are allowed.

    Attributes:
        pixels: how many it has; None: so many that it was not looked at further.
    """

    pixels: int | None = None


_SIXTEEN_BITS = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})


def read_image(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Decode a file, turned upright.

    Args:
        path: any format that Pillow reads.
        max_pixels: an image with more pixels is refused before it is decoded.

    Returns:
        uint8 [3, H, W], RGB.

    Raises:
        DataError: it cannot be read or decoded; the message names the file.
    """
    return decode_image(read_file(path), name=show(path), max_pixels=max_pixels)


def read_file(path: Path | str) -> bytearray:
    """A file's bytes (writable, so that a tensor can share them).

    Raises:
        DataError: it cannot be read; the message names the file.
    """
    try:
        with open(path, "rb", buffering=0, opener=_open) as file:  # a tenth of a Path's cost
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DataError(f"cannot read {show(path)}: it is not a regular file")
            return bytearray(file.read())
    except OSError as error:
        raise DataError(f"cannot read {show(path)}: {error.strerror or error}") from error


def _open(path: str, flags: int) -> int:
    """Without waiting: a FIFO would, for somebody to write to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def decode_image(
    data: bytearray, *, name: str, max_pixels: int = MAX_PIXELS, formats: tuple[str, ...] | None = None
) -> Tensor:
    """Decode the bytes of an image file; as ``read_image``, with ``name`` for messages.

    ``formats`` are the only ones of Pillow's that are tried, where they are given: some run other programs.
    """
    header = read_header(data)
    if header is not None:
        _check_size(header.width, header.height, name, max_pixels)
        try:
            return _fast(header, data)
        except RuntimeError:
            pass  # broken, or a form it lacks: Pillow decodes it or says what is wrong
    return _with_pillow(data, name, max_pixels, formats)


def show(path: Path | str) -> str:
    """A path as text that can always be printed and stored (names need not be UTF-8)."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _fast(header: Header, data: bytearray) -> Tensor:
    encoded = torch.frombuffer(data, dtype=torch.uint8)
    image: Tensor
    if header.kind == "jpeg":
        image = decode_jpeg(encoded, mode=ImageReadMode.RGB, apply_exif_orientation=True)
    else:
        image = decode_webp(encoded, mode=ImageReadMode.RGB)
    return image


def _with_pillow(data: bytearray, name: str, max_pixels: int, formats: tuple[str, ...] | None) -> Tensor:
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # ours is the limit; it is checked below
    if not data:
        raise DataError(f"cannot decode {name}: the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            _check_size(image.width, image.height, name, max_pixels)
            pixels = np.asarray(_rgb(ImageOps.exif_transpose(image)))
    except (DataError, MemoryError):
        raise
    except Image.DecompressionBombError as error:  # more than twice of what is allowed
        raise TooLarge(
            f"{name} has more pixels than data.max_pixels={max_pixels:,}: {error}",
            fix="data.max_pixels=..., if the file can be trusted",
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(f"cannot decode {name}: it is not an image that Pillow knows") from error
    except Exception as error:  # broken files raise almost anything; all of it means the same
        raise DataError(f"cannot decode {name}: {error}") from error
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BITS or image.mode == "I":
        return _sixteen_bits(image)
    if image.mode == "F":
        raise ValueError("it has floating-point pixels, whose range is not known")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's hint about palettes with transparency
            image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _sixteen_bits(image: Image.Image) -> Image.Image:
    """0..65535 -> 0..255 by scaling; Pillow's ``convert`` would clip at 255."""
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise ValueError("it has 32-bit pixels, whose range is not known")
    gray = ((values * 255 + 32767) // 65535).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        error = TooLarge(
            f"{name} has {width} x {height} = {width * height:,} pixels, "
            f"more than data.max_pixels={max_pixels:,}",
            fix=f"data.max_pixels={width * height}, if the file can be trusted",
        )
        error.pixels = width * height
        raise error
