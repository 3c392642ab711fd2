"""Lists in the database: who needs them, when they are due, and what becomes of each answer of a source."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from dockerfw.chains.list_entries import list_of_networks
from dockerfw.document.values import Document, Group
from dockerfw.simulation.addresses import AddressSet
from rules.audit.actors import Actor
from rules.lists.list_selectors import (
    find_address,
    list_members,
    list_networks,
    list_states,
    list_versions,
)
from rules.lists.list_services import (
    KEPT_VERSIONS,
    list_accept,
    list_fail,
    list_record,
    list_refresh,
    lists_claim,
    lists_follow,
)
from rules.lists.source_reading import Answer
from rules.models import AuditEvent, GroupList, Host, ListVersion
from rules.pages.errors import ServiceError

FEED = Group("cloud", "feed", url="https://lists.example.org/v4", refresh_hours=24)
NAMES = Group("home", "names", names=("home.example.org",))
COUNTRIES = Group("nordic", "countries", countries=("SE", "NO"))


def follow(host: Host, *groups: Group, now: datetime | None = None) -> None:
    lists_follow(host=host, loaded=[], drafts=[Document(groups=groups)], now=now)


@pytest.fixture
def feed(host: Host) -> GroupList:
    """The list of a feed that an allowance uses."""
    follow(host, FEED)
    GroupList.objects.update(allow=True, loaded_allow=True)
    return GroupList.objects.get()


def record(row: GroupList, *networks: str, etag: str = "", now: datetime | None = None) -> ListVersion | None:
    return list_record(key=row.pk, answer=Answer(list_of_networks(networks), etag), now=now)


def hosts(count: int, start: int = 0) -> list[str]:
    return [f"192.0.2.{2 * number}" for number in range(start, start + count)]


def verbs() -> list[str]:
    return list(
        AuditEvent.objects.filter(verb__startswith="list-").order_by("pk").values_list("verb", flat=True)
    )


def test_each_definition_has_one_list_whatever_its_groups_are_called(host: Host) -> None:
    follow(host, FEED, NAMES, COUNTRIES, Group("office", entries=("192.0.2.0/24",)))
    assert [(row.name, row.kind, row.refresh_seconds) for row in GroupList.objects.all()] == [
        ("cloud", "feed", 86400),
        ("home", "names", 60),
        ("nordic", "countries", 86400),
    ]
    keys = set(GroupList.objects.values_list("pk", flat=True))
    follow(host, Group("edge", "feed", url=FEED.url, refresh_hours=1), NAMES, COUNTRIES)
    assert set(GroupList.objects.values_list("pk", flat=True)) == keys
    assert GroupList.objects.get(kind="feed").name == "edge"


def test_a_list_that_no_document_needs_is_kept_for_a_while(host: Host, feed: GroupList) -> None:
    now = timezone.now()
    record(feed, "192.0.2.1")
    follow(host, now=now)
    assert not lists_claim(now=now + timedelta(days=2))
    assert list_states(host) == ()
    follow(host, FEED, now=now + timedelta(days=29))
    assert list_networks(host, feed.definition) == ("192.0.2.1",)
    follow(host, now=now + timedelta(days=29))
    follow(host, now=now + timedelta(days=60))
    assert not GroupList.objects.exists()


def test_a_list_is_due_at_once_and_handed_out_to_one_caller(host: Host, feed: GroupList) -> None:
    now = timezone.now()
    assert [row.pk for row in lists_claim(now=now)] == [feed.pk]
    assert lists_claim(now=now) == []
    # Whoever had it is gone.
    assert len(lists_claim(now=now + timedelta(minutes=11))) == 1
    record(feed, "192.0.2.1", now=now)
    assert lists_claim(now=now + timedelta(hours=23)) == []
    assert len(lists_claim(now=now + timedelta(hours=24))) == 1


def test_a_request_makes_a_list_due(host: Host, feed: GroupList, alice: Actor) -> None:
    record(feed, "192.0.2.1")
    list_refresh(row=feed, actor=alice)
    assert len(lists_claim()) == 1
    assert verbs() == ["list-version", "list-refresh"]


def test_versions_are_numbered_and_an_unchanged_answer_makes_none(host: Host, feed: GroupList) -> None:
    first = record(feed, "192.0.2.0/24", "2001:db8::1", etag='"1"')
    assert first is not None
    assert (first.number, first.state, first.entries4, first.entries6) == (1, "accepted", 1, 1)
    assert record(feed, "2001:db8::1", "192.0.2.0/25", "192.0.2.128/25", etag='"2"') is None
    assert list_record(key=feed.pk, answer=Answer(None, '"2"')) is None
    second = record(feed, "192.0.2.0/24", "198.51.100.1", "2001:db8::1")
    assert second is not None
    assert (second.number, second.added4, second.removed4, second.added6) == (2, 1, 0, 0)
    (state,) = list_states(host)
    assert (state.state, state.error) == ("current", "")
    assert state.current is not None
    assert (state.current.number, state.current.added) == (2, 1)
    assert [version.number for version in list_versions(feed)] == [2, 1]
    assert list_networks(host, feed.definition) == ("192.0.2.0/24", "198.51.100.1", "2001:db8::1")


def test_a_list_that_grew_is_held_until_an_admin_accepts_it(
    host: Host, feed: GroupList, alice: Actor
) -> None:
    record(feed, *hosts(10))
    held = record(feed, *hosts(20))
    assert held is not None
    assert record(feed, *hosts(20)) is None
    (state,) = list_states(host)
    assert state.state == "held"
    assert "more than 30 %" in state.error
    assert len(list_networks(host, feed.definition) or ()) == 10
    list_accept(version=held, actor=alice)
    assert len(list_networks(host, feed.definition) or ()) == 20
    assert list_states(host)[0].state == "current"
    assert list_versions(feed)[0].decided_by == "alice"
    with pytest.raises(ServiceError, match="not held any more"):
        list_accept(version=held, actor=alice)
    assert verbs() == ["list-version", "list-held", "list-accept"]
    event = AuditEvent.objects.get(verb="list-accept")
    assert event.before is not None
    assert event.after is not None
    assert (event.actor_name, event.before["ipv4"], event.after["ipv4"]) == ("alice", 10, 20)


def test_a_held_version_is_replaced_by_the_next_one(host: Host, feed: GroupList, alice: Actor) -> None:
    record(feed, *hosts(10))
    held = record(feed, *hosts(20))
    newer = record(feed, *hosts(30))
    assert held is not None
    assert newer is not None
    with pytest.raises(ServiceError, match="not held any more"):
        list_accept(version=held, actor=alice)
    record(feed, *hosts(11))
    assert list_states(host)[0].held is None
    assert [version.state for version in list_versions(feed)] == [
        "accepted",
        "replaced",
        "replaced",
        "accepted",
    ]


def test_a_poisoned_list_is_refused_and_fetched_whole_again(host: Host, feed: GroupList) -> None:
    record(feed, *hosts(10), etag='"good"')
    refused = record(feed, "0.0.0.0/1", etag='"bad"')
    assert refused is not None
    assert record(feed, "0.0.0.0/1", etag='"bad"') is None
    feed.refresh_from_db()
    assert feed.etag == ""
    (state,) = list_states(host)
    assert state.state == "failing"
    assert "no prefix shorter than /8" in state.error
    assert len(list_networks(host, feed.definition) or ()) == 10
    record(feed, *hosts(10), etag='"good"')
    assert list_states(host)[0].state == "current"
    assert verbs() == ["list-version", "list-refused"]


def test_a_wide_block_list_is_not_accepted_for_an_allowance(
    host: Host, feed: GroupList, alice: Actor
) -> None:
    GroupList.objects.update(allow=False, block=True, loaded_allow=False, loaded_block=True)
    record(feed, "224.0.0.0/3", *hosts(10))
    held = record(feed, *hosts(10))
    assert held is not None
    assert held.state == "held"
    feed.refresh_from_db()
    assert list_members(feed, {}).v4[0] == "192.0.2.0"
    GroupList.objects.update(loaded_allow=True)
    feed.refresh_from_db()
    members = list_members(feed, {})
    assert (members.v4, members.problem != "") == ((), True)


def test_a_block_list_spares_the_admins_and_says_how_many(host: Host, feed: GroupList) -> None:
    GroupList.objects.update(allow=False, block=True, loaded_allow=False, loaded_block=True)
    record(feed, "192.0.2.10", "10.0.0.0/8", "203.0.113.0/24")
    feed.refresh_from_db()
    members = list_members(feed, {4: AddressSet.of(4, ["192.0.2.10"])})
    assert (members.v4, members.spared4) == (("203.0.113.0/24",), 2)


def test_failures_are_told_once_and_retried_soon_and_then_less_often(host: Host, feed: GroupList) -> None:
    now = timezone.now()
    for hours, wait in ((0, 5), (0, 5), (0.5, 30), (9, 60)):
        moment = now + timedelta(hours=hours)
        list_fail(key=feed.pk, problem="The list is gone.", now=moment)
        feed.refresh_from_db()
        assert feed.due_at == moment + timedelta(minutes=wait)
    (state,) = list_states(host, now=now + timedelta(hours=9))
    assert (state.state, state.error) == ("failing", "The list is gone.")
    record(feed, "192.0.2.1")
    assert list_states(host)[0].state == "current"
    assert verbs() == ["list-failing", "list-version"]


def test_a_list_that_was_not_fetched_for_three_periods_is_stale(host: Host, feed: GroupList) -> None:
    now = timezone.now()
    assert list_states(host)[0].state == "waiting"
    record(feed, "192.0.2.1", now=now)
    assert list_states(host, now=now + timedelta(hours=72))[0].state == "current"
    assert list_states(host, now=now + timedelta(hours=73))[0].state == "stale"


def test_names_become_empty_but_a_failing_server_is_no_answer(host: Host) -> None:
    follow(host, NAMES)
    row = GroupList.objects.get()
    now = timezone.now()
    record(row, "192.0.2.5", now=now)
    empty = list_record(key=row.pk, answer=Answer(list_of_networks([]), seconds=30), now=now)
    assert empty is not None
    assert (empty.state, list_networks(host, row.definition)) == ("accepted", ())
    row.refresh_from_db()
    assert row.due_at == now + timedelta(seconds=30)
    failed = Answer(list_of_networks([]), answers={}, problem="home (A) was not resolved.", failed=True)
    list_record(key=row.pk, answer=failed)
    assert list_states(host)[0].state == "failing"


def test_old_versions_are_removed_but_not_the_one_in_use(host: Host, feed: GroupList) -> None:
    record(feed, *hosts(10))
    for number in range(KEPT_VERSIONS + 5):
        record(feed, *hosts(20 + number))
    numbers = [version.number for version in list_versions(feed)]
    assert numbers == [*range(KEPT_VERSIONS + 6, 6, -1), 1]


def test_an_address_is_found_in_the_lists_in_use(host: Host, feed: GroupList) -> None:
    record(feed, "192.0.2.0/24", "198.51.100.7", "2001:db8::/32")
    assert [found.network for found in find_address(host, "192.0.2.77")] == ["192.0.2.0/24"]
    assert [found.network for found in find_address(host, " 198.51.100.7 ")] == ["198.51.100.7"]
    assert [found.network for found in find_address(host, "2001:DB8::5")] == ["2001:db8::/32"]
    assert find_address(host, "198.51.100.8") == ()
    with pytest.raises(ServiceError, match="not an address"):
        find_address(host, "example.org")


def test_a_list_that_is_gone_is_recorded_nowhere(host: Host, feed: GroupList) -> None:
    GroupList.objects.all().delete()
    assert record(feed, "192.0.2.1") is None
    list_fail(key=feed.pk, problem="gone")
    assert verbs() == []
