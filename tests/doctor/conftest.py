"""For the doctor's tests: namespaces, state directories and a Redis of the test's own."""

from __future__ import annotations

from tests.host.conftest import inside, state
from tests.kernel.conftest import _namespaces_work, backend, family, make_namespace, namespace
from tests.queue.conftest import _redis_server, redis_server
from tests.services.conftest import alice, host, queue

__all__ = [
    "_namespaces_work",
    "_redis_server",
    "alice",
    "backend",
    "family",
    "host",
    "inside",
    "make_namespace",
    "namespace",
    "queue",
    "redis_server",
    "state",
]
