"""Signals and random states of the test process stay as they were."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from sweepmaker.run import interrupt, rng


@pytest.fixture(autouse=True)
def _process_as_found() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    handlers = {signum: signal.getsignal(signum) for signum in numbers}
    state = rng.capture()
    yield
    rng.restore(state)
    for signum, handler in handlers.items():
        signal.signal(signum, handler)
    interrupt._state.requested, interrupt._state.doing = None, None
