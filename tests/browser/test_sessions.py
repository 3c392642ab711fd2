"""A session that outlives its rule, at the review and after Keep, in a real browser and a real kernel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from dockerfw.host.runner import command_path
from tests.browser.doorway import ADDRESS, entering, world_of
from tests.browser.person import Person
from tests.browser.screens import Screens
from tests.browser.stack import Stack
from tests.rig.namespace import end_process

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not shutil.which("conntrack", path=command_path()), reason="conntrack is not installed"
    ),
]

PORT = 9161
LOOKS = 20
SERVER = f"""
import socket
server = socket.create_server(("{ADDRESS}", {PORT}))
print("ready", flush=True)
kept = []
while True:
    kept.append(server.accept())
"""
CLIENT = f"""
import socket
with socket.create_connection(("{ADDRESS}", {PORT}), timeout=60) as connection:
    connection.settimeout(None)
    print("connected", flush=True)
    try:
        connection.recv(1)
    except ConnectionResetError:
        print("reset", flush=True)
"""


class Inside:
    """A Python program in another network namespace, and its output."""

    def __init__(self, pid: int, code: str) -> None:
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *entering(pid), sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def says(self) -> str:
        """Return its next line of output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def end(self) -> None:
        """End it."""
        end_process(self.process)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def server(stack: Stack) -> Iterator[Inside]:
    """A service of the sandbox's host."""
    running = Inside(stack.pid("root worker"), SERVER)
    assert running.says() == "ready"
    yield running
    running.end()


def test_a_session_that_outlives_its_rule_is_ended_after_keep(
    stack: Stack, alice: Person, server: Inside, screens: Screens
) -> None:
    alice.add_rule("host", str(PORT), comment="to be closed")
    alice.apply("Open it")
    client = Inside(world_of(stack), CLIENT)
    try:
        assert client.says() == "connected"
        alice.goto("rules/")
        alice.rule_row("to be closed").get_by_role("button", name=re.compile("^Delete")).click()
        expect(alice.rule_row("to be closed")).to_contain_text("Removed")
        told = alice.page.locator("#lost-sessions")
        alice.goto("review/")
        # The snapshot may be from just before the client connected: then the page needs another one.
        for _ in range(LOOKS):
            if told.count():
                break
            alice.goto("review/")
        expect(told).to_contain_text(f"1 established session of {PORT}/tcp from anywhere to the host")
        wish = alice.page.get_by_label("End these sessions after Keep")
        expect(wish).not_to_be_checked()
        screens.take(alice.page, "review-sessions")
        wish.check()
        alice.start_apply("Close it, and for those who are in as well")
        alice.expect_awaiting()
        expect(alice.page.locator("main")).to_contain_text(
            "Keep also ends the sessions that are no longer allowed."
        )
        alice.expect_applied()
        expect(alice.page.locator("main")).to_contain_text("Sessions no longer allowed: 1 session ended.")
        screens.take(alice.page, "apply-sessions")
        assert client.says() == "reset"
    finally:
        client.end()
