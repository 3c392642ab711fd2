"""The list of hosts: a row for each, what needs attention first, at a constant number of queries."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import AuditEvent, Host
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
HOSTS = "/hosts/"


def add(name: str, actor: Actor, *, loaded: bool = True) -> Host:
    """Add a host with a confirmed revision, which its kernel holds."""
    host = Host.objects.create(name=name, external_interfaces=["ens33"])
    rule_create(host=host, actor=actor, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    revision = confirm(host, actor)
    snapshot_store(host, draft_document(host) if loaded else None, revision.number, forget=False)
    return host


def test_access(signed_in: Client) -> None:
    assert_access(HOSTS, signed_in)


def test_the_first_page_is_the_list_where_there_are_several(signed_in: Client, host: Host) -> None:
    assert signed_in.get("/")["Location"] == f"{HOST}/"
    Host.objects.create(name="web-1")
    assert signed_in.get("/")["Location"] == HOSTS
    page = signed_in.get(HOSTS)
    assert has_no_inline_code(page)
    assert "web-1 Unknown" in text_of(page)
    assert "All hosts" in text_of(signed_in.get(f"{HOST}/"))


@pytest.mark.redis
def test_each_host_has_its_state_and_the_worst_come_first(working: Client, host: Host, alice: Actor) -> None:
    add("a-good", alice)
    forged = add("b-forged", alice)
    after = {"apply": "0", "state": "confirmed"}
    AuditEvent.objects.create(host=forged, verb="apply-unknown", target="revision 9", after=after)
    add("c-drifted", alice, loaded=False)
    page = working.get(HOSTS)
    rows = {row.host.name: row for row in page.context["rows"]}
    assert list(rows) == ["b-forged", "c-drifted", "local", "a-good"]
    assert [row.pill.tone for row in rows.values()] == ["bad", "bad", "warn", "ok"]
    assert (rows["a-good"].drift, rows["local"].drift) == (0, None)
    assert rows["c-drifted"].drift
    assert "a-good Protected Revision 1 none" in text_of(page)


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_more_hosts_cost_no_more_queries(working: Client, host: Host, alice: Actor) -> None:
    def queries() -> int:
        working.get(HOSTS)
        with CaptureQueriesContext(connection) as captured:
            assert working.get(HOSTS).status_code == 200
        return len(captured)

    add("web-1", alice)
    before = queries()
    for number in range(2, 6):
        add(f"web-{number}", alice)
    assert queries() == before
    assert before <= 15
