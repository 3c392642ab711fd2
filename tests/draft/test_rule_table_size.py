"""The table with ten thousand rules: few queries, a small page, and nothing read twice."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from dockerfw.messages.surroundings import RuleUse, RuleUses
from rules.audit.actors import Actor
from rules.draft import rule_selectors
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_selectors import PAGE, DraftedRule, RuleRow
from rules.models import Host, Rule
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST

# Only without a transaction around it are drafts remembered, as in production.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]
RULES = f"{HOST}/rules/"
MANY = 10_000
MOST_QUERIES = 15
MOST_BYTES = 100_000


@pytest.fixture
def crowded(host: Host, alice: Actor, queue: object, no_fresh_look: None) -> Host:
    """A host with ten thousand applied rules, all of which the kernel counts."""
    Rule.objects.bulk_create(
        Rule(
            host=host,
            key=f"k{number:05}",
            scope="container" if number % 3 else "host",
            protocol="tcp",
            ports=[str(number % 60_000 + 1)],
            sources=[f"10.{number // 256}.{number % 256}.0/24", "198.51.100.7/32"],
            comment=f"the service of team {number}",
            tags=["team"],
            owner="the people in charge",
        )
        for number in range(MANY)
    )
    revision = confirm(host, alice)
    uses = tuple(RuleUse(f"k{number:05}", "2026-11-29T08:00:00Z") for number in range(0, MANY, 2))
    unused = tuple(f"k{number:05}" for number in range(1, MANY, 2))
    around = {"uses": RuleUses("2026-10-01T00:00:00Z", unused, uses)}
    snapshot_store(host, draft_document(host), revision.number, packets=7, around=around)
    return host


@pytest.mark.parametrize(
    "query",
    [
        "",
        "sort=name",
        "q=10.16.0.0/16",
        "sort=-hits",
        "sort=last&page=77",
        "q=service+team",
        "q=unused+tag:team",
    ],
)
def test_a_page_of_many_rules_stays_small(
    crowded: Host, admin: User, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def count(drafted: DraftedRule, *others: Any) -> RuleRow:
        made.append(drafted.rule.id)
        return RuleRow(drafted, *others)

    monkeypatch.setattr(rule_selectors, "RuleRow", count)
    client = Client()
    client.force_login(admin)
    client.get(RULES)
    made.clear()
    with CaptureQueriesContext(connection) as queries:
        begun = time.process_time()
        page = client.get(f"{RULES}?{query}")
        spent = time.process_time() - begun
    print(f"{query or 'all'}: {spent * 1000:.0f} ms, {len(queries)} queries, {len(page.content)} bytes")
    assert page.status_code == 200
    assert page.content.count(b'role="switch"') == len(made) <= PAGE
    assert len(queries) <= MOST_QUERIES, [each["sql"] for each in queries]
    assert len(page.content) < MOST_BYTES
