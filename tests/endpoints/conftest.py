"""A model that was trained, and services in this process to deploy it to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from launchers.endpoints import standing
from tests.embedded.hosting import Site, site_of_its_own
from tests.endpoints.deploying import a_run, at


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_run(tmp_path_factory.mktemp("here") / "outputs" / "2026-11-23" / "10-00-00")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_of_its_own(tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture
def account(one: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(standing, "_LOOK_S", 0.05)
    return at(one, monkeypatch)
