"""DNS names: each answer replaces the former one, and what a failing server said is kept for an hour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dns.rcode
import pytest

from rules.lists import name_resolution
from rules.lists.name_resolution import Resolution, make_resolver, resolve_names
from tests.rig.name_server import NameServer, name_server

HOME = "home.example.org"
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    monkeypatch.setattr(name_resolution, "QUERY_SECONDS", 0.3)
    with name_server() as found:
        yield found


def ask(
    server: NameServer, *names: str, former: Resolution | None = None, later: timedelta = timedelta()
) -> Resolution:
    resolver = make_resolver(["127.0.0.1"], server.port)
    return resolve_names(names or (HOME,), former.answers if former else {}, resolver, NOW + later)


def networks(found: Resolution) -> list[str]:
    return found.networks.to_text().split()


def test_both_families_of_all_names_are_asked(server: NameServer) -> None:
    server.say(HOME, "192.0.2.7", "192.0.2.5", "2001:db8::5", ttl=30)
    server.say("b.example.org", "198.51.100.1")
    found = ask(server, HOME, "b.example.org")
    assert networks(found) == ["192.0.2.5", "192.0.2.7", "198.51.100.1", "2001:db8::5"]
    assert (found.seconds, found.problems, found.answered) == (30, (), True)


@pytest.mark.parametrize(("ttl", "seconds"), [(0, 10), (10, 10), (42, 42), (86400, 60)])
def test_the_time_to_live_is_respected_within_bounds(server: NameServer, ttl: int, seconds: int) -> None:
    server.say(HOME, "192.0.2.5", "2001:db8::5", ttl=ttl)
    assert ask(server).seconds == seconds


def test_each_answer_replaces_the_former_one(server: NameServer) -> None:
    server.say(HOME, "192.0.2.5")
    first = ask(server)
    server.say(HOME, "203.0.113.9", "2001:db8::9")
    assert networks(ask(server, former=first)) == ["203.0.113.9", "2001:db8::9"]


def test_a_name_that_does_not_exist_any_more_has_no_address(server: NameServer) -> None:
    server.say(HOME, "192.0.2.5")
    first = ask(server)
    server.fail(HOME, dns.rcode.NXDOMAIN)
    gone = ask(server, former=first)
    assert (networks(gone), gone.problems, gone.answered) == ([], (), True)


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, None])
def test_a_server_that_fails_is_believed_for_an_hour(
    server: NameServer, rcode: dns.rcode.Rcode | None
) -> None:
    server.say(HOME, "192.0.2.5")
    first = ask(server)
    server.fail(HOME, rcode)
    kept = ask(server, former=first, later=timedelta(minutes=59))
    assert networks(kept) == ["192.0.2.5"]
    assert not kept.answered
    assert kept.problems[0].startswith(f"{HOME} (A) was not resolved")
    again = ask(server, former=kept, later=timedelta(minutes=60))
    assert networks(again) == ["192.0.2.5"]
    assert networks(ask(server, former=again, later=timedelta(minutes=61))) == []


def test_one_name_that_fails_leaves_the_others(server: NameServer) -> None:
    server.say(HOME, "192.0.2.5")
    server.fail("b.example.org", dns.rcode.SERVFAIL)
    found = ask(server, HOME, "b.example.org")
    assert (networks(found), len(found.problems), found.answered) == (["192.0.2.5"], 2, True)


def test_addresses_that_are_no_sources_are_left_out(server: NameServer) -> None:
    server.say(HOME, "127.0.0.1", "0.0.0.0", "224.0.0.1", "10.0.0.5", "::1", "ff02::1")
    assert networks(ask(server)) == ["10.0.0.5"]


def test_too_many_addresses_are_not_used(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_resolution, "MOST_ADDRESSES", 2)
    server.say(HOME, "192.0.2.5", "192.0.2.6", "192.0.2.7", "2001:db8::5")
    found = ask(server)
    assert networks(found) == ["2001:db8::5"]
    assert "At most 2" in found.problems[0]
