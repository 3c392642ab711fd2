"""Fixtures for tests that look at and change the real kernel, in namespaces of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerfw.store.state import StateDirectory
from tests.rig.namespace import Namespace


@pytest.fixture
def inside(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    """A namespace which this test's own thread is in, so that `rules.host` works on it (root only)."""
    monkeypatch.setenv("XTABLES_LOCKFILE", namespace.environment["XTABLES_LOCKFILE"])
    try:
        entered = namespace.entered()
        entered.__enter__()
    except AssertionError as error:
        pytest.skip(str(error))
    yield namespace
    entered.__exit__(None, None, None)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    """A state directory of the test's own; a window that is left open in it is closed."""
    directory = StateDirectory(tmp_path / "state")
    directory.prepare()
    yield directory
    directory.close_window()
