"""Progress on stderr: a bar on a terminal, one plain line elsewhere (stdout carries results)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yield ``items`` unchanged while showing how many of ``total`` are done."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as rich_track

        yield from rich_track(items, description, total=total, console=Console(stderr=True))
        return
    start = time.monotonic()
    yield from items
    seconds = time.monotonic() - start
    print(f"{description}: {total} in {seconds:.1f} s", file=sys.stderr, flush=True)
