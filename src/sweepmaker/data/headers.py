"""What the first bytes of an image file say, read without decoding: size, and which way to go.

Only what decides between torchvision's fast decoders and Pillow: ``None`` from any function means
"not sure", and Pillow then decides. PNG is always Pillow's: torchvision's decoder (0.29) dies of a
segmentation fault on some broken files, and takes the process along.
"""

from __future__ import annotations

from dataclasses import dataclass

_START_OF_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True)
class Header:
    """An image that torchvision decodes as people mean it."""

    kind: str  # jpeg | webp
    width: int
    height: int


def read_header(data: bytes | bytearray) -> Header | None:
    """The header of an image fit for the fast path, else None (Pillow's turn)."""
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8 ":
        return _webp(data)
    return None


def _jpeg(data: bytes | bytearray) -> Header | None:
    """Baseline or progressive, 8 bits, gray or YCbCr; not CMYK, not an orientation in XMP."""
    at, end = 2, len(data) - 9
    while at < end:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _WITHOUT_LENGTH:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _START_OF_FRAME:
            bits, parts = data[at + 4], data[at + 9]
            if bits != 8 or parts not in (1, 3):
                return None
            height, width = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (5, 7))
            return Header("jpeg", width, height)
        xmp = marker == 0xE1 and data[at + 4 : at + 8] != b"Exif"
        if xmp and data.find(b"Orientation", at, at + 2 + length) >= 0:
            return None  # torchvision looks only into Exif
        at += 2 + length
    return None


def _webp(data: bytes | bytearray) -> Header | None:
    """The simple lossy form: neither alpha, animation nor metadata (RFC 9649, section 2.5)."""
    if len(data) < 30 or data[23:26] != b"\x9d\x01\x2a":
        return None
    width, height = (int.from_bytes(data[i : i + 2], "little") & 0x3FFF for i in (26, 28))
    return Header("webp", width, height)
