"""The whole story on a Compose install, from the one-time link to an engine that restarts under the rules.

The browser and every packet come from the client at the other end of ens33; what pages claim is held against
the host's kernel.
"""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.person import Person
from tests.browser.screens import Screens
from tests.compose import losses
from tests.compose.host import EXTERNAL, HOST, HOST_6
from tests.compose.installed import PORT, Installed
from tests.rig.connections import try_port

OPEN, SHUT = 8080, 8081


def test_the_main_job(installed: Installed, alice: Person, screens: Screens) -> None:
    begin(installed, alice)
    be_held_up(installed, alice, screens)
    let_the_dashboard_in(installed, alice)
    knock(installed)
    watch_it_live(installed, alice)
    change_and_roll_back(installed, alice)
    ask_the_commands(installed)
    make_a_backup(installed)
    losses.restart(installed, alice)
    losses.take_down_and_up(installed, alice)
    losses.lose_the_engine(installed, alice)
    losses.lose_redis(installed, alice)
    losses.lose_the_firewall_in_a_window(installed, alice)


def begin(installed: Installed, alice: Person) -> None:
    """Follow the link from the log of web and become the first admin; a restart then gives no other."""
    alice.create_first_admin(installed.link())
    alice.goto("settings/")
    choice = alice.page.locator("label.choice").filter(has_text=EXTERNAL)
    expect(choice).to_contain_text("default route")
    choice.locator("input").check()
    alice.press("Save to the draft")


def be_held_up(installed: Installed, alice: Person, screens: Screens) -> None:
    """Try to apply rules that leave out the dashboard's own published port: that takes a word more."""
    alice.add_rule("host", "22", comment="ssh")
    alice.add_rule("container", str(OPEN), comment="the open shop")
    alice.goto("review/")
    note = alice.page.locator("#lock-out")
    expect(note).to_contain_text("This would lock you out. Your address is 192.0.2.2")
    expect(note).to_contain_text(f"{PORT}/tcp")
    with alice.watch.expecting(422):
        alice.start_apply("Only the shop", "Apply anyway")
        expect(alice.page.locator("#id_anyway_error")).to_be_visible()
    screens.take(alice.page, "compose-shut-out")
    assert installed.both() == ([], [])


def let_the_dashboard_in(installed: Installed, alice: Person) -> None:
    """Add the rule that was missing; now nothing holds the apply up, and it can be kept from here."""
    alice.add_rule("container", str(PORT), comment="the dashboard")
    alice.goto("review/")
    expect(alice.page.locator("#lock-out")).to_contain_text("You keep your access.")
    alice.start_apply("The shop and the dashboard")
    alice.expect_applied()
    for family_rules in installed.both():
        assert "-A INPUT -j FILTERS-HOST" in family_rules
        assert f"-A DOCKER-USER -i {EXTERNAL} -j FILTERS-CONTAINERS" in family_rules
        assert any(f"--ctorigdstport {PORT} " in line for line in family_rules)
    assert installed.boot_files().count(f"--ctorigdstport {PORT} ") == 2


def knock(installed: Installed) -> None:
    """Send packets: what a rule allows answers, all else is refused, over IPv4 and IPv6."""
    for address in (HOST, HOST_6):
        assert try_port(installed.client, address, OPEN) == "connected"
        assert_refused(installed, address, SHUT)
    assert try_port(installed.client, HOST, PORT) == "connected"
    assert_refused(installed, HOST, 2222)


def watch_it_live(installed: Installed, alice: Person) -> None:
    """See the kernel's chains on the live page, and a foreign rule appear by itself."""
    alice.goto("live/")
    main = alice.page.locator("main")
    for text in ("FILTERS-CONTAINERS", "DOCKER-USER", str(OPEN)):
        expect(main).to_contain_text(text)
    installed.host.run("iptables", "-N", "f2b-sshd")
    installed.host.run("iptables", "-A", "f2b-sshd", "-s", "203.0.113.9", "-j", "DROP")
    expect(main).to_contain_text("f2b-sshd")


def change_and_roll_back(installed: Installed, alice: Person) -> None:
    """Open the other shop, find both revisions in the history, and go back to the first."""
    before = without_labels(installed)
    alice.add_rule("container", str(SHUT), comment="the other shop")
    alice.apply("Open the other shop")
    assert try_port(installed.client, HOST, SHUT) == "connected"
    alice.goto("history/")
    main = alice.page.locator("main")
    for text in ("The shop and the dashboard", "Open the other shop", "alice"):
        expect(main).to_contain_text(text)
    alice.goto("history/1/rollback/")
    alice.start_apply("Not yet", button="Roll back to revision 1")
    alice.expect_applied()
    assert without_labels(installed) == before
    assert_refused(installed, HOST, SHUT)


def ask_the_commands(installed: Installed) -> None:
    """Ask by the command line, each verb in the container that can carry it out."""
    assert "revision 3" in installed.dockerfw("status").lower()
    history = installed.dockerfw("history")
    assert "Open the other shop" in history
    refused = installed.try_dockerfw("web", "panic")
    assert refused.returncode == 2
    assert "docker compose exec firewall dockerfw panic" in refused.stderr
    examined = installed.try_dockerfw("firewall", "doctor")
    assert examined.returncode == 0, examined.stdout + examined.stderr
    assert re.search(r"\d+ checks", examined.stdout), examined.stdout + examined.stderr


def make_a_backup(installed: Installed) -> None:
    """Make a backup while everything runs, and let it be checked as a restore would."""
    tools = ("run", "--rm", "-T", "tools", "dockerfw")
    installed.host.compose(*tools, "backup", "/backups/kept")
    assert "It can be restored" in installed.host.compose(*tools, "restore", "--check", "/backups/kept")


def assert_refused(installed: Installed, address: str, port: int) -> None:
    """Assert that a port is refused outright."""
    # A refusal that comes while connect() holds the socket is lost; the next one answers a SYN sent again.
    assert try_port(installed.client, address, port, seconds=6) == "prohibited", (address, port)


def without_labels(installed: Installed) -> list[list[str]]:
    """Return the rules without the revision's label, which changes with every apply."""
    return [
        [re.sub(r'"dockerfw r\d+ \w+"', "", line) for line in family_rules]
        for family_rules in installed.both()
    ]
