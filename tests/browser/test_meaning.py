"""Warnings about rules, expectations, and the effect of an apply on outside access."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.person import Person
from tests.browser.screens import Screens
from tests.browser.stack import Stack

pytestmark = pytest.mark.browser
MAIN = "main"


def test_expectations_and_what_an_apply_would_do(stack: Stack, alice: Person, screens: Screens) -> None:
    page = alice.page
    expect_something(alice, screens)
    type_a_rule_with_a_warning(alice, screens)
    alice.goto("review/")
    main = page.locator(MAIN)
    expect(main).to_contain_text("Effect on outside access")
    expect(main).to_contain_text("You keep your access. Your address is 127.0.0.1")
    expect(main).to_contain_text("3306/tcp of the host from anywhere is refused would fail")
    screens.take(page, "review-consequences")
    before = stack.our_rules()
    with alice.watch.expecting(422):
        alice.start_apply("Let the database be reached")
        expect(page.locator("#id_override_error")).to_be_visible()
        assert "Enter a reason to apply anyway." in alice.field_error(
            "Reason for overriding the failed check"
        )
    assert page.get_by_label("Reason", exact=True).input_value() == "Let the database be reached"
    screens.take(page, "review-override")
    page.get_by_label("Reason for overriding the failed check").fill("a move, for one day")
    alice.press("Apply")
    alice.expect_applied()
    assert stack.our_rules() != before
    expect(page.locator(MAIN)).to_contain_text("1 of 2 hold")
    expect(page.locator(MAIN)).to_contain_text("Expectations overridden: a move, for one day")
    alice.goto("expectations/")
    expect(page.locator(MAIN)).to_contain_text("Fails now: from anywhere over IPv4 it is allowed by")
    screens.take(page, "expectations")
    alice.goto("history/")
    expect(page.locator(MAIN)).to_contain_text("Expectations overridden: a move, for one day")
    take_it_back(alice)


def test_with_thousands_of_rules_the_page_comes_first(stack: Stack, alice: Person) -> None:
    rules = [{"scope": "host", "protocol": "tcp", "ports": [str(20000 + number)]} for number in range(1500)]
    expected = [{"port": 20007, "passes": False}]
    document = {
        "format": "dockerfw/1",
        "settings": {"external_interfaces": ["ens33"]},
        "rules": rules,
        "expectations": expected,
    }
    page = alice.page
    alice.goto("import/")
    page.get_by_label("Paste text").fill(json.dumps(document))
    alice.press("Preview")
    alice.press("Replace the draft")
    alice.goto("review/")
    expect(page.locator("#consequences")).to_contain_text("Calculating the effect on outside access")
    page.get_by_label("Reason", exact=True).fill("typed meanwhile")
    expect(page.locator("#consequences")).to_contain_text("become reachable from anywhere")
    expect(page.get_by_label("Reason for overriding the failed check")).to_be_visible()
    expect(page.get_by_label("Reason", exact=True)).to_have_value("typed meanwhile")
    alice.press("Discard all")
    page.get_by_role("dialog").get_by_role("button", name="Discard all").click()
    expect(page.locator("main")).to_contain_text("Pending changes discarded")


def expect_something(alice: Person, screens: Screens) -> None:
    """Add two expectations, one of them with a mistake first."""
    page = alice.page
    alice.goto("expectations/")
    expect(page.locator(MAIN)).to_contain_text("No expectations yet")
    screens.take(page, "expectations-empty")
    alice.follow("New expectation")
    page.get_by_label("Port", exact=True).fill("33o6")
    page.get_by_role("radio", name=re.compile("^Refused")).check()
    page.get_by_label("Comment", exact=True).fill("databases are for the inside")
    with alice.watch.expecting(422):
        alice.press("Save to the draft")
        assert "33o6 is not a port" in alice.field_error("Port")
    screens.take(page, "expectation-form-error")
    page.get_by_label("Port", exact=True).fill("3306")
    alice.press("Save to the draft")
    expect(page.locator(MAIN)).to_contain_text("3306/tcp of the host from anywhere is refused")
    alice.follow("New expectation")
    page.locator('select[name="protocol"]').select_option("icmp")
    alice.press("Save to the draft")
    expect(page.locator(MAIN)).to_contain_text("icmp of the host from anywhere passes")


def type_a_rule_with_a_warning(alice: Person, screens: Screens) -> None:
    """Open a database to the internet: the form warns while the rule is typed, and accepts it."""
    page = alice.page
    alice.goto("rules/new/")
    alice.fill_rule("host", "3306", comment="for everybody")
    page.get_by_label("Sources", exact=True).focus()
    hint = page.locator("#rule-warnings")
    expect(hint).to_contain_text("MySQL is a database that anyone may reach here")
    screens.take(page, "rule-warnings")
    page.get_by_label("Sources", exact=True).fill("198.51.100.0/24")
    page.get_by_label("Name", exact=True).focus()
    expect(hint).not_to_contain_text("MySQL")
    page.get_by_role("button", name="Remove 198.51.100.0/24").click()
    expect(hint).to_contain_text("MySQL")
    alice.save_rule()
    expect(alice.rule_row("for everybody")).to_contain_text("MySQL is a database that anyone may reach here")
    screens.take(page, "rules-warnings")


def take_it_back(alice: Person) -> None:
    """Leave nothing behind for other tests."""
    page = alice.page
    alice.goto("rules/")
    alice.rule_row("for everybody").get_by_role("button", name=re.compile("^Delete")).click()
    expect(alice.rule_row("for everybody")).to_contain_text("Removed")
    for sentence in ("3306/tcp of the host", "icmp of the host"):
        alice.goto("expectations/")
        page.get_by_role("button", name=f"Delete: {sentence}").click()
        expect(page.locator(MAIN)).to_contain_text(f"Expectation removed: {sentence}")
    alice.apply("Take it back")
