"""Conflicts between admins, and processes that do not answer: the page says so, and the input is kept."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.person import Person
from tests.browser.screens import Screens
from tests.browser.stack import Stack

pytestmark = pytest.mark.browser


def test_two_admins_edit_the_same_rule(alice: Person, bob: Person, screens: Screens) -> None:
    alice.add_rule("container", "9001", comment="to be edited")
    alice.rule_row("to be edited").get_by_role("link", name=re.compile("^Edit")).click()
    expect(alice.page.get_by_label("Ports", exact=True)).to_have_value("9001")
    bob.goto("rules/")
    bob.rule_row("to be edited").get_by_role("link", name=re.compile("^Edit")).click()
    bob.page.get_by_label("Ports", exact=True).fill("9001, 9002")
    bob.save_rule()

    alice.page.get_by_label("Ports", exact=True).fill("9001, 9003")
    with alice.watch.expecting(409):
        alice.press("Save to the draft")
        expect(alice.page.get_by_role("heading", name="This rule was changed")).to_be_visible()
    expect(alice.page.locator("main")).to_contain_text("9001, 9002")
    expect(alice.page.get_by_label("Ports", exact=True)).to_have_value("9001, 9003")
    screens.take(alice.page, "conflict")
    alice.save_rule()
    expect(alice.rule_row("to be edited")).to_contain_text("9001, 9003")


def test_a_rule_removed_while_it_was_edited(alice: Person, bob: Person) -> None:
    alice.add_rule("container", "9011", comment="to be removed soon")
    alice.rule_row("to be removed soon").get_by_role("link", name=re.compile("^Edit")).click()
    bob.goto("rules/")
    bob.rule_row("to be removed soon").get_by_role("button", name=re.compile("^Delete")).click()
    expect(bob.rule_row("to be removed soon")).to_have_count(0)
    alice.page.get_by_label("Ports", exact=True).fill("9012")
    with alice.watch.expecting(409):
        alice.press("Save to the draft")
        expect(alice.page.get_by_role("heading", name="This rule was removed")).to_be_visible()
    expect(alice.page.get_by_label("Ports", exact=True)).to_have_value("9012")
    alice.save_rule()
    expect(alice.rule_row("to be removed soon")).to_contain_text("9012")


def test_a_draft_that_changed_since_its_review_is_shown_again(
    stack: Stack, alice: Person, bob: Person
) -> None:
    alice.add_rule("container", "9021", comment="reviewed")
    alice.goto("review/")
    bob.add_rule("container", "9022", comment="slipped in")
    before = stack.our_rules()
    with alice.watch.expecting(409):
        alice.start_apply("What I have seen")
        expect(alice.page.get_by_text("The draft changed after this page was opened")).to_be_visible()
    assert stack.our_rules() == before
    expect(alice.page.locator("main")).to_contain_text("slipped in")
    expect(alice.page.get_by_label("Reason", exact=True)).to_have_value("What I have seen")
    alice.press("Apply")
    alice.expect_applied()
    assert any("--ctorigdstport 9022" in line for line in stack.our_rules())


def test_apply_is_disabled_while_another_apply_waits(
    stack: Stack, alice: Person, bob: Person, screens: Screens
) -> None:
    alice.add_rule("container", "9026", comment="of two admins")
    bob.goto("review/")
    button = bob.page.get_by_role("button", name="Apply", exact=True)
    bob.page.get_by_label("Reason", exact=True).fill("typed meanwhile")
    expect(button).to_be_enabled()
    alice.goto("review/")
    alice.start_apply("First of two")
    alice.expect_awaiting()
    expect(button).to_be_disabled()
    expect(bob.page.locator("#apply-waiting")).to_contain_text("You can apply after it has ended")
    screens.take(bob.page, "review-waiting")
    alice.press("Roll back now")
    expect(button).to_be_enabled()
    expect(bob.page.locator("#apply-waiting")).to_be_empty()
    expect(bob.page.get_by_label("Reason", exact=True)).to_have_value("typed meanwhile")
    bob.press("Apply")
    bob.expect_applied()


def test_a_double_click_applies_once(stack: Stack, alice: Person) -> None:
    alice.add_rule("container", "9031", comment="clicked twice")
    alice.goto("review/")
    alice.page.get_by_label("Reason", exact=True).fill("Only once")
    alice.page.get_by_role("button", name="Apply", exact=True).dblclick(no_wait_after=True)
    alice.expect_applied()
    alice.goto("history/")
    expect(alice.page.get_by_text("Only once")).to_have_count(1)


def test_two_tabs_that_send_the_same_review_apply_once(stack: Stack, alice: Person) -> None:
    alice.add_rule("container", "9032", comment="sent twice")
    alice.goto("review/")
    form = alice.page.locator('form[action$="/review/"]')
    fields = form.evaluate("form => Object.fromEntries(new FormData(form))")
    alice.start_apply("Only once, from two tabs")
    alice.expect_applied()
    with alice.watch.expecting(409):
        answer = alice.page.request.post(
            "/hosts/local/review/",
            form={**fields, "message": "Only once, from two tabs"},
            headers={"Referer": alice.page.url},
        )
    assert answer.status in {200, 409}
    alice.goto("history/")
    expect(alice.page.get_by_text("Only once, from two tabs")).to_have_count(1)


def test_a_reload_in_the_middle_of_an_apply_finds_it_again(stack: Stack, alice: Person) -> None:
    alice.add_rule("container", "9041", comment="reloaded")
    alice.goto("review/")
    with stack.frozen("root worker"):
        alice.start_apply("Reload while it runs")
        expect(alice.page.locator('[data-state="queued"]')).to_be_visible()
        alice.page.reload()
        expect(alice.page.locator('[data-state="queued"]')).to_be_visible()
        alice.goto("review/")
        expect(alice.page.locator("main")).to_contain_text("has not finished")
        alice.follow("Show that apply")
        expect(alice.page.locator('[data-state="queued"]')).to_be_visible()
    alice.expect_applied()


def test_a_root_worker_that_does_not_answer_is_named(stack: Stack, alice: Person, screens: Screens) -> None:
    with stack.frozen("root worker"):
        alice.goto("rules/")
        stack.forget_snapshot()
        alice.page.goto("/")
        expect(alice.page.locator(".sentence.unknown")).to_be_visible()
        expect(alice.page.locator("main")).to_contain_text("root worker")
        screens.take(alice.page, "dashboard-no-worker")
    expect(alice.page.locator(".sentence.ok")).to_be_visible()


def test_redis_that_does_not_answer_is_named(stack: Stack, alice: Person, screens: Screens) -> None:
    alice.add_rule("container", "9051", comment="while Redis is away")
    alice.goto("review/")
    before = stack.our_rules()
    with stack.frozen("redis"), alice.watch.expecting(503):
        alice.start_apply("Nobody hears this")
        expect(alice.page.locator("main")).to_contain_text("Redis")
        expect(alice.page.get_by_label("Reason", exact=True)).to_have_value("Nobody hears this")
        screens.take(alice.page, "review-no-redis")
        alice.page.goto("/")
        expect(alice.page.locator(".sentence.unknown")).to_be_visible()
    assert stack.our_rules() == before
    expect(alice.page.locator(".sentence.ok")).to_be_visible()
    alice.apply("Redis is back")
    assert any("--ctorigdstport 9051" in line for line in stack.our_rules())


def test_a_manual_change_in_the_kernel_is_noticed(stack: Stack, alice: Person, screens: Screens) -> None:
    alice.page.goto("/")
    expect(alice.page.locator(".sentence.ok")).to_be_visible()
    stack.in_sandbox("iptables-nft", "-D", "INPUT", "-j", "FILTERS-HOST")
    expect(alice.page.locator(".sentence.bad")).to_be_visible()
    screens.take(alice.page, "dashboard-drift")
    alice.goto("review/")
    expect(alice.page.locator("main")).to_contain_text("The kernel differs.")
    alice.apply("Put it back", re.compile(r"^Apply revision \d+ again$"))
    assert "-A INPUT -j FILTERS-HOST" in stack.kernel_rules()
    alice.page.goto("/")
    expect(alice.page.locator(".sentence.ok")).to_be_visible()
