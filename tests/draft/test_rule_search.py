"""Finding rules by words, ports, tags, groups and networks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client

from dockerfw.document.document import validate_rule
from dockerfw.document.values import Group
from dockerfw.iptables.model import Counters
from dockerfw.messages.snapshot_values import LastUse
from rules.audit.actors import Actor
from rules.draft.rule_search_selectors import Searched, rule_search, unmatched_words
from rules.draft.rule_services import rule_create
from rules.models import Host
from tests.rig.web_pages import HOST, text_of

GROUPS = (Group("office", entries=("10.16.0.0/12", "203.0.113.0/24")), Group("cloud", kind="feed"))
RULES: dict[str, dict[str, object]] = {
    "ssh": {"sources": ["@office"], "ports": ["22"], "tags": ["ops"], "owner": "Ada", "limit": "6/minute"},
    "web": {"ports": ["80", "443"], "tags": ["web"], "comment": "the shop"},
    "range": {"sources": ["10.16.7.0/24"], "ports": ["8000-9000"], "interface": "wg0"},
    "all": {"sources": ["198.51.100.7"], "ports": ["all"], "expires": "2020-01-01T00:00:00Z"},
    "bad": {"sources": ["192.0.2.0/24"], "protocol": "any", "action": "block", "enabled": False},
    "ping": {"sources": ["@cloud"], "protocol": "icmp", "ticket": "OPS-7"},
}
HITS = {"ssh": Counters(0, 0), "web": Counters(7, 700)}
COUNTED = datetime(2026, 10, 1, tzinfo=UTC)
USES = {"ssh": LastUse(None, COUNTED), "web": LastUse(datetime(2026, 11, 5, 8, tzinfo=UTC), COUNTED)}


def found(query: str) -> set[str]:
    matches = rule_search(query, GROUPS)
    rules = {
        name: validate_rule({"scope": "host", "protocol": "tcp", **values}) for name, values in RULES.items()
    }
    return {
        name
        for name, rule in rules.items()
        if matches(Searched(rule, "new" if name == "web" else "", HITS.get(name), USES.get(name)))
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", set(RULES)),
        ("SHOP", {"web"}),
        ("@off", {"ssh"}),
        ("@office tag:ops", {"ssh"}),
        ("tag:web", {"web"}),
        ("port:22", {"ssh", "all", "bad"}),
        ("port:8080", {"range", "all", "bad"}),
        ("port:x", set()),
        ("owner:ada", {"ssh"}),
        ("ticket:ops-7", {"ping"}),
        ("interface:wg", {"range"}),
        ("10.16.0.0/16", {"ssh", "range"}),
        ("10.16.7.9", {"ssh", "range"}),
        ("203.0.113.9", {"ssh"}),
        ("192.0.0.0/8", {"bad"}),
        ("198.51.100.7", {"all"}),
        ("2001:db8::1", set()),
        ("block", {"bad"}),
        ("allow", set(RULES) - {"bad"}),
        ("unused", {"ssh"}),
        ("unused:2026-11-06", {"ssh", "web"}),
        ("unused:2026-11-05", {"ssh"}),
        ("unused:2026-09-30", set()),
        ("unused:2026-13-01", set()),
        ("expired", {"all"}),
        ("disabled", {"bad"}),
        ("new", {"web"}),
        ("pending", {"web"}),
        ("changed", set()),
        ("anyone", {"web"}),
        ("anyone port:443", {"web"}),
        ("expires", {"all"}),
        ("@office @cloud", set()),
    ],
)
def test_a_search_finds(query: str, names: set[str]) -> None:
    assert found(query) == names


@pytest.mark.django_db
@pytest.mark.parametrize("word", ["port:x", "port:0", "port:65536", "unused:2026-13-01", "unused:soon"])
def test_a_word_that_is_no_port_or_day_is_named(signed_in: Client, word: str) -> None:
    page = text_of(signed_in.get(f"{HOST}/rules/", {"q": f"web {word}"}))
    assert f"{word}: {word.partition(':')[2]} is not a " in page
    assert "No rule matches" not in page


def test_a_search_that_finds_nothing_names_the_words_that_no_rule_has() -> None:
    rows = [
        Searched(validate_rule({"scope": "host", "protocol": "tcp", **values}), "", None)
        for values in RULES.values()
    ]
    assert unmatched_words("shop zebra", rows, GROUPS) == 'No rule has "zebra"'
    assert unmatched_words("@nowhere", rows, GROUPS) == 'No rule has "@nowhere"'
    assert unmatched_words("shop icmp", rows, GROUPS) == ""
    assert unmatched_words("colour:red", rows, GROUPS) == (
        'No rule has "colour:red". '
        "Fields are container:, interface:, owner:, port:, tag:, ticket: and unused:"
    )
    assert unmatched_words("2001:db8::7", rows, GROUPS) == 'No rule has "2001:db8::7"'
    assert len(unmatched_words("x" * 200, rows, GROUPS)) < 80


@pytest.mark.django_db
def test_the_page_says_so_and_works_without_scripts(signed_in: Client, host: Host, alice: Actor) -> None:
    values = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh", "tags": ["ops"]}
    rule_create(host=host, actor=alice, values=values)
    page = signed_in.get(f"{HOST}/rules/", {"q": "ssh <b>"})
    assert 'No rule has "<b>".' in text_of(page)
    assert "0 of 1" in text_of(page)
    # A filter adds its word to the search and takes it out again; the order stays, the page does not.
    page = signed_in.get(f"{HOST}/rules/", {"q": "ssh", "sort": "name", "page": "3"})
    assert 'href="?q=ssh+anyone&amp;sort=name"' in page.content.decode()
    page = signed_in.get(f"{HOST}/rules/", {"q": "ssh Anyone"})
    assert 'href="?q=ssh" aria-current="true"' in " ".join(page.content.decode().split())
    assert "1 of 1" in text_of(page)
