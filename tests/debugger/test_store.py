"""The file of observations: readable at any time, whole or not at all, cut back on resume."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepmaker.debugger.store import Store, read

RECORDS = [
    {"kind": "step", "step": number, "text": "é" * number, "x": [0.1, float("inf")]} for number in range(5)
]


@given(cut=st.integers(0, 10_000), junk=st.binary(max_size=40))
def test_a_cut_off_file_gives_its_whole_records(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("store") / "folder" / "observations.jsonl.gz"
    store = Store(path)
    sizes = [0]
    for record in RECORDS:
        store.append(record)
        sizes.append(store.size)
    whole = path.read_bytes()
    cut %= len(whole)
    path.write_bytes(whole[:cut])
    expected = sum(size <= cut for size in sizes[1:])
    assert list(read(path)) == RECORDS[:expected]
    store.truncate(sizes[expected])
    store.append({"kind": "more"})
    assert list(read(path)) == [*RECORDS[:expected], {"kind": "more"}]
    path.write_bytes(whole + b"\x1f\x8b" + junk[:1])  # a member that a kill cut off in its first bytes
    assert list(read(path)) == RECORDS


def test_any_gzip_reads_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "file")
    for record in RECORDS:
        store.append(record)
    lines = gzip.decompress((tmp_path / "file").read_bytes()).decode().splitlines()
    assert [json.loads(line) for line in lines] == RECORDS


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert list(read(tmp_path / "none")) == []
    assert Store(tmp_path / "none").size == 0


def test_other_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(b"[1]\n"))
    with pytest.raises(ValueError, match="other things"):
        list(read(tmp_path / "file"))
