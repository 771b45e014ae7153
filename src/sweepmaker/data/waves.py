"""Many small pieces of work on images, in threads, with a bounded number of waiting results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_waves(
    work: Callable[[Given], Made], pieces: Iterable[Given], threads: int, *, name: str, wave: int = 64
) -> Iterator[Made]:
    """``work(piece)`` for any number of pieces, in their order; torch uses one thread for each meanwhile.

    Args:
        work: called in one of the threads.
        pieces: taken as they are needed.
        threads: that work at once.
        name: of the threads.
        wave: pieces a thread that are taken together; twice as many, and their results, lie in memory.

    Raises:
        Exception: whatever ``work`` raises; what has not begun by then does not begin.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the pieces are what runs in parallel
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        remaining = iter(pieces)
        current = pool.map(work, islice(remaining, threads * wave))
        while True:
            following = list(islice(remaining, threads * wave))
            upcoming = pool.map(work, following)
            yield from current
            if not following:
                return
            current = upcoming
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
