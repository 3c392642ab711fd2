"""A host whose lists do not hold what its rules count on is not called protected."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from dockerfw.chains.list_entries import list_of_networks
from dockerfw.host.clock import utc_now
from dockerfw.messages.about import About, about_key
from dockerfw.messages.codec import dump_json
from dockerfw.messages.list_orders import BoundList
from dockerfw.messages.surroundings import ListeningSocket
from rules.applying.followed_list_services import lists_follow_all
from rules.applying.kernel_selectors import KernelSentence, kernel_sentence
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import draft_document
from rules.draft.group_services import group_create
from rules.draft.rule_services import rule_create
from rules.link import client
from rules.lists.list_services import list_fail, list_record
from rules.lists.source_reading import Answer
from rules.models import GroupList, Host
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.redis_fixtures import RedisServer
from tests.rig.web_pages import text_of

pytestmark = pytest.mark.redis

SSHD = ListeningSocket(4, "tcp", "", 22, process="sshd")


def applied(host: Host, alice: Actor, **rule: Any) -> GroupList:
    """Confirm and load a rule about a feed, and return the feed's list."""
    group_create(
        host=host, actor=alice, name="drop", values={"kind": "feed", "url": "https://lists.example.org/drop"}
    )
    rule_create(host=host, actor=alice, values={"scope": "both", "sources": ["@drop"], **rule})
    confirm(host, alice)
    lists_follow_all()
    return GroupList.objects.get()


def sentence(host: Host) -> KernelSentence:
    """Return what the dashboard says of a host that holds its revision exactly."""
    host.refresh_from_db()
    snapshot_store(host, draft_document(host), 1)
    return kernel_sentence(basis_of(host))


def report(host: Host, *definitions: str) -> None:
    """Report as a root worker that holds these lists."""
    lists = tuple(BoundList(each, 1, "0" * 64, "1" * 64, 1, 1, 0) for each in definitions)
    about = About(host.name, utc_now(), "1", "boot", 0.0, 60, None, lists=lists)
    client.connection().set(about_key(host.name), dump_json(about.to_json()))


def test_a_block_by_a_list_that_was_never_fetched(queue: RedisServer, host: Host, alice: Actor) -> None:
    drop = applied(host, alice, action="block")
    found = sentence(host)
    assert (found.level, found.text) == ("warn", "Revision 1 is active, but a list blocks too little.")
    assert found.reasons == ("@drop has no networks yet: nothing is blocked by it.",)
    # The kernel holds the revision all the same: there is nothing to load again.
    assert found.holds_revision
    list_fail(key=drop.pk, problem="The server answers 404.")
    assert sentence(host).reasons[0].endswith("nothing is blocked by it. The server answers 404.")
    list_record(key=drop.pk, answer=Answer(list_of_networks(["198.51.100.0/24"])))
    assert sentence(host).level == "ok"
    report(host)
    assert sentence(host).reasons == ("@drop has not reached the host yet.",)
    report(host, drop.definition)
    assert sentence(host).level == "ok"


def test_a_stale_list_is_told_for_blocks_and_allowances(queue: RedisServer, host: Host, alice: Actor) -> None:
    drop = applied(host, alice)
    assert sentence(host).reasons == ("@drop has no networks yet: nobody is allowed by it.",)
    list_record(key=drop.pk, answer=Answer(list_of_networks(["198.51.100.0/24"])))
    assert sentence(host).text.startswith("Protected")
    GroupList.objects.update(fetched_at=timezone.now() - timedelta(days=4))
    found = sentence(host)
    assert (found.level, found.text) == (
        "warn",
        "Revision 1 is active, but a list is not as its rules need it.",
    )
    assert "may allow former owners" in found.reasons[0]


def test_a_list_that_no_enabled_rule_names_is_not_asked_about(
    queue: RedisServer, host: Host, alice: Actor
) -> None:
    applied(host, alice, enabled=False)
    assert sentence(host).level == "ok"


def test_the_review_takes_a_list_for_what_it_holds(host: Host, alice: Actor, working: Client) -> None:
    group_create(host=host, actor=alice, name="home", values={"kind": "names", "names": ["home.example.org"]})
    ssh = {"scope": "host", "protocol": "tcp", "ports": ["22"], "sources": ["@home"]}
    rule_create(host=host, actor=alice, values=ssh)
    snapshot_store(host, around={"sockets": (SSHD,)})
    page = text_of(working.get("/hosts/local/review/?effects=yes"))
    assert "@home has no networks yet: nobody is allowed by it." in page
    assert "cannot tell" not in page
    lists_follow_all()
    list_record(key=GroupList.objects.get().pk, answer=Answer(list_of_networks(["198.51.100.9"])))
    page = text_of(working.get("/hosts/local/review/?effects=yes"))
    assert "has no networks" not in page
    assert "198.51.100.9" in page
