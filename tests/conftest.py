"""For all tests: their fixtures, their markers, and what runs together where several processes share them."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.browser.chromium import browser, playwright
from tests.rig.append_only import flush_despite_triggers

__all__ = ["browser", "flush_despite_triggers", "playwright"]

pytest_plugins = [
    *(f"tests.rig.{name}_fixtures" for name in ("kernel", "host", "redis", "web", "page", "command")),
    "tests.rig.run_status",
]

# One folder a kind of real thing: its tests carry the marker without each repeating it.
MARKERS = {
    "tests/kernel/": "kernel",
    "tests/lab/": "lab",
    "tests/browser/": "browser",
    "tests/compose/": "compose",
}
# Each has a world that takes seconds to build: the tests of such a folder stay in one process.
WORLDS = ("tests/compose/", "tests/lab/", "tests/differential/")
# A process with any of these starts a run of dockerfw, Chromium and two admins for all that it gets of them:
# three do that, not six.
BROWSERS = (
    ("tests/browser/test_window", "tests/browser/test_devices", "tests/browser/test_sessions"),
    ("tests/browser/test_together", "tests/browser/test_exposure", "tests/browser/test_lock_out"),
    ("tests/browser/test_story", "tests/browser/test_meaning"),
)
# What takes longest comes first, so that no process is left with much at the end.
LONGEST = (
    "tests/compose/",
    "tests/firewalls/",
    "tests/engines/",
    "tests/lab/",
    "tests/test_roots_code",
    "tests/faults/",
    "tests/browser/",
    "tests/upgrades/",
    "tests/backup/",
    "tests/test_run",
    "tests/differential/",
    "tests/test_installation",
    "tests/command_line/test_",
    "tests/agent/",
    "tests/worker/",
    "tests/bindings/",
    "tests/kernel/",
    "tests/site/test_flood",
    "tests/site/test_web_worker",
)
# Each test of these builds a world of its own, so that they need not stay together.
APART = ("tests/firewalls/test_neighbours", "tests/engines/test_cells")
# These files build labs of their own, so that they need not stay with those that share one.
OWN_LABS = tuple(
    f"tests/lab/test_{name}"
    for name in (
        *("docker_flushed", "docker_nftables", "drift", "forwarded", "legacy", "named_bridge"),
        *("own_addresses", "own_jump", "ways_in"),
    )
)
# A busy machine is slow, not wrong.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")


def pytest_configure() -> None:
    """Let Django be called from a browser test."""
    # Playwright's synchronous API runs an event loop in the test's thread, which Django takes for async code.
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Say which tests stay together where several processes share them."""
    return _Together(config, log)


class _Together(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a process a file at a time, but for worlds and for tests that have nothing in common."""

    def _split_scope(self, nodeid: str) -> str:
        own = nodeid if nodeid.startswith(APART) else nodeid.split("::")[0]
        if nodeid.startswith(OWN_LABS):
            return own
        together = (files[0] for files in BROWSERS if nodeid.startswith(files))
        return next(together, next((folder for folder in WORLDS if nodeid.startswith(folder)), own))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with what it needs, and begin with what takes longest where processes share them."""
    for item in items:
        for folder, marker in MARKERS.items():
            if item.nodeid.startswith(folder):
                item.add_marker(marker)
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    ranks = (rank for rank, start in enumerate(LONGEST) if item.nodeid.startswith(start))
    return next(ranks, len(LONGEST))
