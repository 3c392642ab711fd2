"""Many rules in a browser: select all, a reload in between, Undo, and an edit by somebody else before it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.person import Person
from tests.browser.screens import DESKTOP, PHONE, Screens
from tests.browser.stack import Stack
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.browser
MANY = 53
ADD = f"""
from rules.audit.actors import SYSTEM
from rules.draft.rule_services import rule_create
from rules.models import Host
for port in range(20001, 20001 + {MANY}):
    rule_create(host=Host.objects.get(), actor=SYSTEM, values={{
        "scope": "host", "protocol": "tcp", "ports": [str(port)],
        "comment": f"batch {{port}}", "tags": ["batch"],
    }})
"""
REMOVE = """
from rules.audit.actors import SYSTEM
from rules.draft.rule_bulk_services import rules_change
from rules.models import Host, Rule
found = [(rule.key, rule.version) for rule in Rule.objects.all() if "batch" in rule.tags]
rules_change(host=Host.objects.get(), actor=SYSTEM, chosen=found, action="delete")
"""
KEYS = """
from rules.models import Rule
print([(rule.pk, rule.key, rule.enabled) for rule in Rule.objects.all()])
"""


@pytest.fixture
def many(stack: Stack, alice: Person) -> Iterator[Person]:
    """Alice with more rules in the draft than a page has."""
    stack.manage("shell", "--command", ADD)
    yield alice
    stack.manage("shell", "--command", REMOVE)


def test_select_all_reload_and_undo(stack: Stack, many: Person, bob: Person, screens: Screens) -> None:
    page = many.page
    many.goto("rules/?q=tag%3Abatch")
    all_rules = page.get_by_role("checkbox", name=f"All {MANY} that match")
    expect(all_rules).to_be_hidden()
    page.get_by_role("checkbox", name="Select all rules of this page").focus()
    page.keyboard.press("Space")
    expect(page.locator("#bulk-count")).to_have_text("40 selected")
    all_rules.focus()
    page.keyboard.press("Space")
    expect(page.locator("#bulk-count")).to_have_text(f"{MANY} selected")
    picks = page.locator("input[name=rule]")
    expect(picks.first).to_be_checked()
    page.set_viewport_size(PHONE)
    screens.take(page, "rules-select-all")
    page.set_viewport_size(DESKTOP)
    picks.first.uncheck()
    expect(all_rules).not_to_be_checked()
    expect(page.locator("#bulk-count")).to_have_text("39 selected")
    # An own edit in a row is not an edit that the page has not shown.
    many.rule_row("batch 20003").get_by_role("switch").click()
    expect(many.rule_row("batch 20003")).to_have_class(re.compile("is-off"))
    before = stack.manage("shell", "--command", KEYS)
    all_rules.check()
    disable(many)
    expect(page.locator("#messages")).to_contain_text(f"{MANY - 1} rules changed in the draft.")
    # The message stays as long as it has the focus.
    page.locator("#messages").get_by_role("button", name="Undo").focus()
    screens.take(page, "rules-undo")
    page.set_viewport_size(DESKTOP)
    assert stack.manage("shell", "--command", KEYS) != before
    page.locator("#messages").get_by_role("button", name="Undo").click()
    expect(page.locator("#messages")).to_contain_text(f"{MANY - 1} rules restored in the draft.")
    assert stack.manage("shell", "--command", KEYS) == before
    delete_what_a_reload_kept(many)
    expect(page.locator("#messages")).to_contain_text("2 rules removed from the draft.")
    page.locator("#messages").get_by_role("button", name="Undo").focus()
    # Another admin's edit comes between: Undo says so and changes nothing.
    bob.goto("rules/")
    bob.rule_row("batch 20005").get_by_role("switch").click()
    expect(bob.rule_row("batch 20005")).to_have_class(re.compile("is-off"))
    page.locator("#messages").get_by_role("button", name="Undo").click()
    expect(page.locator("#messages")).to_contain_text("The draft has changed since. Nothing was undone.")
    expect(many.rule_row("batch 20001")).to_have_count(0)


def disable(person: Person) -> None:
    """Disable the selected rules."""
    person.page.get_by_role("button", name="Disable", exact=True).click()


def delete_what_a_reload_kept(person: Person) -> None:
    """Select two rules, edit another one in its row, reload, and delete the two that are still selected."""
    page = person.page
    for comment in ("batch 20001", "batch 20002"):
        person.rule_row(comment).locator("input[name=rule]").check()
    wait_until("the selection is kept", lambda: ":rule" not in page.evaluate("JSON.stringify(sessionStorage)")
               and "bulk-form" in page.evaluate("JSON.stringify(sessionStorage)"))  # fmt: skip
    page.reload()
    expect(page.locator("#bulk-count")).to_have_text("2 selected")
    expect(person.rule_row("batch 20002").locator("input[name=rule]")).to_be_checked()
    page.get_by_role("button", name="Delete", exact=True).click()
