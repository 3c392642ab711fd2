"""One lab for all lab tests, because it takes seconds to build; each test loads its own rules into it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig.docker_host import why_unavailable
from tests.rig.lab import Lab

# Docker 20.10 filters IPv6 only if it is configured to.
IPV6_OPTIONS = ("--ipv6", "--fixed-cidr-v6=2001:db8:d0c::/64", "--experimental", "--ip6tables")


@pytest.fixture(scope="session")
def _engine_works() -> None:
    reason = why_unavailable()
    if reason:
        pytest.skip(f"no Docker lab: {reason}")


@pytest.fixture(scope="session")
def lab(_engine_works: None) -> Iterator[Lab]:
    """The lab, with the rules that the previous test left in it."""
    built = Lab()
    yield built
    built.delete()


@pytest.fixture(scope="module")
def legacy_lab(_engine_works: None) -> Iterator[Lab]:
    """A lab whose engine keeps its chains in the legacy backend."""
    built = Lab("legacy")
    yield built
    built.delete()


@pytest.fixture(scope="module")
def ipv6_lab(_engine_works: None) -> Iterator[Lab]:
    """A lab whose containers have IPv6 addresses, and whose engine publishes ports over IPv6 by DNAT."""
    built = Lab(engine_options=IPV6_OPTIONS)
    yield built
    built.delete()
