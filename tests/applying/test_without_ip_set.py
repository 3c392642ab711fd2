"""The review and the command line on a host that cannot have ipsets: they plan what the root worker loads."""

from __future__ import annotations

import pytest
from django.test import Client

from rules.audit.actors import Actor
from rules.command_line import stored
from rules.draft.draft_selectors import draft_document
from rules.draft.group_services import group_create
from rules.draft.rule_services import rule_create
from rules.models import Host
from tests.rig.command_fixtures import firewall
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]

SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"]}


@pytest.fixture
def office(working: Client, host: Host, alice: Actor) -> None:
    """A draft with a rule for a group of 100 addresses, on a host that was read without any rule."""
    entries = [f"192.0.2.{number}" for number in range(100)]
    group_create(host=host, actor=alice, name="office", values={"entries": entries})
    rule_create(host=host, actor=alice, values={**SSH, "sources": ["@office"]})


def test_sources_are_lines_in_the_review(working: Client, host: Host, office: None) -> None:
    host.refresh_from_db()
    snapshot_store(host, None, around={"lacks_ip_set": True})
    words = text_of(working.get(f"{HOST}/review/"))
    assert "--match-set" not in words
    assert "-s 192.0.2.99/32" in words
    snapshot_store(host, None, age=-1)
    assert "--match-set" in text_of(working.get(f"{HOST}/review/"))


def test_what_needs_a_set_is_refused(
    working: Client, host: Host, alice: Actor, office: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "LOOK_SECONDS", 0.05)
    group_create(
        host=host, actor=alice, name="cloud", values={"kind": "feed", "url": "https://example.org/x"}
    )
    rule_create(host=host, actor=alice, values={**SSH, "sources": ["@cloud"]})
    host.refresh_from_db()
    snapshot_store(host, draft_document(host), 1, around={"lacks_ip_set": True})
    said = "The rule “22/tcp from @cloud to the host” needs ipsets, which this host does not have."
    assert said in text_of(working.get(f"{HOST}/review/"))
    planned = firewall("plan")
    assert (planned.status, said in planned.out) == (2, True)
    applied = firewall("apply", "-m", "the cloud")
    assert applied.status == 2
    assert said in applied.err
