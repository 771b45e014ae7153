"""A cache comes from S3, and whoever wrote it made its checksums, too: every word of it is only data."""

from __future__ import annotations

import copy
import json
import shutil
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepmaker.data.cache import blob
from sweepmaker.data.cache.blob import Damaged
from sweepmaker.data.cache.features import obtain_features
from sweepmaker.data.packed import PackedSource
from sweepmaker.data.statistics import from_sums
from tests.data.cache.test_pixels import CROPS, module
from tests.images import class_tree

DEEP = 100_000
TEXT = b"the text of a description"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that is fine."""
    folder = tmp_path_factory.mktemp("hostile")
    root = class_tree(folder / "photos", images=2, size=(30, 20))
    (root / "train" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    whole = module(root, cache="disk", augment=CROPS, on_bad_image="skip", cache_dir=str(folder / "c"))
    assert whole.pixels is not None
    return whole.pixels.path


def parts(path: Path) -> tuple[bytes, Any]:
    content = path.read_bytes()
    _, size, length, _, _ = blob._TRAILER.unpack(content[-blob._TRAILER.size :])
    return content[:size], json.loads(content[size : size + length])


def write(path: Path, arrays: bytes, text: bytes) -> Path:
    """A file whose checksums are right."""
    trailer = blob._TRAILER.pack(blob._MAGIC, len(arrays), len(text), zlib.crc32(arrays), zlib.crc32(text))
    path.write_bytes(arrays + text + trailer)
    return path


def use(path: Path) -> None:
    """Read everything that a run may read of it."""
    source = PackedSource(path)
    for item in range(len(source.labels)):
        source.item_name(item)
        for side in source.pixels.sides():
            if (image := source.pixels.load(item, side)) is not None:
                assert min(image.shape[1:]) == side and int(image.long().sum()) >= 0
    assert all(0 <= label < len(source.class_names) for label in source.labels)
    good = [item for item in range(len(source.labels)) if item not in source.check()]
    from_sums(source.channel_sums(np.array(good, np.int64)))


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from places(node[key])


STRANGE = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(-3, 3), st.integers(-(2**70), 2**70),
    st.text(max_size=3), st.sampled_from(["|O", "<i4", "<f8", "|V8", "|u1", "<i8", "\ud800"]),
    st.sampled_from([10**400, [], [[1]], {}, [0.5], {"1": 1}]),
    st.lists(st.integers(-(2**64), 2**64), max_size=4),
)  # fmt: skip


def changed(content: Any, where: float, value: Any) -> Any:
    content = copy.deepcopy(content)
    found = list(places(content))
    node, key = found[int(where * len(found))]
    node[key] = value
    return content


@settings(max_examples=60, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), value=STRANGE, inner=st.booleans())
def test_any_word_of_it_may_be_a_lie(cache: Path, where: float, value: Any, inner: bool) -> None:
    arrays, described = parts(cache)
    place = described["sections"]["source"]
    begin, end = place["offset"], place["offset"] + place["shape"][0]
    if inner:  # what it says of its source; appended, since its length may be another one
        told = json.dumps(changed(json.loads(arrays[begin:end]), where, value)).encode()
        place["offset"], place["shape"] = len(arrays), [len(told)]
        arrays += told
    else:
        described = changed(described, where, value)
    path = write(cache.with_name("lies.cache"), arrays, json.dumps(described).encode())
    with suppress(Damaged):
        use(path)


@settings(max_examples=60, deadline=None)
@given(
    section=st.sampled_from(["entries", "place", "labels", "sums"]),
    where=st.floats(0, 1, exclude_max=True),
    value=st.one_of(st.integers(-2, 300), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**31, 2**32])),
)
def test_any_number_of_it_may_be_a_lie(cache: Path, section: str, where: float, value: int) -> None:
    arrays, described = parts(cache)
    place = described["sections"][section]
    content = bytearray(arrays)
    offset = place["offset"] + int(where * np.prod(place["shape"])) * 8
    content[offset : offset + 8] = value.to_bytes(8, "little", signed=True)
    path = write(cache.with_name("lies.cache"), bytes(content), json.dumps(described).encode())
    with suppress(Damaged):
        use(path)


SECTIONS = {
    "objects": {"dtype": "|O"},
    "before the file": {"offset": -64},
    "behind the file": {"offset": 1 << 40},
    "negative shape": {"shape": [-1, 2]},
    "endless": {"shape": [float("inf")]},
    "no axes": {"shape": []},
    "larger than any number": {"shape": [2**40, 2**40]},
    "not aligned": {"offset": 1},
}


@pytest.mark.parametrize("how", SECTIONS)
def test_a_section_that_lies_elsewhere(cache: Path, how: str) -> None:
    arrays, described = parts(cache)
    described["sections"]["entries"] |= SECTIONS[how]
    path = write(cache.with_name("lies.cache"), arrays, json.dumps(described).encode())
    with pytest.raises(Damaged):
        PackedSource(path)


@pytest.mark.parametrize(
    "text",
    [b"[" * DEEP, b'{"about": ' + b"[" * DEEP, b"[]", b'{"about": [[[], 1]], "sections": {}}', TEXT],
    ids=["deep", "deep inside", "a list", "no mapping", "text"],
)
def test_a_description_that_is_none(cache: Path, text: bytes) -> None:
    with pytest.raises(Damaged, match="description"):
        blob.open_blob(write(cache.with_name("lies.cache"), b"", text))


@pytest.mark.parametrize("word", ["deep", 10**20, float("inf"), [[1]], -1, 10**6])
def test_splits_that_are_none(cache: Path, word: Any) -> None:
    arrays, described = parts(cache)
    place = described["sections"]["source"]
    told = json.loads(arrays[place["offset"] : place["offset"] + place["shape"][0]])
    told["given"] = {"train": word if isinstance(word, list) else [word]}
    text = b"[" * DEEP if word == "deep" else json.dumps(told).encode()
    place["offset"], place["shape"] = len(arrays), [len(text)]
    with pytest.raises(Damaged, match="of its s"):
        use(write(cache.with_name("lies.cache"), arrays + text, json.dumps(described).encode()))


def test_sizes_that_wrap_around(cache: Path) -> None:
    """2**32 x 2**32 pixels times three are none in 64 bits."""
    arrays, described = parts(cache)
    content = bytearray(arrays)
    offset = described["sections"]["place"]["offset"]
    content[offset : offset + 24] = np.array([0, 1 << 32, 1 << 32]).tobytes()
    with pytest.raises(Damaged, match="index"):
        PackedSource(write(cache.with_name("lies.cache"), bytes(content), json.dumps(described).encode()))


def test_sums_that_no_pixels_have(cache: Path) -> None:
    arrays, described = parts(cache)
    place = described["sections"]["sums"]
    sums = (
        np.frombuffer(arrays, np.int64, int(np.prod(place["shape"])), place["offset"]).reshape(-1, 7).copy()
    )
    sums[:, 4:] = 0
    content = bytearray(arrays)
    content[place["offset"] : place["offset"] + sums.nbytes] = sums.tobytes()
    use(write(cache.with_name("lies.cache"), bytes(content), json.dumps(described).encode()))


def test_the_file_that_was_checked_is_the_one_that_is_mapped(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(cache, tmp_path / "a"))
    whole, check = path.read_bytes(), blob._check

    def replaced(*arguments: Any) -> None:
        check(*arguments)
        (tmp_path / "b").write_bytes(bytes(len(whole)))
        (tmp_path / "b").replace(path)

    monkeypatch.setattr(blob, "_check", replaced)
    assert bytes(blob.open_blob(path).bytes_[:1000]) == whole[:1000]


def _without(sections: Any, arrays: bytes, name: str) -> bytes:
    del sections[name]
    return arrays


def _another_shape(sections: Any, arrays: bytes, name: str) -> bytes:
    sections[name]["shape"] = [3, 3, 3]
    return arrays


def _fewer(sections: Any, arrays: bytes, name: str) -> bytes:
    sections[name]["shape"][0] -= 1
    return arrays


def _noise(sections: Any, arrays: bytes, name: str) -> bytes:
    sections[name]["offset"] = len(arrays)
    return arrays + b"\xff" * int(np.prod(sections[name]["shape"])) * 8


@pytest.mark.parametrize("lie", [_without, _another_shape, _fewer, _noise])
@pytest.mark.parametrize("section", ["entries", "place"])
def test_pixels_that_only_say_the_right_things_are_made_anew(
    tmp_path: Path, section: str, lie: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    root = class_tree(tmp_path / "photos", images=2, size=(30, 20))
    data = module(root, cache="disk")
    assert data.pixels is not None
    good = data.dataset("valid")[0][0]
    arrays, described = parts(data.pixels.path)
    arrays = lie(described["sections"], arrays, section)
    write(data.pixels.path, arrays, json.dumps(described).encode())
    assert torch.equal(module(root, cache="disk").dataset("valid")[0][0], good)
    assert "cannot be used: it" in capsys.readouterr().err
    module(root, cache="disk")
    assert capsys.readouterr().err == ""


def test_pixels_of_fewer_images_that_say_the_right_things_are_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = class_tree(tmp_path / "photos", images=2, size=(30, 20))
    data = module(root, cache="disk")
    assert data.pixels is not None
    arrays, described = parts(data.pixels.path)
    for name in ("entries", "place"):
        _fewer(described["sections"], arrays, name)
    write(data.pixels.path, arrays, json.dumps(described).encode())
    module(root, cache="disk")
    assert "it lacks 1 of 12 images; built anew" in capsys.readouterr().err


@pytest.mark.parametrize("lie", [_without, _another_shape, _fewer])
def test_features_that_only_say_the_right_things_are_made_anew(tmp_path: Path, lie: Any) -> None:
    shapes, said = {"train": (1, 4, 2)}, list[str]()

    def get() -> tuple[Any, Path]:
        return obtain_features({}, shapes, lambda split: [torch.ones(4, 2)], [tmp_path], say=said.append)

    path = get()[1]
    arrays, described = parts(path)
    lie(described["sections"], arrays, "train")
    write(path, arrays, json.dumps(described).encode())
    assert torch.equal(get()[0]["train"], torch.ones(1, 4, 2))
    assert len(said) == 1 and "built anew" in said[0]
    get()
    assert len(said) == 1
