"""The page of refused packets in a browser: it follows the log, pauses, filters, and leads to a rule."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect
from redis import Redis

from dockerfw.messages.codec import dump_json
from dockerfw.messages.refusals import BATCH_FIELD, Refusal, RefusalBatch, refusals_key
from tests.browser.person import HOST, Person
from tests.browser.screens import Screens
from tests.browser.stack import Stack
from tests.browser.test_exposure import gets_in
from tests.rig.namespace import wait_until
from tests.rig.refused import SCANNER, refusal

pytestmark = pytest.mark.browser
HOST_PAGE = f"{HOST}/refused/"
SANDBOX = "192.0.2.10"
REMOVE_RULES = """
from rules.audit.actors import SYSTEM
from rules.draft.rule_bulk_services import rules_change
from rules.models import Host, Rule
found = [(rule.key, rule.version) for rule in Rule.objects.all()]
rules_change(host=Host.objects.get(), actor=SYSTEM, chosen=found, action="delete")
"""


def test_from_a_refused_packet_to_a_rule(stack: Stack, alice: Person, screens: Screens) -> None:
    page = alice.page
    # Rules of other tests may allow what is refused here.
    stack.manage("shell", "--command", REMOVE_RULES)
    alice.add_rule("host", "9022", source="198.51.100.0/24", comment="ssh for the office")
    alice.apply("Ssh for the office")
    revision = int(re.findall(r"dockerfw r(\d+)", " ".join(stack.kernel_rules()))[-1])
    alice.goto("refused/")
    expect(page.locator("main")).to_contain_text("Nothing was refused in the last hour")
    # It appears by itself, with the reason.
    add(stack, refusal(port=9022, revision=revision, count=412), refusal(port=9080, revision=revision))
    row = page.get_by_role("row").filter(has_text="9022/tcp")
    expect(row).to_contain_text("9022/tcp is allowed only from 198.51.100.0/24")
    # The newest revision goes without saying.
    expect(row).not_to_contain_text("revision")
    add(
        stack,
        refusal(source="2001:db8:77::9", port=9022, revision=revision, count=31),
        refusal(source="198.51.100.200", port=9022, revision=revision, count=3),
        refusal(source="203.0.113.5", port=9081, revision=revision, way="container", count=7),
    )
    expect(page.locator("main")).to_contain_text("unknown: revision")
    screens.take(page, "refused")
    page.set_viewport_size({"width": 1280, "height": 900})
    pause_under_the_pointer(stack, alice, revision)
    filter_as_you_type(alice)
    allow_it(stack, alice)
    page.goto("/")
    expect(page.locator("#refused-summary")).to_contain_text(
        re.compile(rf"{re.escape(SCANNER)}.*\b413\b", re.DOTALL)
    )
    screens.take(page, "dashboard-refused")


def test_real_packets_of_each_kind(stack: Stack, alice: Person) -> None:
    """Packets from the other end of ens33 appear on the open page, each with its reason."""
    alice.add_rule("host", "9122", source="198.51.100.0/24", comment="the office only")
    alice.goto("rules/new/?action=block&source=192.0.2.1&scope=host&protocol=tcp&ports=9123")
    alice.save_rule()
    alice.apply("An office, and a block")
    alice.goto("refused/")
    reasons = {
        9122: "9122/tcp is allowed only from 198.51.100.0/24",
        9123: "blocked by 192.0.2.1",
        9124: "no rule allows 9124/tcp",
    }
    for port in reasons:
        gets_in(stack, port)
    for port, text in reasons.items():
        row = alice.page.get_by_role("row").filter(has_text=f"{port}/tcp")
        expect(row).to_contain_text("192.0.2.1")
        expect(row).to_contain_text(text)
        expect(row).not_to_contain_text("unknown:")


def pause_under_the_pointer(stack: Stack, alice: Person, revision: int) -> None:
    """What is read or clicked does not move away."""
    page = alice.page
    page.get_by_role("row").filter(has_text="9022/tcp").first.hover()
    expect(page.locator("#live-state")).to_have_text("Paused while the pointer is over the list")
    add(stack, refusal(source="203.0.113.200", port=9090, revision=revision))
    wait_until("dockerfw has it", lambda: "9090/tcp" in page.request.get(HOST_PAGE).text())
    expect(page.get_by_role("row").filter(has_text="9090/tcp")).to_have_count(0)
    page.mouse.move(2, 2)
    expect(page.get_by_role("row").filter(has_text="9090/tcp")).to_be_visible()
    alice.press("Pause")
    expect(page.locator("#live-state")).to_have_text("Paused")
    add(stack, refusal(source="203.0.113.201", port=9091, revision=revision))
    wait_until("dockerfw has it", lambda: "9091/tcp" in page.request.get(HOST_PAGE).text())
    expect(page.get_by_role("row").filter(has_text="9091/tcp")).to_have_count(0)
    alice.press("Resume")
    expect(page.get_by_role("row").filter(has_text="9091/tcp")).to_be_visible()


def filter_as_you_type(alice: Person) -> None:
    """The address has the filters, so that it can be shared, and a refresh keeps them."""
    page = alice.page
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Source", exact=True).fill("203.0.113.77/32")
    expect(page).to_have_url(re.compile(r"source=203\.0\.113\.77"))
    expect(page.get_by_role("row").filter(has_text="2001:db8:77::9")).to_have_count(0)
    page.get_by_label("Why", exact=True).select_option("no-rule")
    expect(page.get_by_role("row").filter(has_text="9022/tcp")).to_have_count(0)
    expect(page.get_by_role("row").filter(has_text="9080/tcp")).to_be_visible()
    page.get_by_label("Why", exact=True).select_option("")
    expect(page.get_by_role("row").filter(has_text="9022/tcp")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Source", exact=True)).to_have_value("203.0.113.77/32")
    expect(page.get_by_role("link", name="Remove the filter Source 203.0.113.77/32")).to_be_visible()
    page.get_by_role("link", name="Port", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="9022/tcp")).to_contain_text(SCANNER)
    page.get_by_role("link", name="Source and port", exact=True).click()


def allow_it(stack: Stack, alice: Person) -> None:
    """Allow… opens the form filled in; Block and Trace likewise."""
    page = alice.page
    row = page.get_by_role("row").filter(has_text="9022/tcp")
    row.get_by_role("link", name=re.compile("^Block")).click()
    expect(page.locator('input[name="action"][value="block"]')).to_be_checked()
    expect(page.locator("#id_sources")).to_have_value(SCANNER + "/32")
    page.go_back()
    row.get_by_role("link", name=re.compile("^Trace")).click()
    expect(page.locator("[data-verdict]").first).to_have_attribute("data-verdict", "REJECT")
    page.go_back()
    row.get_by_role("link", name=re.compile("^Allow")).click()
    expect(page.get_by_label("Ports", exact=True)).to_have_value("9022")
    expect(page.locator("#id_sources")).to_have_value(SCANNER + "/32")
    expect(page.locator('input[name="scope"][value="host"]')).to_be_checked()
    alice.save_rule()
    alice.apply("Let the scanner in")
    assert any(SCANNER in line and "9022" in line for line in stack.our_rules())


def add(stack: Stack, *refusals: Refusal) -> None:
    """Add a batch to the stream, with the root worker's rights; IPv4 packets are for the sandbox."""
    refusals = tuple(replace(one, destination=SANDBOX) if one.family == 4 else one for one in refusals)
    batch = RefusalBatch("local", refusals[0].at, refusals[-1].at, refusals, 0)
    with Redis.from_url(stack.redis_url("root worker"), socket_timeout=5) as connection:
        connection.xadd(refusals_key("local"), {BATCH_FIELD: dump_json(batch.to_json())})
