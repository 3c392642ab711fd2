"""How a run of the tests ends: what was left out is named, and status 1 says that only tests failed.

A test that needs something that is not here (root, Docker, a browser, Redis) skips itself with a sentence.
With CI=true that is a failure. Where several processes share the tests, the first one hears of all of them.
"""

from __future__ import annotations

import os
from collections import defaultdict

import pytest

# A run that fails by more than its tests: left out in CI, not collected, or with a worker that crashed.
# scripts/test runs the failed tests of such a run no second time.
MORE_THAN_TESTS = 6

LEFT_OUT: dict[str, set[str]] = defaultdict(set)
NOT_RUN: set[str] = set()


def in_ci() -> bool:
    """Return True if this run has to leave nothing out."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note each skipped test under its reason."""
    if report.skipped and not hasattr(report, "wasxfail"):
        longrepr = report.longrepr
        reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        LEFT_OUT[reason.removeprefix("Skipped: ")].add(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note each skipped file under its reason, and each file that cannot be read."""
    if report.skipped and isinstance(report.longrepr, tuple):
        LEFT_OUT[report.longrepr[2].removeprefix("Skipped: ")].add(report.nodeid)
    if report.failed:
        NOT_RUN.add(report.nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str) -> None:
    """Note each test that ended its process."""
    NOT_RUN.add(crashitem)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out, and why."""
    if not LEFT_OUT:
        return
    terminalreporter.section("left out" + (", which CI=true does not allow" if in_ci() else ""))
    for reason, names in sorted(LEFT_OUT.items()):
        folders = sorted({name.split("::")[0] for name in names})
        terminalreporter.write_line(f"left out: {len(names)} in {', '.join(folders)}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a CI run that left something out, and tell apart a run that fails by more than its tests."""
    more = NOT_RUN or (in_ci() and LEFT_OUT)
    if more and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        session.exitstatus = MORE_THAN_TESTS
