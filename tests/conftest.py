"""For all tests: end by naming what was left out, and with CI=true call that a failure.

A test that needs something that is not here (root, Docker, a browser, Redis) skips itself with a sentence.
This gathers those sentences, so that a run that proved less than it could says so before its last line.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any

import pytest

from tests.append_only import flush_despite_triggers

__all__ = ["flush_despite_triggers"]

# One folder a kind of real thing: its tests carry the marker without each repeating it.
MARKERS = {"tests/kernel/": "kernel", "tests/lab/": "lab", "tests/browser/": "browser"}
LEFT_OUT = pytest.StashKey[dict[str, set[str]]]()
LEFT_OUT_FILES: dict[str, set[str]] = defaultdict(set)


def in_ci() -> bool:
    """Say whether this run has to leave nothing out."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing left out."""
    config.stash[LEFT_OUT] = {}
    # Playwright's synchronous API runs an event loop in the test's thread, which Django takes for async code.
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of a folder with the kind of real thing that they need."""
    for item in items:
        for folder, marker in MARKERS.items():
            if item.nodeid.startswith(folder):
                item.add_marker(marker)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Note each skipped test under its reason."""
    report: pytest.TestReport = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        longrepr = report.longrepr
        reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        item.config.stash[LEFT_OUT].setdefault(reason.removeprefix("Skipped: "), set()).add(item.nodeid)
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note each skipped file under its reason (this hook is given no config)."""
    if report.skipped and isinstance(report.longrepr, tuple):
        LEFT_OUT_FILES[report.longrepr[2].removeprefix("Skipped: ")].add(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was left out, and why."""
    left_out = config.stash[LEFT_OUT]
    for reason, files in LEFT_OUT_FILES.items():
        left_out.setdefault(reason, set()).update(files)
    if not left_out:
        return
    terminalreporter.section("left out" + (", which CI=true does not allow" if in_ci() else ""))
    for reason, names in sorted(left_out.items()):
        folders = sorted({name.split("::")[0] for name in names})
        terminalreporter.write_line(f"left out: {len(names)} in {', '.join(folders)}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a CI run that left something out."""
    if in_ci() and exitstatus == 0 and (session.config.stash[LEFT_OUT] or LEFT_OUT_FILES):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
