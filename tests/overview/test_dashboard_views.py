"""The dashboard and the health check."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.expectation_services import expectation_create
from rules.draft.rule_services import rule_create
from rules.models import Host
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db


def test_access(signed_in: Client) -> None:
    assert_access(f"{HOST}/", signed_in)
    assert_access("/", signed_in, status=302)


def test_the_root_address_redirects_to_the_only_host(signed_in: Client) -> None:
    assert signed_in.get("/")["Location"] == f"{HOST}/"


def test_without_a_snapshot_nothing_is_claimed(signed_in: Client) -> None:
    page = signed_in.get(f"{HOST}/")
    assert 'data-level="unknown"' in page.content.decode()
    assert "Unknown: there is no report" in text_of(page)
    assert has_no_inline_code(page)


@pytest.mark.redis
def test_what_the_kernel_holds_is_said_only_from_a_fresh_look(
    working: Client, host: Host, alice: Actor
) -> None:
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    revision = confirm(host, alice)
    snapshot_store(host, draft_document(host), revision.number, packets=7)
    page = working.get(f"{HOST}/")
    assert "Protected: revision 1 is active for IPv4 and IPv6." in text_of(page)
    assert 'data-level="ok"' in page.content.decode()
    assert "IPv4 packets refused 7 420 B" in text_of(page)
    snapshot_store(host, draft_document(host), revision.number, age=60)
    assert 'data-level="unknown"' in working.get(f"{HOST}/").content.decode()
    snapshot_store(host, None)
    assert 'data-level="bad"' in working.get(f"{HOST}/").content.decode()


@pytest.mark.redis
def test_who_changed_it_last_and_why(working: Client, host: Host, alice: Actor) -> None:
    revision = confirm(host, alice, "Open the <shop>")
    snapshot_store(host, draft_document(host), revision.number)
    words = text_of(working.get(f"{HOST}/"))
    assert re.search(r"Verified in the kernel \d s ago\. Last change by alice, today", words)
    assert "“Open the <shop>”" in words
    snapshot_store(host, draft_document(host), revision.number, age=60)
    assert "Verified" not in text_of(working.get(f"{HOST}/"))


def test_a_host_without_a_revision_is_led_to_the_guide(signed_in: Client, host: Host, alice: Actor) -> None:
    link = f'href="{HOST}/start/"'
    assert link in signed_in.get(f"{HOST}/").content.decode()
    confirm(host, alice)
    assert link not in signed_in.get(f"{HOST}/").content.decode()


@pytest.mark.redis
def test_failing_checks_and_what_cannot_be_told(working: Client, host: Host, alice: Actor) -> None:
    for passes in (True, False):
        expectation_create(
            host=host,
            actor=alice,
            values={"protocol": "tcp", "port": 22, "to": "host", "passes": passes, "source": "192.0.2.9"},
        )
    revision = confirm(host, alice)
    snapshot_store(host, draft_document(host), revision.number)
    words = text_of(working.get(f"{HOST}/"))
    assert "1 of 2 pass" in words
    assert "Fails: 22/tcp" in words
    snapshot_store(host, draft_document(host), revision.number, age=60)
    words = text_of(working.get(f"{HOST}/"))
    assert "Unknown: The kernel was read" in words
    assert "Failed then: 22/tcp" in words
    assert " pass " not in words


def test_rules_that_expire_soon(signed_in: Client, host: Host, alice: Actor) -> None:
    now = timezone.now()
    for name, hours in (("Contractor <VPN>", 50), ("ended", -1), ("later", 24 * 30)):
        expires = f"{now + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
        values = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": name, "expires": expires}
        rule_create(host=host, actor=alice, values=values)
    assert "Expiring soon" not in text_of(signed_in.get(f"{HOST}/"))
    confirm(host, alice)
    words = text_of(signed_in.get(f"{HOST}/"))
    assert "Expiring soon Rules Contractor <VPN> Ends in 2 days" in words
    assert "later" not in words


@pytest.mark.redis
def test_htmx_gets_only_the_part_about_the_kernel(working: Client, host: Host) -> None:
    snapshot_store(host, None)
    piece = working.get(f"{HOST}/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in piece
    assert "ens33" in piece


def test_the_banner_has_the_number_of_the_review(signed_in: Client, host: Host, alice: Actor) -> None:
    confirm(host, alice)
    for port in ("22", "80"):
        rule_create(host=host, actor=alice, values={"scope": "both", "protocol": "tcp", "ports": [port]})
    for path in (
        f"{HOST}/",
        f"{HOST}/rules/",
        f"{HOST}/live/",
        f"{HOST}/history/",
        f"{HOST}/settings/",
        "/audit/",
    ):
        assert "2 pending changes" in text_of(signed_in.get(path)), path
    assert "2 pending changes" in text_of(signed_in.get(f"{HOST}/review/"))


def test_one_host_is_never_named_and_several_are(signed_in: Client, host: Host) -> None:
    assert 'class="host"' not in signed_in.get(f"{HOST}/").content.decode()
    Host.objects.create(name="backup")
    assert 'class="host"' in signed_in.get(f"{HOST}/").content.decode()
    assert signed_in.get("/hosts/backup/").status_code == 200


def test_the_health_check_needs_no_account_and_shows_nothing() -> None:
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_pages_are_not_stored_and_keep_to_the_policy(signed_in: Client) -> None:
    page = signed_in.get(f"{HOST}/")
    assert page["Cache-Control"] == "no-store"
    assert "script-src 'self'" in page["Content-Security-Policy"]
    assert "unsafe" not in page["Content-Security-Policy"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.redis
def test_the_page_takes_few_queries(
    working: Client, host: Host, alice: Actor, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    revision = confirm(host, alice)
    snapshot_store(host, draft_document(host), revision.number)
    working.get(f"{HOST}/")
    with django_assert_max_num_queries(15):
        page = working.get(f"{HOST}/")
    assert len(page.content) < 100_000
