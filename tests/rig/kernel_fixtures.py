"""Fixtures for tests on the real kernel: namespaces that go with the test, each backend, each family.

Other folders import them by name from here in their own conftest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.rig.namespace import BACKENDS, FAMILIES, Backend, Family, Namespace, why_unavailable

__all__ = ["backend", "family", "make_namespace", "namespace"]


@pytest.fixture(scope="session")
def _namespaces_work() -> None:
    reason = why_unavailable()
    if reason:
        pytest.skip(f"no network namespace can be made: {reason}")


@pytest.fixture
def make_namespace(_namespaces_work: None) -> Iterator[Callable[..., Namespace]]:
    """Make any number of namespaces: `make_namespace("client")`."""
    made: list[Namespace] = []

    def make(label: str = "test") -> Namespace:
        made.append(Namespace(label))
        return made[-1]

    yield make
    for namespace in reversed(made):
        namespace.delete()


@pytest.fixture
def namespace(make_namespace: Callable[..., Namespace]) -> Namespace:
    """One empty namespace with its loopback interface up."""
    return make_namespace()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each of the two backends: "nft", then "legacy"."""
    value: Backend = request.param
    return value


@pytest.fixture(params=FAMILIES, ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest) -> Family:
    """Each of the two families: 4, then 6."""
    value: Family = request.param
    return value
