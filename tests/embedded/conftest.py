"""What the tests of the runtimes share, and those of endpoints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launchers.embedded.runtimes.fork import Fork
from tests.embedded.hosting import Site, site_of_its_own


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """One warm process, which takes seconds to start."""
    found = Fork(tmp_path_factory.mktemp("root"))
    yield found
    found.close()


@pytest.fixture
def runtime(warm: Fork) -> Fork:
    return warm


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The services of one module's tests."""
    with site_of_its_own(tmp_path_factory.mktemp("site")) as found:
        yield found
