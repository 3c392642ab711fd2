"""The audit page, its filters and its CSV."""

from __future__ import annotations

import csv
import io

import pytest
from django.http import StreamingHttpResponse
from django.test import Client

from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.draft.expectation_services import expectation_create, expectation_update
from rules.draft.rule_services import rule_create, rule_update
from rules.models import Host, Rule
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


def test_access(signed_in: Client) -> None:
    assert_access(PATH, signed_in)
    assert_access(CSV, signed_in)


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
    for _ in range(60):
        audit_record(actor=alice, verb="rule-update", host=host)
    assert "1 to 50 of" in text_of(signed_in.get(PATH))
    assert "page=2" in signed_in.get(PATH, {"actor": "alice"}).content.decode()


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
