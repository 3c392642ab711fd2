"""One lab for all lab tests, since it takes seconds to build; each test loads its own rules into it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.docker_host import why_unavailable
from tests.lab.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab, with whatever rules the test before left in it."""
    reason = why_unavailable()
    if reason:
        pytest.skip(f"no Docker lab: {reason}")
    built = Lab()
    yield built
    built.delete()
