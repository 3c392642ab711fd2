"""What must not get lost when containers, Redis or the engine go and come back; part of the story.

Before and after each of these the kernel holds the same rules, the boot files and the history are the same,
and admins stay signed in. While it lasts, a port that is refused never answers.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from playwright.sync_api import expect

from tests.browser.person import Person
from tests.compose.host import HOST, HOST_6
from tests.compose.installed import Installed
from tests.compose.knocking import Knocking
from tests.rig.namespace import wait_until

OPEN, SHUT = (HOST, 8080), (HOST, 8081)
SHUT_6 = (HOST_6, 8081)


@dataclass(frozen=True, slots=True)
class Kept:
    """What has to be the same afterwards."""

    rules: tuple[list[str], list[str]]
    boot_files: str
    history: str

    @classmethod
    def of(cls, installed: Installed) -> Kept:
        """Look at an install now."""
        return cls(installed.both(), installed.boot_files(), installed.dockerfw("history"))


@contextlib.contextmanager
def nothing_lost(installed: Installed, alice: Person) -> Iterator[Knocking]:
    """See that a `with` block loses nothing, and that the refused port is refused throughout."""
    before = Kept.of(installed)
    alice.page.goto("about:blank")
    with Knocking(installed.client, SHUT, SHUT_6, OPEN) as knocking:
        yield knocking
        installed.wait_healthy()
    assert "connected" not in knocking.heard[SHUT], knocking.heard[SHUT]
    assert "connected" not in knocking.heard[SHUT_6], knocking.heard[SHUT_6]
    assert knocking.heard[OPEN][-1] == "connected"
    assert Kept.of(installed) == before
    alice.page.goto("/")
    expect(alice.page.locator("details.account")).to_contain_text(alice.name)
    expect(alice.page.locator(".sentence")).to_contain_text(
        re.compile(r"Protected: revision \d+ is active for IPv4 and IPv6")
    )


def restart(installed: Installed, alice: Person) -> None:
    """Restart every container of ours."""
    with nothing_lost(installed, alice) as knocking:
        installed.host.compose("restart", timeout=240)
    assert set(knocking.heard[OPEN]) == {"connected"}


def take_down_and_up(installed: Installed, alice: Person) -> None:
    """Remove every container of ours, and make them again: what others serve goes on under the same rules."""
    with nothing_lost(installed, alice) as knocking:
        installed.down()
        assert installed.health() == {}
        knocking.round()
        installed.up()
    assert set(knocking.heard[OPEN]) == {"connected"}
    assert "/setup/" not in installed.logs("web")


def lose_the_engine(installed: Installed, alice: Person) -> None:
    """Restart dockerd, which takes all containers down and up, and writes its own chains anew."""
    with nothing_lost(installed, alice) as knocking:
        installed.host.stop_engine()
        knocking.round()
        installed.host.start_engine()
        wait_until("the shop again", lambda: knocking.heard[OPEN][-1] == "connected")


def lose_redis(installed: Installed, alice: Person) -> None:
    """Kill Redis: it comes back by itself, and the next apply goes through."""
    with nothing_lost(installed, alice):
        before = installed.first_process("redis")
        installed.host.run("kill", "-KILL", before)
        wait_until("another Redis", lambda: installed.first_process("redis") not in {before, "0"})
    alice.goto("rules/")
    alice.add_rule("container", "8443", comment="after Redis")
    alice.apply("Redis was away")
    assert any("--ctorigdstport 8443 " in line for line in installed.rules())


def lose_the_firewall_in_a_window(installed: Installed, alice: Person) -> None:
    """End the root worker's container while an apply waits to be kept: the rules of before come back."""
    for way in (_stop, _kill, _recreate):
        before = Kept.of(installed)
        alice.add_rule("container", "8081", comment=f"never kept ({way.__name__})")
        alice.goto("review/")
        alice.page.get_by_label("Roll back automatically after").select_option("15")
        alice.start_apply("Not to be kept")
        alice.expect_awaiting()
        assert installed.both() != before.rules
        way(installed)
        wait_until("the rules of before", lambda: installed.both() == before.rules)  # noqa: B023
        installed.host.compose("start", "firewall")
        expect(alice.page.locator('[data-state="rolled_back"]')).to_be_visible()
        assert installed.boot_files() == before.boot_files
        installed.wait_healthy()
        alice.goto("rules/")
        alice.rule_row("never kept").get_by_role("button", name=re.compile("^Delete|^Undo")).first.click()
        expect(alice.rule_row("never kept")).to_have_count(0)


def _stop(installed: Installed) -> None:
    installed.host.compose("stop", "firewall", timeout=60)


def _kill(installed: Installed) -> None:
    installed.host.run("kill", "-KILL", installed.first_process("firewall"))


def _recreate(installed: Installed) -> None:
    installed.host.compose("up", "--detach", "--no-build", "--force-recreate", "--no-deps", "firewall")
