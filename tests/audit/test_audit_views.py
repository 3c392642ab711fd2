"""The audit page, its filters and its CSV."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import connection
from django.http import HttpResponseBase, StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from rules.applying.history_selectors import noticed_events
from rules.applying.unknown_apply_selectors import unknown_apply
from rules.audit import audit_selectors, audit_views
from rules.audit.actors import Actor
from rules.audit.audit_selectors import AuditFilters, audit_count, audit_matches, audit_page
from rules.audit.audit_services import audit_record
from rules.draft.expectation_services import expectation_create, expectation_update
from rules.draft.rule_services import rule_create, rule_update
from rules.models import AuditEvent, Host, Rule
from tests.rig.web_pages import assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
PATH = "/audit/"
CSV = "/audit/audit.csv"


@pytest.fixture
def ssh(host: Host, alice: Actor, bob: Actor) -> Rule:
    """A rule that alice added and bob changed."""
    rule = rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    return rule_update(host=host, actor=bob, key=rule.key, version=1, values={"ports": ["2222"]})


def rows_of(answer: object) -> list[dict[str, str]]:
    """Return the rows of a CSV answer."""
    assert isinstance(answer, StreamingHttpResponse)
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


def shown(page: HttpResponseBase) -> list[str]:
    """Return the targets of the events on a page."""
    return re.findall(r"<code>([^<]*)</code>", getattr(page, "content", b"").decode())


def link(page: HttpResponseBase, words: str) -> str:
    """Return the address that a link leads to."""
    body = getattr(page, "content", b"").decode()
    found = re.search(rf'href="([^"]*)">{words}<', body)
    assert found, f"no link {words}"
    return unescape(found[1])


def plans(queries: CaptureQueriesContext) -> list[str]:
    """Return how SQLite carries out each query."""
    found = []
    for each in queries.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {each['sql']}")
            found.append(" ".join(str(row[-1]) for row in cursor.fetchall()))
    return found


def test_access(signed_in: Client, alice: Actor) -> None:
    assert_access(PATH, signed_in)
    assert_access(CSV, signed_in)
    assert_access(f"{PATH}{audit_record(actor=alice, verb='sign-in').pk}/", signed_in)


def test_long_values_are_on_the_page_of_their_event(signed_in: Client, host: Host, alice: Actor) -> None:
    big = {"rules": [{"comment": f"service {number}"} for number in range(2_000)]}
    heavy = audit_record(actor=alice, verb="draft-replace", host=host, before=big, after={"rules": []})
    small = audit_record(actor=alice, verb="draft-replace", host=host, before={"rules": ["one"]})
    page = signed_in.get(PATH)
    body = page.content.decode()
    assert f'href="{PATH}{heavy.pk}/">Show the values' in body
    assert f"{PATH}{small.pk}/" not in body
    assert "service 1" not in body
    assert len(body) < 30_000
    with CaptureQueriesContext(connection) as queries:
        found = audit_page(audit_matches(AuditFilters()))
        assert {event.pk: event.before for event in found.events}[small.pk] == {"rules": ["one"]}
    # Of the values, those of heavy events are not read, and all others at once.
    assert len(queries) <= 3
    assert found.heavy == {heavy.pk}
    alone = signed_in.get(f"{PATH}{heavy.pk}/")
    assert "service 1" in text_of(alone)
    assert len(alone.content) < 100_000
    assert has_no_inline_code(alone)
    assert signed_in.get(f"{PATH}{heavy.pk + 9}/").status_code == 404


def test_events_with_actor_address_and_values(signed_in: Client, ssh: Rule) -> None:
    page = signed_in.get(PATH)
    words = text_of(page)
    assert f"bob changed a rule {ssh.key} 2222/tcp from anywhere to the host Ports: 22 \u2192 2222" in words
    assert "192.0.2.20" in words
    assert "Before and after" in words
    assert has_no_inline_code(page)


@pytest.mark.parametrize(
    ("query", "by_alice", "by_bob"),
    [
        ({"actor": "bob"}, False, True),
        ({"verb": "rule-create"}, True, False),
        ({"q": "192.0.2.20"}, False, True),
        ({"since": "2020-01-01"}, True, True),
        ({"until": "2020-01-01"}, False, False),
        ({"until": "9999-12-31"}, True, True),
        ({"since": "9999-12-31"}, False, False),
        ({"until": "0001-01-01"}, False, False),
        ({"since": "0001-01-01"}, True, True),
    ],
)
def test_filters(signed_in: Client, ssh: Rule, query: dict[str, str], by_alice: bool, by_bob: bool) -> None:
    found = {row["who"] for row in rows_of(signed_in.get(CSV, query)) if row["target"] == ssh.key}
    assert found == {name for name, wanted in (("alice", by_alice), ("bob", by_bob)) if wanted}
    words = text_of(signed_in.get(PATH, query))
    assert (f"added a rule {ssh.key}" in words) == by_alice
    assert (f"changed a rule {ssh.key}" in words) == by_bob


def test_an_empty_page_names_the_date_it_searched_from(signed_in: Client, ssh: Rule) -> None:
    words = text_of(signed_in.get(PATH, {"actor": "carol", "since": "2026-01-02"}))
    assert "No events by carol since 2 Jan 2026." in words
    assert "No matching events since" in text_of(signed_in.get(PATH, {"q": "nothing like it"}))


@pytest.mark.parametrize("day", ["2026-13-45", "yesterday", "9" * 300])
def test_an_invalid_date_is_an_error(signed_in: Client, day: str) -> None:
    assert "is not a date" in text_of(signed_in.get(PATH, {"since": day}))


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://evil.example")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]
)
def test_the_csv_holds_no_formula(signed_in: Client, host: Host, text: str) -> None:
    audit_record(actor=Actor(name=text, address="192.0.2.1"), verb="rule-update", host=host, detail=text)
    cells = [cell for row in rows_of(signed_in.get(CSV)) for cell in row.values()]
    assert any(cell.lstrip("'").strip() == text.strip() for cell in cells)
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r" and cell]


def test_many_events_are_paged(signed_in: Client, host: Host, alice: Actor) -> None:
    for number in range(120):
        audit_record(actor=alice, verb="rule-update", host=host, target=f"rule{number:03d}")
    first = signed_in.get(PATH, {"actor": "alice", "verb": "rule-update"})
    assert "The newest 50" in text_of(first)
    assert shown(first) == [f"rule{number:03d}" for number in range(119, 69, -1)]
    assert "1 to 50 of 120" in text_of(signed_in.get(PATH, {"verb": "rule-update"}))
    second = signed_in.get(PATH + link(first, "Older"))
    assert shown(second) == [f"rule{number:03d}" for number in range(69, 19, -1)]
    assert shown(signed_in.get(PATH + link(second, "Newer"))) == shown(first)
    third = signed_in.get(PATH + link(second, "Older"))
    assert shown(third) == [f"rule{number:03d}" for number in range(19, -1, -1)]
    assert "Older" not in text_of(third)
    assert shown(signed_in.get(PATH + link(third, "Newer"))) == shown(second)


def test_newer_than_the_newest_is_the_first_page(signed_in: Client, host: Host, alice: Actor) -> None:
    for number in range(60):
        audit_record(actor=alice, verb="rule-update", host=host, target=f"rule{number:03d}")
    last = AuditEvent.objects.order_by("-pk")[20].pk
    assert shown(signed_in.get(PATH, {"after": str(last)}))[0] == "rule059"
    assert len(shown(signed_in.get(PATH, {"after": str(last)}))) == 50
    assert "No events" in text_of(signed_in.get(PATH, {"before": "1"}))


def test_more_than_can_be_counted_is_said(
    signed_in: Client, host: Host, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (audit_selectors, audit_views):
        monkeypatch.setattr(module, "MOST_COUNTED", 55)
    for _ in range(60):
        audit_record(actor=alice, verb="rule-update", host=host)
    assert "1 to 50 of more than 55" in text_of(signed_in.get(PATH))


def test_a_search_for_words_reads_a_part_of_the_log_at_a_time(
    signed_in: Client, host: Host, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_selectors, "MOST_SEARCHED", 20)
    audit_record(actor=alice, verb="rule-update", host=host, target="the-needle")
    for _ in range(50):
        audit_record(actor=alice, verb="rule-update", host=host, target="hay")
    page = signed_in.get(PATH, {"q": "needle"})
    assert "Searched back to" in text_of(page)
    assert "Nothing matches so far." in text_of(page)
    for _ in range(2):
        assert "the-needle" not in text_of(page)
        page = signed_in.get(PATH + link(page, "Search further back"))
    assert "the-needle" in text_of(page)
    assert "Search further back" not in text_of(page)
    assert "the-needle" not in text_of(signed_in.get(PATH + link(page, "Newer")))


def test_a_search_ends_at_the_first_entry_whatever_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_selectors, "MOST_SEARCHED", 20)
    AuditEvent.objects.create(pk=900_000, actor_name="alice", verb="rule-update", target="the-needle")
    for number in range(30):
        AuditEvent.objects.create(pk=900_001 + number, actor_name="alice", verb="rule-update", target="hay")
    filters = audit_selectors.AuditFilters(query="needle")
    page = audit_page(audit_matches(filters))
    assert (page.events, page.older) == ((), 900_011)
    page = audit_page(audit_matches(filters), before=page.older)
    assert ([event.target for event in page.events], page.older) == (["the-needle"], 0)


@pytest.mark.parametrize("days", [{"since": "2026-03-01"}, {"until": "2026-02-28"}])
def test_an_entry_of_a_clock_that_was_set_back_is_found_by_its_day(
    signed_in: Client, host: Host, monkeypatch: pytest.MonkeyPatch, days: dict[str, str]
) -> None:
    for number, day in enumerate((1, 60, 2, 61, 3)):
        at = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
        monkeypatch.setattr(timezone, "now", lambda at=at: at)
        audit_record(actor=Actor("alice", "192.0.2.1"), verb="rule-update", host=host, target=f"day{number}")
    found = shown(signed_in.get(PATH, {**days, "verb": "rule-update"}))
    assert found == (["day3", "day1"] if "since" in days else ["day4", "day2", "day0"])


@pytest.mark.parametrize(
    "query", [{}, {"actor": "alice"}, {"verb": "rule-update"}, {"q": "rule"}, {"day": "1"}]
)
def test_a_page_of_a_long_log_is_read_by_an_index(host: Host, alice: Actor, query: dict[str, str]) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("Postgres plans by the number of rows")
    audit_record(actor=alice, verb="rule-update", host=host)
    filters = AuditFilters(
        actor=query.get("actor", ""),
        verb=query.get("verb", ""),
        query=query.get("q", ""),
        since=timezone.localdate() if "day" in query else None,
    )
    with CaptureQueriesContext(connection) as queries:
        found = audit_matches(filters)
        audit_page(found, before=2**40)
        audit_count(found)
        audit_page(found, after=1)
    assert len(queries) <= 9
    assert all(each["sql"].count('"id" <=') <= 1 for each in queries.captured_queries)
    for plan in plans(queries):
        assert "TEMP B-TREE" not in plan, plan
        assert not re.search(r"SCAN rules_auditevent(?! USING)", plan), plan


def test_a_filter_costs_no_query(signed_in: Client, ssh: Rule) -> None:
    counts = []
    for query in ({}, {"actor": "alice"}, {"actor": "ALICE"}, {"verb": "rule-update"}):
        with CaptureQueriesContext(connection) as queries:
            assert len(shown(signed_in.get(PATH, query))) > 0
        counts.append(len(queries))
    assert len(set(counts)) == 1, counts


def test_the_frame_of_a_page_reads_no_long_log(host: Host, alice: Actor) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("Postgres plans by the number of rows")
    audit_record(actor=alice, verb="rule-update", host=host)
    with CaptureQueriesContext(connection) as queries:
        unknown_apply(host)
        noticed_events(host)
    for plan in plans(queries):
        # (The newest entry, those of a verb, or those that are newer than one.)
        assert "audit_event_of_host" in plan or "rowid>?" in plan or plan == "SCAN rules_auditevent", plan


@pytest.mark.parametrize("name", ["actor", "verb", "q", "since", "page"])
def test_odd_filters_show_the_page(signed_in: Client, name: str) -> None:
    for text in (
        "\x00",
        "%",
        "'\"<b>",
        "\ud83d\udd25".encode("utf-16", "surrogatepass").decode("utf-16"),
        "9" * 400,
    ):
        assert signed_in.get(PATH, {name: text}).status_code == 200
        assert signed_in.get(CSV, {name: text}).status_code == 200


def test_a_changed_expectation_is_described(signed_in: Client, host: Host, alice: Actor) -> None:
    values = {"protocol": "tcp", "port": 22, "source": "203.0.113.0/24", "passes": True}
    row = expectation_create(host=host, actor=alice, values=values)
    expectation_update(host=host, actor=alice, key=row.pk, version=1, values={"port": 2222, "passes": False})
    words = text_of(signed_in.get(PATH))
    assert "added an expectation" in words
    assert "changed an expectation 2222/tcp of the host from 203.0.113.0/24 is refused" in words
    assert "Expected result: passes → is refused" in words
    assert "Port: 22 → 2222" in words
