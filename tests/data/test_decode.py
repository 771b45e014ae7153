"""Files as people have them become the pixels that people mean; broken ones name themselves."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torch import Tensor

from sweepmaker.config.errors import DataError
from sweepmaker.data.decode import decode_image, read_image
from sweepmaker.data.headers import read_header
from tests.images import encoded, photo, photo_jpeg

SMALL = (61, 45)


def with_pillow(data: bytes) -> Tensor:
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def decode(data: bytes, **options: int) -> Tensor:
    return decode_image(bytearray(data), name="x.jpg", **options)


FAST = {
    "4:2:0": encoded(photo(1, SMALL), "JPEG", quality=88, subsampling="4:2:0"),
    "4:2:2": encoded(photo(1, SMALL), "JPEG", quality=88, subsampling="4:2:2"),
    "4:4:4": encoded(photo(1, SMALL), "JPEG", quality=88, subsampling="4:4:4"),
    "full size": photo_jpeg(2),
    "progressive": encoded(photo(1, SMALL), "JPEG", progressive=True),
    "gray jpeg": encoded(photo(1, SMALL).convert("L"), "JPEG"),
    "webp": encoded(photo(1, SMALL), "WEBP", quality=80),
    "one pixel": encoded(photo(1, (1, 1)), "JPEG"),
}
PNG = encoded(photo(1, SMALL), "PNG")


@pytest.mark.parametrize("data", FAST.values(), ids=FAST.keys())
def test_fast_path_is_taken_and_equals_pillow_bit_by_bit(data: bytes) -> None:
    header = read_header(data)
    assert header is not None
    image = decode(data)
    assert (header.height, header.width) == tuple(image.shape[1:])
    assert image.dtype == torch.uint8
    assert torch.equal(image, with_pillow(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(3, SMALL), kind, exif=exif)
    image = decode(data)
    assert tuple(image.shape) == ((3, 45, 61) if orientation < 5 else (3, 61, 45))
    assert torch.equal(image, with_pillow(data))


def test_orientation_in_xmp_is_respected() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(photo(3, SMALL), "JPEG", xmp=xmp)
    assert tuple(decode(data).shape) == (3, 61, 45)


def test_cmyk() -> None:
    data = encoded(photo(4, SMALL).convert("CMYK"), "JPEG", quality=95)
    assert read_header(data) is None
    assert torch.equal(decode(data), with_pillow(data))


def test_palette() -> None:
    paletted = photo(5, SMALL).quantize(32)
    assert torch.equal(decode(encoded(paletted, "PNG")), with_pillow(encoded(paletted, "PNG")))
    assert torch.equal(decode(encoded(paletted, "GIF")), with_pillow(encoded(paletted, "GIF")))


def test_alpha_lies_over_white() -> None:
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 0))
    image.putpixel((1, 0), (0, 100, 0, 128))
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        pixels = decode(encoded(image, kind, **options))
        assert pixels[:, 0, 0].tolist() == [255, 255, 255]
        assert pixels[:, 0, 1].tolist() == pytest.approx([127, 177, 127], abs=1)


@pytest.mark.parametrize("mode", ["LA", "P", "L", "RGB"])
def test_other_kinds_of_transparency_lie_over_white(mode: str) -> None:
    if mode == "LA":
        data = encoded(Image.new("LA", (3, 2), (0, 0)), "PNG")
    elif mode == "P":
        paletted = Image.new("P", (3, 2), 1)
        paletted.putpalette([0, 0, 0, 10, 20, 30])
        data = encoded(paletted, "PNG", transparency=1)
    else:
        colour = 7 if mode == "L" else (7, 7, 7)
        data = encoded(Image.new(mode, (3, 2), colour), "PNG", transparency=colour)
    assert torch.equal(decode(data), torch.full((3, 2, 3), 255, dtype=torch.uint8))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    pixels = decode(encoded(Image.fromarray(values), kind))
    assert pixels[0, 0].tolist() == [0, 1, 128, 255]
    assert torch.equal(pixels[0], pixels[2])


def test_png() -> None:
    assert torch.equal(decode(PNG), with_pillow(PNG))
    gray = encoded(photo(1, SMALL).convert("L"), "PNG")
    assert torch.equal(decode(gray), with_pillow(gray))


def test_one_bit_and_bmp() -> None:
    stripes = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")
    assert decode(encoded(stripes, "PNG"))[1].tolist() == [[0, 255]]
    assert torch.equal(decode(encoded(photo(1, SMALL), "BMP")), with_pillow(PNG))


def test_content_decides_not_the_extension(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(PNG)
    assert torch.equal(read_image(tmp_path / "a.jpg"), with_pillow(PNG))


@pytest.mark.parametrize(
    "content",
    [
        b"this is not an image\n",
        b"",
        FAST["full size"][: len(FAST["full size"]) // 2],
        FAST["full size"][:-2],
        PNG[: len(PNG) // 2],
        FAST["webp"][: len(FAST["webp"]) // 2],
        b"\xff\xd8\xff",
    ],
    ids=["text", "empty", "half a jpeg", "no end", "half a png", "half a webp", "only a start"],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "żółw 1.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot decode .*żółw 1\.jpg"):
        read_image(path)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match=r"cannot read .*a\.jpg: No such file"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_decompression_bomb_is_refused_before_decoding(kind: str) -> None:
    data = encoded(Image.new("RGB", (200, 100)), kind)
    assert decode(data, max_pixels=20_000).shape == (3, 100, 200)
    with pytest.raises(DataError, match=r"200 x 100 = 20,000 pixels.*data.max_pixels=19,999"):
        decode(data[: len(data) * 3 // 4], max_pixels=19_999)


@settings(max_examples=150, deadline=None)
@given(
    which=st.sampled_from(["4:2:0", "png", "webp"]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    cut=st.integers(1, 20_000),
)
def test_broken_bytes_give_an_image_or_a_data_error(
    which: str, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray((FAST | {"png": PNG})[which][:cut])
    for at, value in changes:
        data[at % len(data)] = value
    try:
        image = decode_image(data, name="x.jpg", max_pixels=100_000)
    except DataError as error:
        assert "x.jpg" in str(error)
    else:
        assert image.shape[0] == 3 and image.dtype == torch.uint8
