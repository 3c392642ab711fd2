"""The list behind a group: its state in words, its page, Fetch now and Accept, and addresses in it."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from dockerfw.chains.group_sizes import GroupSize
from dockerfw.chains.list_entries import list_of_networks
from dockerfw.document.document import Document
from dockerfw.document.entries import read_network
from rules.applying.followed_list_services import lists_follow_all
from rules.audit.actors import Actor
from rules.draft.draft_services import draft_replace
from rules.draft.group_selectors import find_in_draft, group_rows
from rules.draft.group_services import group_create
from rules.draft.rule_services import rule_create
from rules.lists.list_services import list_fail, list_record
from rules.lists.source_reading import Answer
from rules.models import AuditEvent, GroupList, Host
from tests.rig.confirmed import confirm
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
PAGE = f"{HOST}/group/cloud/list/"


@pytest.fixture
def cloud(host: Host, alice: Actor) -> GroupList:
    """The list of a feed that a rule of the draft allows."""
    values = {"kind": "feed", "url": "https://lists.example.org/v4"}
    group_create(host=host, actor=alice, name="cloud", values=values)
    rule = {"scope": "host", "protocol": "tcp", "ports": ["443"], "sources": ["@cloud"]}
    rule_create(host=host, actor=alice, values=rule)
    lists_follow_all()
    return GroupList.objects.get()


def record(row: GroupList, count: int) -> None:
    networks = [f"192.0.2.{2 * number}" for number in range(count)]
    list_record(key=row.pk, answer=Answer(list_of_networks(networks), ""))


def state(host: Host) -> str:
    (row,) = group_rows(Host.objects.get(pk=host.pk))
    assert row.state is not None
    assert row.state.is_followed
    return row.state.text


def test_access(signed_in: Client, cloud: GroupList) -> None:
    assert_access(PAGE, signed_in)
    assert_access(f"{PAGE}fetch/", signed_in, methods="post")
    assert signed_in.get(f"{HOST}/group/other/list/").status_code == 404
    assert signed_in.post(f"{PAGE}accept/", {"version": "77"}).status_code == 404


def test_each_state_is_told_of(host: Host, cloud: GroupList) -> None:
    assert state(host) == "Not fetched yet. Until then it has no networks."
    list_fail(key=cloud.pk, problem="The server answered 503.")
    failing = state(host)
    assert failing.startswith(
        "Fetching fails. The server answered 503. It has no networks yet. The next try is in "
    )
    GroupList.objects.update(due_at=None)
    assert state(host) == "Fetching fails. The server answered 503. It has no networks yet."
    record(cloud, 10)
    assert re.fullmatch(r"Version 1, fetched \d+ seconds? ago\.", state(host))
    (row,) = group_rows(host)
    assert (row.ipv4, row.ipv6, row.size) == (10, 0, GroupSize(10, 0, 10, 0))
    record(cloud, 100)
    assert state(host).startswith("Version 2 waits to be accepted.")


def test_the_size_is_that_of_the_version_in_use(signed_in: Client, host: Host, cloud: GroupList) -> None:
    page = f"{HOST}/group/cloud/"
    assert "Networks unknown" in text_of(signed_in.get(page))
    list_record(key=cloud.pk, answer=Answer(list_of_networks(["192.0.2.0/25", "192.0.2.128/25"]), ""))
    assert "Networks after merging 1 IPv4, 0 IPv6 Addresses 256 IPv4 addresses" in text_of(
        signed_in.get(page)
    )


def test_the_list_of_a_removed_group_that_is_loaded_is_told_of(
    signed_in: Client, host: Host, alice: Actor, cloud: GroupList
) -> None:
    record(cloud, 10)
    confirm(host, alice)
    draft_replace(host=host, actor=alice, document=Document(), version=None)
    lists_follow_all()
    assert re.fullmatch(r"Version 1, fetched \d+ seconds? ago\.", state(host))
    assert signed_in.get(PAGE).status_code == 200


def test_a_version_is_accepted_and_the_next_fetch_requested(
    signed_in: Client, host: Host, cloud: GroupList
) -> None:
    record(cloud, 10)
    record(cloud, 100)
    page = signed_in.get(PAGE)
    assert has_no_inline_code(page)
    assert "Version 2 waits to be accepted" in text_of(page)
    assert "192.0.2.18" in text_of(page)
    assert "Version 2 waits" in text_of(signed_in.get(f"{HOST}/groups/"))
    held = GroupList.objects.get().held
    assert held is not None
    answer = signed_in.post(f"{PAGE}accept/", {"version": held.pk}, follow=True)
    assert "Version 2 of @cloud is in use." in text_of(answer)
    again = signed_in.post(f"{PAGE}accept/", {"version": held.pk}, follow=True)
    assert "is not held any more" in text_of(again)
    signed_in.post(f"{PAGE}fetch/")
    verbs = AuditEvent.objects.filter(actor_name="alice", verb__startswith="list-").order_by("pk")
    assert list(verbs.values_list("verb", flat=True)) == ["list-accept", "list-refresh"]


def test_an_address_is_found_in_a_list_once_it_has_a_version(host: Host, cloud: GroupList) -> None:
    asked, other, network = map(read_network, ("192.0.2.4", "192.0.2.5", "192.0.2.0/24"))
    assert asked
    assert other
    assert network
    fresh = Host.objects.get(pk=host.pk)
    assert find_in_draft(fresh, asked).unknown == ("cloud",)
    record(cloud, 10)
    found = find_in_draft(fresh, asked)
    assert [(each.group.name, each.entries) for each in found.holders] == [("cloud", ("192.0.2.4",))]
    assert len(found.rules) == 1
    assert (found.unknown, find_in_draft(fresh, other).holders) == ((), ())
    assert find_in_draft(fresh, network).unknown == ("cloud",)
