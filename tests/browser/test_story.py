"""The whole story, clicked through as a newcomer does: from the one-time link to rolling back to revision 1.

What each page claims is held against the sandbox's kernel, read with iptables-save and not through pages.
"""

from __future__ import annotations

import os
import re
import signal

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.browser.screens import Screens
from tests.browser.stack import Stack

pytestmark = pytest.mark.browser

BY_HAND = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:FILTERS - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -j FILTERS
-A DOCKER-USER -i ens33 -j FILTERS
-A FILTERS -m state --state ESTABLISHED,RELATED -j ACCEPT
-A FILTERS -s 192.0.2.0/24 -j ACCEPT
-A FILTERS -p tcp -m tcp --dport 22 -j ACCEPT
-A FILTERS -p tcp -m tcp --dport 8080 -j ACCEPT
-A FILTERS -s 198.51.100.9/32 -p tcp -m tcp --dport 25 -j DROP
-A FILTERS -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
ANCHORS = {"-A INPUT -j FILTERS-HOST", "-A DOCKER-USER -i ens33 -j FILTERS-CONTAINERS"}


def test_the_main_job(new_stack: Stack, new_person: NewPerson, screens: Screens) -> None:
    stack = new_stack
    alice = new_person("alice", stack)
    begin(stack, alice, screens)
    look_at_the_empty_pages(alice, screens)
    choose_the_interface(alice, screens)
    look_at_a_set_up_made_by_hand(alice, screens)
    add_rules_with_mistakes(alice)
    review_and_apply(stack, alice, screens)
    first = {4: stack.our_rules(4), 6: stack.our_rules(6)}
    watch_it_live(stack, alice, screens)
    change_and_apply_again(stack, alice, screens)
    assert stack.our_rules(4) != first[4]
    read_the_history(alice, screens)
    roll_back(alice, screens)
    assert {4: stack.our_rules(4), 6: stack.our_rules(6)} == first
    read_the_audit(alice, screens)
    find_it_again_after_a_restart(stack, alice, first[4])
    lose_the_root_worker(stack, alice)


def begin(stack: Stack, alice: Person, screens: Screens) -> None:
    """Open the one-time link, create the admin, sign out, and in again after a wrong password."""
    assert stack.setup_link
    alice.page.goto(stack.setup_link)
    screens.take(alice.page, "setup")
    alice.create_first_admin(stack.setup_link)
    alice.sign_out()
    with alice.watch.expecting(404, 410):
        alice.page.goto(stack.setup_link)
    expect(alice.page.get_by_role("heading", name="This link is not valid")).to_be_visible()
    alice.page.goto("/")
    expect(alice.page.get_by_role("heading", name="Sign in")).to_be_visible()
    screens.take(alice.page, "sign-in")
    alice.sign_in("wrong")
    expect(alice.page.get_by_role("alert")).to_contain_text("Wrong username or password")
    alice.sign_in()
    expect(alice.page.locator("details.account")).to_contain_text("alice")


def look_at_the_empty_pages(alice: Person, screens: Screens) -> None:
    """See the first pages before anything was done."""
    alice.page.goto("/")
    expect(alice.page).to_have_url(re.compile(r"/hosts/local/$"))
    expect(alice.page.locator(".sentence")).to_contain_text("Nothing has been applied yet")
    screens.take(alice.page, "dashboard-empty")
    alice.goto("rules/")
    expect(alice.page.get_by_text("No rules yet")).to_be_visible()
    screens.take(alice.page, "rules-empty")
    for place in ("review/", "history/", "live/"):
        alice.goto(place)
        expect(alice.page.locator("h1")).to_be_visible()


def choose_the_interface(alice: Person, screens: Screens) -> None:
    """Choose ens33, which the page shows with the default route."""
    alice.goto("settings/")
    choice = alice.page.locator("label.choice").filter(has_text="ens33")
    expect(choice).to_contain_text("default route")
    alice.page.get_by_label("Trusted interfaces").fill("lo, no interface/at all")
    choice.locator("input").check()
    with alice.watch.expecting(422):
        alice.press("Save to the draft")
        expect(alice.page.get_by_role("alert")).to_be_visible()
    assert alice.field_error("Trusted interfaces")
    assert alice.page.get_by_label("Trusted interfaces").input_value() == "lo, no interface/at all"
    assert alice.page.locator("label.choice").filter(has_text="ens33").locator("input").is_checked()
    alice.page.get_by_label("Trusted interfaces").fill("lo")
    alice.press("Save to the draft")
    alice.goto("settings/")
    assert alice.page.locator("label.choice").filter(has_text="ens33").locator("input").is_checked()
    screens.take(alice.page, "settings")


def look_at_a_set_up_made_by_hand(alice: Person, screens: Screens) -> None:
    """Preview the import of an iptables.conf, with a line that cannot be imported, and cancel."""
    alice.goto("import/")
    alice.page.get_by_label("Paste text").fill(BY_HAND)
    alice.press("Preview")
    main = alice.page.locator("main")
    expect(main).to_contain_text("3 rules added")
    expect(main).to_contain_text("1 line that cannot be imported")
    screens.take(alice.page, "import")
    alice.follow("Cancel")


def add_rules_with_mistakes(alice: Person) -> None:
    """Add a rule with a wrong port and source first: both errors are at their fields, the input is kept."""
    alice.goto("rules/new/")
    alice.fill_rule("host", "22, 70000", source="192.0.2.300", comment="ssh from the office")
    with alice.watch.expecting(422):
        alice.press("Save to the draft")
        expect(alice.page.get_by_role("alert")).to_contain_text("Nothing was saved")
    assert "70000 is not a port (1 to 65535)" in alice.field_error("Ports")
    assert "192.0.2.300" in alice.field_error("Sources")
    assert alice.page.get_by_label("Ports", exact=True).input_value() == "22, 70000"
    assert alice.page.get_by_label("Name", exact=True).input_value() == "ssh from the office"
    alice.fill_rule("host", "22", source="192.0.2.0/24", comment="ssh from the office")
    expect(alice.page.locator("#source-echo")).to_contain_text("256 addresses")
    alice.save_rule()
    alice.add_rule("container", "8080, 8443", comment="the shop")
    alice.add_rule("both", "", protocol="any", source="2001:db8:7::/48", comment="our own network")
    expect(alice.rule_row("8080, 8443")).to_contain_text("New")
    assert alice.page.locator("#rule-table tbody tr").count() == 4


def review_and_apply(stack: Stack, alice: Person, screens: Screens) -> None:
    """Review the pending changes, check that the numbers agree, and apply."""
    alice.goto("rules/")
    pending = alice.pending()
    screens.take(alice.page, "rules-pending")
    alice.goto("review/")
    expect(alice.page.locator("#diff-heading")).to_have_text(f"{pending} pending changes")
    expect(alice.page.locator("main")).to_contain_text("3 rules added")
    expect(alice.page.locator("main")).to_contain_text("--ctorigdstport 8080 --ctdir ORIGINAL")
    screens.take(alice.page, "review")
    with alice.watch.expecting(422):
        alice.press("Apply")
        expect(alice.page.get_by_text("Enter the reason for this change.")).to_be_visible()
    assert not stack.our_rules()
    alice.start_apply("Open ssh and the shop")
    alice.expect_applied()
    expect(alice.page.locator("ol.steps li.done")).to_have_count(12)
    assert alice.pending() == 0
    screens.take(alice.page, "apply")
    assert ANCHORS.issubset(stack.kernel_rules())
    assert any("--ctorigdstport 8443" in line for line in stack.our_rules())
    assert any("2001:db8:7::/48" in line for line in stack.our_rules(6))
    alice.page.goto("/")
    expect(alice.page.locator(".sentence")).to_contain_text(
        "Protected: revision 1 is active for IPv4 and IPv6"
    )
    screens.take(alice.page, "dashboard")


def watch_it_live(stack: Stack, alice: Person, screens: Screens) -> None:
    """See dockerfw's chains in the kernel, and a new rule of another program appear."""
    alice.goto("live/")
    main = alice.page.locator("main")
    for chain in ("FILTERS", "FILTERS-HOST", "FILTERS-CONTAINERS", "DOCKER-USER"):
        expect(main).to_contain_text(chain)
    expect(main).to_contain_text("8443")
    screens.take(alice.page, "live")
    stack.in_sandbox("iptables-nft", "-N", "f2b-sshd")
    stack.in_sandbox("iptables-nft", "-A", "f2b-sshd", "-s", "203.0.113.9", "-j", "DROP")
    expect(main).to_contain_text("f2b-sshd")


def change_and_apply_again(stack: Stack, alice: Person, screens: Screens) -> None:
    """Change one rule, add another, remove a third; undo and redo one of them; apply."""
    alice.goto("rules/")
    alice.rule_row("8080, 8443").get_by_role("link", name=re.compile("^Edit")).click()
    alice.page.get_by_label("Ports", exact=True).fill("8080")
    alice.save_rule()
    row = alice.rule_row("our own network")
    row.get_by_role("button", name=re.compile("^Delete")).click()
    expect(row).to_contain_text("Removed")
    row.get_by_role("button", name=re.compile("^Undo")).click()
    expect(row).not_to_contain_text("Removed")
    row.get_by_role("button", name=re.compile("^Delete")).click()
    expect(row).to_contain_text("Removed")
    alice.page.locator("#messages .note").get_by_role("button", name="Undo").last.click()
    expect(row).not_to_contain_text("Removed")
    row.get_by_role("button", name=re.compile("^Delete")).click()
    expect(row).to_contain_text("Removed")
    row = alice.rule_row("ssh from the office")
    # A key press needs one element for down and up: not while the table is being swapped.
    expect(alice.page.locator(".htmx-request, .htmx-swapping, .htmx-settling")).to_have_count(0)
    row.get_by_role("switch").press("Space")
    expect(row.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    expect(row.get_by_role("switch")).to_be_focused()
    alice.add_rule("container", "5432", source="192.0.2.0/24", comment="the database")
    assert alice.pending() == 4
    screens.take(alice.page, "rules")
    alice.goto("review/")
    expect(alice.page.locator("#diff-heading")).to_have_text("4 pending changes")
    screens.take(alice.page, "review-changes")
    alice.start_apply("The database; ssh only on the console")
    alice.expect_applied()
    rules = stack.our_rules()
    assert any("--ctorigdstport 5432" in line for line in rules)
    assert not any("--ctorigdstport 8443" in line or "--dport 22 " in line for line in rules)
    assert not any("2001:db8:7::/48" in line for line in stack.our_rules(6))
    assert "-A f2b-sshd -s 203.0.113.9/32 -j DROP" in stack.kernel_rules()


def read_the_history(alice: Person, screens: Screens) -> None:
    """Find both revisions with author, reason and changes, and compare them."""
    alice.goto("history/")
    main = alice.page.locator("main")
    for text in ("Open ssh and the shop", "The database; ssh only on the console", "alice"):
        expect(main).to_contain_text(text)
    screens.take(alice.page, "history")
    alice.goto("history/2/")
    expect(main).to_contain_text("5432")
    screens.take(alice.page, "revision")
    alice.goto("history/compare/?a=1&b=2")
    expect(main).to_contain_text("5432")
    expect(main).to_contain_text("our own network")
    screens.take(alice.page, "compare")


def roll_back(alice: Person, screens: Screens) -> None:
    """Roll back to revision 1 through the same review: revision 3 has its content."""
    alice.goto("history/1/rollback/")
    expect(alice.page.locator("h1")).to_have_text("Roll back to revision 1")
    expect(alice.page.locator("main")).to_contain_text("8443")
    screens.take(alice.page, "rollback")
    alice.start_apply("The database was not ready", button="Roll back to revision 1")
    alice.expect_applied()
    alice.page.goto("/")
    expect(alice.page.locator(".sentence")).to_contain_text(
        "Protected: revision 3 is active for IPv4 and IPv6"
    )
    assert alice.pending() == 0
    alice.goto("rules/")
    expect(alice.rule_row("8080, 8443")).to_be_visible()
    expect(alice.rule_row("the database")).to_have_count(0)


def read_the_audit(alice: Person, screens: Screens) -> None:
    """See every action in the audit log, failed sign-ins too, and export it as CSV."""
    alice.page.goto("/audit/")
    main = alice.page.locator("main")
    for text in ("alice", "192.0.2.0/24", "Sign in", "Roll back"):
        expect(main).to_contain_text(re.compile(re.escape(text), re.IGNORECASE))
    screens.take(alice.page, "audit")
    csv = alice.page.request.get("/audit/audit.csv")
    assert csv.ok
    assert csv.text().count("\n") > 15
    assert "ssh from the office" in csv.text()


def find_it_again_after_a_restart(stack: Stack, alice: Person, first: list[str]) -> None:
    """Stop the stack with Ctrl-C and run it again: the data is there, and the boot files bring the rules."""
    alice.page.goto("about:blank")
    assert stack.stop() == 0
    assert stack.leftovers() == []
    stack.start()
    assert stack.setup_link == ""
    assert stack.our_rules(4) == first
    alice.page.goto("/")
    expect(alice.page.locator(".sentence")).to_contain_text(
        "Protected: revision 3 is active for IPv4 and IPv6"
    )


def lose_the_root_worker(stack: Stack, alice: Person) -> None:
    """Kill the root worker: the run reports it, ends, and leaves no process behind."""
    alice.page.goto("about:blank")
    os.kill(stack.pid("root worker"), signal.SIGKILL)
    assert stack.wait_for_end() == 1
    assert "root worker stopped by itself" in stack.printed()
    assert stack.leftovers() == []
