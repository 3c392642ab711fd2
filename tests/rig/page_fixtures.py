"""For the tests of pages: a host, a real Redis, alice signed in, and bob who edits meanwhile."""

from __future__ import annotations

import functools

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.test import Client

from rules.applying import review_views as review
from rules.models import Host

PASSWORD = "correct horse battery staple"


@pytest.fixture
def no_fresh_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each review the wait for a root worker, which no test here runs."""
    monkeypatch.setattr(review, "LOOK_AGAIN_SECONDS", 0.0)


@pytest.fixture
def admin(db: None) -> User:
    """The account of alice."""
    return make_admin("alice")


def make_admin(name: str) -> User:
    """Make an account with PASSWORD as `create_superuser` does, with a hash that is computed once."""
    return User.objects.create(username=name, password=_hash(), is_staff=True, is_superuser=True)


@functools.cache
def _hash() -> str:
    # Hashing takes a third of a second of processor time, for each of hundreds of tests.
    return make_password(PASSWORD)


@pytest.fixture
def signed_in(admin: User, host: Host, no_queue: None, no_fresh_look: None) -> Client:
    """A browser in which alice is signed in; Redis is down unless the test asks for `queue` too."""
    client = Client()
    client.force_login(admin)
    return client


@pytest.fixture
def working(admin: User, host: Host, queue: object, no_fresh_look: None) -> Client:
    """A browser in which alice is signed in, on a stack whose Redis answers."""
    client = Client()
    client.force_login(admin)
    return client
