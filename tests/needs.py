"""What a test needs from the machine: asked for by name, and missing it is said with its cure."""

from __future__ import annotations

from pathlib import Path

import pytest


def needs_package(path: str | Path, apt: str) -> None:
    """Skip the test (in CI: fail the session) unless Debian's ``apt`` has put ``path`` there."""
    if not Path(path).exists():
        pytest.skip(f"{path} is missing; install it with: apt-get install {apt}")
