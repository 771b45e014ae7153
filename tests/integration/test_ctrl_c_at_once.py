"""Ctrl-C in the first moments of a verb, while its libraries are imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERBS = sorted(path.name for path in ROOT.glob("*.py"))


@pytest.mark.parametrize("verb", VERBS)
def test_it_ends_without_a_traceback(verb: str, tmp_path: Path) -> None:
    (tmp_path / "hydra.py").write_text(
        "import sys, time\nprint('importing', flush=True)\ntime.sleep(60)\nsys.exit(9)\n"
    )
    started = subprocess.Popen(
        [sys.executable, ROOT / verb],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with started:
        assert started.stdout is not None
        assert started.stdout.readline() == "importing\n"
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=60)
    assert (started.returncode, out, err) == (130, "", "")
