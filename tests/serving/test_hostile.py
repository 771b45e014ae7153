"""Whatever the body of a request is, it is an image or a RequestError, in bounded time and memory."""

from __future__ import annotations

import base64
import io
import json
import resource
import struct
import time
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sweepmaker.serving import inference
from sweepmaker.serving.answers import negotiated
from sweepmaker.serving.errors import RequestError
from sweepmaker.serving.settings import Limits
from tests.images import encoded, photo
from tests.serving.mutations import KINDS, Mutations


class Context:
    limits = Limits(pixels=1_000_000)


def take(body: bytes, kind: str | None) -> int | None:
    """The number of images in a request; None: it was refused with a message."""
    try:
        images = inference.input_fn(body, kind, Context)
    except RequestError as error:
        assert 400 <= error.status < 500
        assert 0 < len(error.message) < 500
        return None
    assert all(image.ndim == 3 and image.shape[0] == 3 for image in images)
    return len(images)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_damaged_images_noise_and_odd_json(seed: int) -> None:
    take(*Mutations(seed).payload())


def test_some_of_the_mutations_are_still_images() -> None:
    """Else the test above would only see the first check refuse."""
    mutations = Mutations(0)
    taken = [take(*mutations.payload()) for _ in range(300)]
    assert 20 < sum(one is not None for one in taken) < 280


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.one_of(st.sampled_from(KINDS), st.text(max_size=30)))
def test_any_bytes_and_any_content_type(body: bytes, kind: str | None) -> None:
    take(body, kind)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(("image", "instances", "b64", "x")), inner, max_size=3)
    ),
)


@settings(max_examples=200, deadline=None)
@given(_JSON)
def test_any_json(said: Any) -> None:
    take(json.dumps(said).encode(), "application/json")


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.none(), st.text(), st.from_regex(r"([a-z*]+/[a-z*]+(; ?q=[0-9.]*)?,? ?)*", fullmatch=True))
)
def test_any_accept(accept: str | None) -> None:
    try:
        assert negotiated(accept) in ("application/json", "text/plain")
    except RequestError as error:
        assert error.status == 406


def claims(width: int, height: int) -> dict[str, bytes]:
    """Small files whose headers claim ``width`` x ``height`` pixels."""
    jpeg = bytearray(encoded(photo(0, (16, 16)), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    png = bytearray(encoded(photo(0, (16, 16)), "PNG"))
    png[16:24] = struct.pack(">II", width, height)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    gif = bytearray(encoded(photo(0, (16, 16)).convert("P"), "GIF"))
    gif[6:10] = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    bmp = bytearray(encoded(photo(0, (16, 16)), "BMP"))
    bmp[18:26] = struct.pack("<ii", width, height)
    webp = bytearray(encoded(photo(0, (16, 16)), "WEBP"))
    webp[26:30] = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
    tiff = encoded(photo(0, (16, 16)), "TIFF")
    for tag, value in ((256, width), (257, height)):
        at = tiff.index(struct.pack("<HHI", tag, 4, 1))
        tiff = tiff[: at + 8] + struct.pack("<I", value) + tiff[at + 12 :]
    kinds = {"jpeg": jpeg, "png": png, "gif": gif, "bmp": bmp, "webp": webp}
    return {**{name: bytes(content) for name, content in kinds.items()}, "tiff": tiff}


@pytest.mark.parametrize("kind", claims(1, 1))
def test_giant_dimensions_are_refused_before_anything_is_decoded(kind: str) -> None:
    body = claims(65_000, 16_000)[kind]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(RequestError) as error:
        inference.input_fn(body, "image/jpeg")
    assert error.value.status == 413, error.value.message
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB; it would be 3 GB


def test_a_bomb_of_instances_is_one_request() -> None:
    """Each of them is allowed alone."""
    one = base64.b64encode(encoded(Image.new("L", (900, 900)), "PNG")).decode()
    assert len(one) < 5000
    with pytest.raises(RequestError, match=r"instances\[1\].*more than are left"):
        inference.input_fn(json.dumps({"instances": [one] * 200}).encode(), "application/json", Context)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    """Each scan of a progressive JPEG is a pass over all its pixels, and costs a few bytes."""
    buffer = io.BytesIO()
    photo(0, (900, 900)).save(buffer, "JPEG", progressive=True, quality=30)
    whole = buffer.getvalue()
    assert take(whole, "image/jpeg") == 1
    last = whole.rindex(b"\xff\xda")
    scan = whole[last:-2]
    with pytest.raises(RequestError, match="so many scans") as error:
        inference.input_fn(whole[:-2] + scan * 200 + whole[-2:], "image/jpeg", Context)
    assert error.value.status == 413
