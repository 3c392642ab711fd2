"""For the tests of services, selectors and commands: a real Redis, one host, two admins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from rules.audit.actors import Actor
from rules.link import client
from rules.models import Host
from rules.pages.host_selectors import host_default
from rules.seen import snapshot_selectors
from tests.rig.redis_fixtures import RedisServer
from tests.rig.signing import write_signing_key


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the key that the web signs with."""
    return write_signing_key(tmp_path_factory.mktemp("signing"))


@pytest.fixture
def queue(redis_server: RedisServer, settings: Settings, signing_key: Path) -> Iterator[RedisServer]:
    """An empty Redis that the web's client talks to."""
    settings.REDIS_URL = redis_server.url
    settings.SIGNING_KEY_FILE = signing_key
    client.connection.cache_clear()
    snapshot_selectors._newest.clear()
    yield redis_server
    client.connection.cache_clear()


@pytest.fixture
def no_queue(settings: Settings, signing_key: Path) -> Iterator[None]:
    """A Redis that is down."""
    settings.SIGNING_KEY_FILE = signing_key
    settings.REDIS_URL = "unix:///nonexistent/dockerfw/redis.sock"
    client.connection.cache_clear()
    snapshot_selectors._newest.clear()
    yield
    client.connection.cache_clear()


@pytest.fixture
def host(db: None) -> Host:
    """The host of a fresh install, with ens33 outside."""
    host = host_default()
    host.external_interfaces = ["ens33"]
    host.save()
    return host


@pytest.fixture
def alice() -> Actor:
    """One admin."""
    return Actor(name="alice", address="192.0.2.10")


@pytest.fixture
def bob() -> Actor:
    """Another admin."""
    return Actor(name="bob", address="192.0.2.20")
