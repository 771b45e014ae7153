"""One thread a process, an environment that stays as it was, and in CI no skipped test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest import mock

# Before torch is imported anywhere: two test processes that each use every core slow each other
# down many times over, and a fixed thread count is part of what bit-equal results need.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
# A test that shows a figure is a mistake; one that needs a display fails on a server.
os.environ["MPLBACKEND"] = "Agg"

import pytest
from hypothesis import HealthCheck, settings

_skipped: list[tuple[str, str]] = []


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true")


if not _in_ci():  # where hypothesis itself takes no times
    settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("shared")


def _is_controller(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # An expected failure is reported as skipped too, but it did run.
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped.append((report.nodeid, reason))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _in_ci() and _is_controller(session.config) and _skipped and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _in_ci() and _skipped:
        terminalreporter.section("skipped, which is a failure in CI", red=True)
        for nodeid, reason in _skipped:
            terminalreporter.line(f"{nodeid}: {reason}")


@pytest.fixture(autouse=True)
def _environment_as_found() -> Iterator[None]:
    """What a test (or what it runs in this process) puts into os.environ goes with it."""
    with mock.patch.dict(os.environ):
        yield
