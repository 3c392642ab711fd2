"""Floods from clients without an account, while an admin keeps a change from its page."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.browser.stack import Stack
from tests.rig.flood import flooding, prefer
from tests.rig.namespace import wait_until, why_unavailable
from tests.rig.visitor import Visitor

pytestmark = pytest.mark.kernel
PASSWORD = "correct horse battery staple"
REVIEW = "/hosts/local/review/"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A run of scripts/run with its first admin, alice."""
    if reason := why_unavailable():
        pytest.skip(reason)
    started = Stack()
    yield started
    started.delete()


@pytest.fixture(scope="module")
def alice(stack: Stack) -> Visitor:
    """An admin, signed in, whose draft has the external interface of the sandbox."""
    alice = Visitor(stack.address, seconds=60)
    setup = stack.setup_link.removeprefix(stack.address)
    assert alice.get(setup) == 200
    alice.submit(setup, username="alice", password1=PASSWORD, password2=PASSWORD)
    assert "alice" in alice.page
    return alice


def keep_a_change(alice: Visitor, port: int, window: int) -> float | None:
    """Apply a rule with a window of so many seconds and keep it from its page; return what Keep took.

    None if the window ended first, as it may on a machine that runs other tests beside the flood.
    """

    def page_says(*states: str) -> bool:
        assert alice.get(applied) == 200, alice.page
        return any(f'data-state="{state}"' in alice.page for state in states)

    applied = apply_a_rule(alice, port, window)
    wait_until("the window", lambda: page_says("awaiting", "rolled_back", "failed"))
    assert not page_says("failed"), text_of_page(alice)
    began = time.monotonic()
    alice.get(f"{applied}keep/")
    if 'name="nonce"' in alice.page:
        alice.submit(f"{applied}keep/")
    wait_until("the end", lambda: page_says("confirmed", "rolled_back", "failed"))
    assert not page_says("failed"), text_of_page(alice)
    return time.monotonic() - began if page_says("confirmed") else None


def text_of_page(visitor: Visitor) -> str:
    """Return the words of the page that a visitor sees."""
    return " ".join(re.sub(r"<[^>]*>", " ", visitor.page).split())


def apply_a_rule(alice: Visitor, port: int, window: int) -> str:
    """Add a rule, apply the draft with a window of so many seconds, and return the path of its page."""
    alice.get("/hosts/local/rules/new/")
    rule = {"scope": "host", "protocol": "tcp", "port_kind": "published", "ports": str(port), "enabled": "on"}
    alice.submit("/hosts/local/rules/new/", **rule)
    alice.get(REVIEW)
    alice.submit(REVIEW, message="Under attack", window=str(window))
    assert "/applies/" in alice.url, alice.page
    return alice.url.removeprefix(alice.address)


def test_a_window_is_kept_from_the_page(stack: Stack, alice: Visitor) -> None:
    prefer(stack.pids())
    with flooding(stack.address) as flood:
        before = dict(flood.counts)
        # The first is the shortest window that there is, and long enough where nothing else runs.
        tries = (keep_a_change(alice, 9000 + window, window) for window in (15, 60, 300))
        took = next((seconds for seconds in tries if seconds is not None), None)
        assert took is not None, text_of_page(alice)
        # It went on all the time, and tells so once a second.
        wait_until("more connections", lambda: flood.counts["opened"] > before["opened"])
        wait_until("more sign-ins", lambda: flood.counts["tried"] > before["tried"])
    print(f"Keep took {took:.1f} s; the flood went from {before} to {flood.counts}")
    log = next(stack.data.rglob("log/web.log")).read_text()
    assert log.count("Booting worker") == 1
    assert "Traceback" not in log
