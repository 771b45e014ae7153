"""The one key of a root."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from launchers.embedded.key import Key
from sweepmaker.config.errors import UserError


def test_a_root_keeps_its_key(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    key = Key.of_root(path)
    assert (len(key.access_key_id), len(key.secret_access_key)) == (20, 40)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Key.of_root(path) == key != Key.of_root(tmp_path / "other.json")
    assert key.secret_access_key not in repr(key)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["key.json", "other.json"]
    path.write_text("{}")
    with pytest.raises(UserError, match="is not the key"):
        Key.of_root(path)


def test_two_processes_make_one_key(tmp_path: Path) -> None:
    found: list[Key] = []
    threads = [
        threading.Thread(target=lambda: found.append(Key.of_root(tmp_path / "key.json"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
