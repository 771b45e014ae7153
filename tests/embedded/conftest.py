"""What the tests of the runtimes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launchers.embedded.runtimes.fork import Fork


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """One warm process, which takes seconds to start."""
    found = Fork(tmp_path_factory.mktemp("root"))
    yield found
    found.close()


@pytest.fixture
def runtime(warm: Fork) -> Fork:
    return warm
