"""A feed from its URL to the kernel: fetched, judged and sent with the Redis users of a real run."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import NewPerson
from tests.browser.stack import Stack
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.browser


class StackWithFeeds(Stack):
    """A run that may fetch feeds from this machine."""

    def variables(self) -> dict[str, str]:
        """Return the settings of the run."""
        return {**super().variables(), "DOCKERFW_OUTBOUND_INTERNAL": "1"}


@pytest.fixture
def feed_stack(browser: Browser) -> Iterator[Stack]:
    """A run of scripts/run with empty data."""
    started = StackWithFeeds()
    yield started
    started.delete()


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A file, and the URL where it is served."""
    found = tmp_path / "list.txt"
    found.write_text("198.51.100.0/25\n2001:db8:7::/48\n")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found, f"http://127.0.0.1:{server.server_port}/{found.name}"
        server.shutdown()


def test_a_feed_reaches_the_kernel(feed_stack: Stack, new_person: NewPerson, feed: tuple[Path, str]) -> None:
    found, url = feed
    alice = new_person("alice", feed_stack)
    page = alice.page
    alice.create_first_admin(feed_stack.setup_link)
    alice.goto(f"groups/new/?kind=feed&name=partner&url={url}")
    with alice.watch.expecting(422):
        alice.press("Save to the draft")
        assert "use https" in alice.field_error("URL")
    page.get_by_label("Allow plain http").check()
    alice.press("Save to the draft")
    expect(page.locator("#group-partner")).to_be_visible()
    alice.add_rule("host", "22", source="@partner", comment="the partner")
    alice.apply("Let the partner in")
    wait_until(
        "the networks in the kernel", lambda: members(feed_stack) >= {"198.51.100.0/25", "2001:db8:7::/48"}
    )
    alice.goto("group/partner/list/")
    expect(page.locator("main")).to_contain_text(re.compile("Version 1, fetched"))
    expect(page.locator("main")).not_to_contain_text("held")
    found.write_text("198.51.100.0/25\n2001:db8:7::/48\n198.51.100.128/27\n")
    alice.press("Fetch now")
    wait_until("the new network in the kernel", lambda: "198.51.100.128/27" in members(feed_stack))


def members(stack: Stack) -> set[str]:
    """Return the members of all sets in the sandbox's kernel."""
    lines = stack.in_sandbox("ipset", "save").splitlines()
    return {line.split()[2] for line in lines if line.startswith("add ")}
