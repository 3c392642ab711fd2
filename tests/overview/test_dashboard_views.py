"""The dashboard and the health check."""

from __future__ import annotations

import pytest
from django.test import Client

from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
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
