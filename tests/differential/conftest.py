"""One world for all differential tests, because it takes seconds to build; each test loads its own rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.world import World
from tests.rig.docker_host import why_unavailable


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The world, with the rules that the previous test left in it."""
    reason = why_unavailable()
    if reason:
        pytest.skip(f"no world without a Docker engine: {reason}")
    built = World()
    yield built
    built.delete()
