"""Trials forked from a warm process: what takes seconds to import is imported once."""

from __future__ import annotations

import sys
from pathlib import Path

from launchers.embedded.runtimes.starter import Starter


class Fork(Starter):
    """SIGTERM reaches the script itself.

    What only a starting interpreter can take notice of (PYTHON*, OMP_*, LD_*, ... in the job's Environment),
    commands and shell scripts are started afresh.

    Args:
        root: of the server.
    """

    name = "fork"
    warm = True

    def __init__(self, root: Path) -> None:
        super().__init__(root, Path(sys.executable))
