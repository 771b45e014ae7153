"""A disk that fills up at any moment: one message with the file, exit code 1, and the run goes on later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweepmaker.run import reader
from tests.integration.runs import TINY, Ended, train

# Python runs it first: from a given write on there is no room for files whose names begin so.
FULL = """
import errno, os, tempfile
left = int(os.environ["FULL_AFTER"])
def refusing(make):
    def made(*args, **kwargs):
        global left
        if str(kwargs.get("prefix")).startswith(os.environ["FULL_FOR"]):
            if left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/random.tmp")
            left -= 1
        return make(*args, **kwargs)
    return made
tempfile.mkstemp, tempfile.mkdtemp = refusing(tempfile.mkstemp), refusing(tempfile.mkdtemp)
"""

slow = pytest.mark.slow
# temporary file -> writes that still work, the file in the message, the state afterwards
CASES = [
    (".run.json.", 0, "run.json", None),
    (".run.json.", 1, "run.json", "interrupted"),  # never written again: its process is gone
    pytest.param(".metrics.csv.", 0, "metrics.csv", "failed", marks=slow),
    pytest.param(".model.", 0, "model", "failed", marks=slow),
    pytest.param(".confusion_test.png.", 0, "confusion_test.csv and .png", "failed", marks=slow),
    pytest.param(".next.ckpt.", 0, "checkpoints/last.ckpt", "failed", marks=slow),
]


def full(tmp_path: Path, prefix: str, after: int) -> Ended:
    (tmp_path / "sitecustomize.py").write_text(FULL)
    return train(
        *TINY, "debug=fast", f"hydra.run.dir={tmp_path / 'run'}",
        PYTHONPATH=str(tmp_path), FULL_FOR=prefix, FULL_AFTER=str(after),
    )  # fmt: skip


@pytest.mark.parametrize(("prefix", "after", "file", "state"), CASES)
def test_a_full_disk(prefix: str, after: int, file: str, state: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = full(tmp_path, prefix, after)
    assert ended.code == 1, ended.err
    assert "Traceback" not in ended.err and "Logging error" not in ended.err
    assert ended.err.count("error: ") == 1
    assert f"error: could not write {folder / file}: No space left on device\n  fix: free disk" in ended.err
    record = reader.read(folder)
    assert (None if record is None else record["state"]) == state
    if state is None:
        assert not folder.exists()  # it never began
        return
    assert f"resume={folder}" in ended.err
    again = train(f"resume={folder}")
    assert again.code == 0, again.err
    assert json.loads((folder / "run.json").read_text())["state"] == "completed"
    assert (folder / "model" / "model.json").exists() and (folder / "confusion_test.png").exists()
