"""One search over a host: what each kind of word finds, within bounds, as a page and for the palette."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import resolve

from rules.audit.actors import Actor
from rules.draft.group_services import group_create
from rules.draft.rule_services import rule_create
from rules.models import Apply, Host, Revision, Rule
from rules.search.search_selectors import MOST, Kind, search
from rules.search.site_pages import SITE_PAGES
from tests.rig.busy_host import busy_store
from tests.rig.confirmed import confirm
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
PATH = f"{HOST}/search/"


@pytest.fixture
def office(host: Host, alice: Actor) -> Host:
    """A host with a group, three rules and two revisions."""
    entries = {"kind": "static", "entries": ["203.0.113.0/24", "10.16.0.0/12"], "comment": "both sites"}
    group_create(host=host, actor=alice, name="office", values=entries)
    rules: list[dict[str, object]] = [
        {"scope": "host", "ports": ["20-30"], "sources": ["198.51.100.7"], "comment": "a range"},
        {"scope": "host", "ports": ["22"], "sources": ["@office"], "comment": "ssh"},
        {"scope": "container", "ports": ["8080"], "container": "shop/web"},
    ]
    for values in rules:
        rule_create(host=host, actor=alice, values={"protocol": "tcp", **values})
    confirm(host, alice, "Open ssh for the office")
    confirm(host, alice, "Second thoughts")
    return host


def titles(kinds: tuple[Kind, ...], label: str) -> list[str]:
    return [each.title for kind in kinds if kind.label == label for each in kind.results]


def test_who_may_search(signed_in: Client) -> None:
    assert_access(PATH, signed_in)
    assert_access(f"{PATH}?q=22", signed_in)


def test_without_a_word_the_pages_are_listed(office: Host, no_queue: None) -> None:
    (kind,) = search(office, " ")
    assert [each.title for each in kind.results] == [page.label for page in SITE_PAGES]
    for each in kind.results:
        assert resolve(each.url)


def test_the_keys_of_the_pages_differ() -> None:
    keys = [page.key for page in SITE_PAGES if page.key]
    assert len(keys) == len(set(keys)) > 10
    assert "n" not in keys


@pytest.mark.parametrize(
    ("query", "rules"),
    [
        ("22", ["ssh", "a range"]),
        ("port:22", ["a range", "ssh"]),
        ("203.0.113.9", ["ssh"]),
        ("10.16.0.0/16", ["ssh"]),
        ("198.51.100.7", ["a range"]),
        ("@office", ["ssh"]),
        ("SSH", ["ssh"]),
        ("shop/web", ["8080/tcp from anywhere to container shop/web"]),
        ("xyzzy", []),
    ],
)
def test_rules(office: Host, no_queue: None, query: str, rules: list[str]) -> None:
    assert titles(search(office, query), "Rules") == rules


@pytest.mark.parametrize("query", ["@office", "offi", "sites", "203.0.113.9", "10.16.0.0/16"])
def test_groups(office: Host, no_queue: None, query: str) -> None:
    assert titles(search(office, query), "Groups") == ["@office"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("r1", ["Revision 1"]),
        ("#2", ["Revision 2"]),
        ("2", ["Revision 2"]),
        ("revision 1", ["Revision 1"]),
        ("r77", []),
        ("SSH office", ["Revision 1"]),
        ("thoughts", ["Revision 2"]),
        ("100%", []),
    ],
)
def test_revisions(office: Host, no_queue: None, query: str, found: list[str]) -> None:
    assert titles(search(office, query), "Revisions") == found


def test_containers_and_ports(office: Host, queue: object) -> None:
    busy_store(office)
    found = search(office, "shop/web")
    assert titles(found, "Containers") == ["shop/web"]
    (kind,) = (kind for kind in found if kind.label == "Containers")
    assert kind.results[0].detail == "shop-web-1, publishes 8080/tcp"
    assert kind.results[0].url == f"{HOST}/exposure/?q=shop%2Fweb"
    assert titles(found, "Ports") == ["8080/tcp"]
    assert titles(search(office, "22"), "Ports") == ["22/tcp"]
    assert titles(search(office, "redis"), "Ports") == ["6379/tcp"]
    assert titles(search(office, "172.17.0.2"), "Containers") == ["shop/web"]
    assert "Containers" not in [kind.label for kind in search(office, "xyzzy")]


def test_documentation(office: Host, no_queue: None) -> None:
    (kind,) = (kind for kind in search(office, "locked out") if kind.label == "Documentation")
    assert kind.results[0].url == "/docs/troubleshooting/#locked-out"
    assert len(kind.results) + kind.more > 0


def test_each_kind_is_bounded_and_says_how_many_more(office: Host, no_queue: None) -> None:
    for number in range(1, MOST + 6):
        Revision.objects.create(
            host=office, number=100 + number, document="{}", digest=str(number), author_name="a", message="x"
        )
        Apply.objects.create(
            host=office,
            revision=Revision.objects.get(number=100 + number),
            requested_by="a",
            message="many of them",
            sequence=1000 + number,
            job_id="j",
        )
    found = search(office, "many of them")
    assert titles(found, "Revisions") == [f"Revision {100 + MOST + 6 - each}" for each in range(1, MOST + 1)]


def test_ten_thousand_rules_cost_no_more_queries(host: Host, no_queue: None) -> None:
    Rule.objects.bulk_create(
        Rule(
            host=host,
            key=f"r{number:05}",
            scope="host",
            protocol="tcp",
            ports=[str(number + 1)],
            comment=f"rule {number}",
        )
        for number in range(10_000)
    )
    for query, least in (("rule", MOST), ("9999", 1), ("nothing at all", 0)):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            found = search(host, query)
        assert len(queries) <= 5, [each["sql"][:80] for each in queries]
        assert len(titles(found, "Rules")) >= least
    (kind,) = (kind for kind in search(host, "rule") if kind.label == "Rules")
    assert (len(kind.results), kind.more) == (MOST, 10_000 - MOST)
    assert kind.more_url == f"{HOST}/rules/?q=rule"
    assert titles(search(host, "rule 9999"), "Rules")[0] == "rule 9999"


def test_the_page_escapes_what_it_shows(office: Host, alice: Actor, signed_in: Client) -> None:
    values = {"scope": "host", "protocol": "tcp", "ports": ["99"], "comment": "<img src=x>"}
    rule_create(host=office, actor=alice, values=values)
    for headers in ({}, {"HX-Request": "true"}):
        response = signed_in.get(PATH, {"q": "99 <img"}, headers=headers)
        html = response.content.decode()
        assert "<img" not in html
        assert "&lt;img src=x" in html
        assert has_no_inline_code(response)
    assert "Nothing found for “<b>”" in text_of(signed_in.get(PATH, {"q": "<b>"}))


def test_the_palette_gets_options_alone(office: Host, signed_in: Client) -> None:
    response = signed_in.get(PATH, {"q": "ssh"}, headers={"HX-Request": "true"})
    html = response.content.decode()
    assert response["Cache-Control"] == "no-store"
    assert "<html" not in html
    assert 'data-query="ssh"' in html
    options = re.findall(r'<a role="option"[^>]*href="([^"]+)"', html)
    assert len(options) == html.count('role="option"') > 1
    for url in options:
        assert resolve(urlsplit(unescape(url)).path)
    assert f'data-count="{len(re.findall("role=.option.", html)) - html.count(" more ")} results"' in html
