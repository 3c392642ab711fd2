"""Refused packets in the database: stored once, by minute, bounded, and removed when they are old."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address

import pytest
from django.conf import settings as site
from django.utils import timezone
from pytest_django import Settings

from dockerfw.reach.listening import RunningContainer
from rules.link import client
from rules.models import Host, RefusedCount, RefusedMinute, RefusedReading
from rules.overview import refused_jobs, refused_services
from rules.overview.refused_packets import UNLISTED, ContainersThen, key_range, source_key
from rules.overview.refused_services import refusals_expire, refusals_store
from tests.rig.kernel_reports import save_of, snapshot_store
from tests.rig.redis_fixtures import RedisServer
from tests.rig.refused import SCANNER, forwarded, raw_add, refusal, refusals_add

pytestmark = [pytest.mark.django_db, pytest.mark.redis]
DB = RunningContainer("ab12", "shop-db-1", "shop", "db", addresses=(ip_address("172.18.0.5"),))


@pytest.fixture(autouse=True)
def _forgetful(queue: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # (On Postgres a test's transaction would end with its connection.)
    monkeypatch.setattr("rules.overview.refused_jobs.connections.close_all", lambda: None)
    refused_jobs._readings.clear()
    refused_jobs._expired.clear()


def listed() -> list[tuple[str, int | None, int]]:
    rows = RefusedMinute.objects.exclude(reason=UNLISTED).order_by("source_key", "port")
    return [(row.source, row.port, row.count) for row in rows]


def test_alike_packets_of_a_minute_are_one_row(host: Host) -> None:
    refusals_add("local", [refusal(), refusal(count=3), refusal(port=5432)], dropped=7)
    refusals_add("local", [refusal(), refusal(source="2001:0db8:0::7")])
    assert refusals_store(host=host, then=None) is False
    assert sum(count for _, _, count in listed()) == 7
    assert {(source, port) for source, port, _ in listed()} == {
        (SCANNER, 22),
        (SCANNER, 5432),
        ("2001:db8::7", 22),
    }
    assert RefusedMinute.objects.get(reason=UNLISTED).count == 7


def test_each_entry_is_stored_once(host: Host) -> None:
    last = refusals_add("local", [refusal()])
    for _ in range(3):
        refusals_store(host=host, then=None)
    assert listed() == [(SCANNER, 22, 1)]
    assert RefusedReading.objects.get(host=host).entry == last


def test_a_clerk_that_was_overtaken_stores_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals_add("local", [refusal()])
    read = client.refusals_after

    def overtaken(name: str, entry: str, *, most: int) -> tuple[client.StreamEntry, ...]:
        found = read(name, entry, most=most)
        RefusedReading.objects.filter(host=host).update(entry=found[-1][0])
        return found

    monkeypatch.setattr(client, "refusals_after", overtaken)
    assert refusals_store(host=host, then=None) is True
    assert listed() == []


def test_what_a_hostile_stream_holds_is_skipped_and_counted(host: Host) -> None:
    for data in (b"", b"{", b'{"format": "dockerfw-refusals/1"}', b"[" * 100_000, b"\xff" * 200_000):
        raw_add("local", data)
    # A batch of another host, which this host must not speak for.
    refusals_add("web-1", [refusal()])
    raw_add("local", client.refusals_newest("web-1", most=1)[0][1])
    client.connection().xadd("dockerfw:refused:local", {"other": "field"})
    refusals_add("local", [refusal(at=timezone.now() + timedelta(days=900))])
    refusals_store(host=host, then=None)
    assert listed() == [(SCANNER, 22, 1)]
    assert RefusedReading.objects.get(host=host).unreadable == 7
    # A time that cannot be true is that of the stream.
    assert abs(RefusedMinute.objects.get().last_at - timezone.now()) < timedelta(minutes=5)


def test_a_scan_of_very_many_ports_stays_a_few_rows(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused_services, "MOST_ENTRIES", 400)
    now = timezone.now()
    for first in range(0, 10_000, 200):
        refusals_add("local", [refusal(now, port=port) for port in range(first, first + 200)])
    while refusals_store(host=host, then=None):
        pass
    assert RefusedMinute.objects.count() == refused_services.MOST_ROWS_A_MINUTE + 1
    assert sum(row.count for row in RefusedMinute.objects.all()) == 10_000


def test_a_stream_that_begins_again_is_read_from_its_start(host: Host) -> None:
    refusals_add("local", [refusal()])
    refusals_store(host=host, then=None)
    # Redis lost its data, and its clock was set back.
    client.connection().delete("dockerfw:refused:local")
    RefusedReading.objects.update(entry="99999999999999-0")
    refusals_add("local", [refusal(port=23)])
    assert refusals_store(host=host, then=None) is True
    refusals_store(host=host, then=None)
    assert [port for _, port, _ in listed()] == [22, 23]


def test_containers_are_named_as_they_were_then(host: Host) -> None:
    now = timezone.now()
    then = ContainersThen(now, (DB,))
    refusals_add(
        "local",
        [
            forwarded("172.18.0.5", 5432, at=now - timedelta(seconds=1), port=5432),
            forwarded("172.18.0.9", 80, at=now - timedelta(seconds=1), port=8080),
            # Later than the reading: a new container may have the address.
            forwarded("172.18.0.9", 80, at=now + timedelta(seconds=1), port=8081),
            forwarded("172.18.0.5", 5432, at=now - timedelta(minutes=3), port=5433),
        ],
    )
    refusals_store(host=host, then=then)
    found = {row.port: (row.container, row.containers_known) for row in RefusedMinute.objects.all()}
    assert found == {5432: ("shop/db", True), 8080: ("", True), 8081: ("", False), 5433: ("", False)}


def test_shortened_addresses(host: Host, settings: Settings) -> None:
    settings.ENVIRONMENT = replace(site.ENVIRONMENT, refused_shorten=True)
    refusals_add("local", [refusal(), refusal(source="203.0.113.9"), refusal(source="2001:db8:1:2:3::4")])
    refusals_store(host=host, then=None)
    assert listed() == [("203.0.113.0/24", 22, 2), ("2001:db8:1:2::/64", 22, 1)]
    stored = "".join(map(str, RefusedMinute.objects.values_list()))
    assert SCANNER not in stored


def test_old_rows_are_removed(host: Host, settings: Settings) -> None:
    settings.ENVIRONMENT = replace(site.ENVIRONMENT, refused_days=7)
    now = timezone.now()
    for days in (0, 6, 8, 400):
        RefusedMinute.objects.create(
            host=host, minute=now - timedelta(days=days), last_at=now, reason="refused", count=1
        )
        RefusedCount.objects.create(host=host, at=now - timedelta(days=days), packets=days)
    assert refusals_expire() == 4
    assert RefusedMinute.objects.count() == RefusedCount.objects.count() == 2


def test_a_turn_stores_packets_and_what_the_kernel_counted(host: Host) -> None:
    taken = snapshot_store(host, saves={4: save_of(None, 4).replace("COMMIT", COUNTED), 6: save_of(None, 6)})
    refusals_add("local", [refusal()])
    assert refused_jobs.follow_refusals() is False
    assert listed() == [(SCANNER, 22, 1)]
    assert list(RefusedCount.objects.values_list("at", "packets")) == [(taken, 42)]
    # A look a moment later is no new count.
    refused_jobs._readings.clear()
    snapshot_store(host)
    refused_jobs.follow_refusals()
    assert RefusedCount.objects.count() == 1


def test_a_turn_without_redis_is_only_logged(host: Host, no_queue: None) -> None:
    assert refused_jobs.follow_refusals() is False


def test_sort_keys_find_what_lies_in_a_network() -> None:
    first, last = key_range("203.0.113.0/24")
    assert first <= source_key(SCANNER) <= last
    assert first <= source_key("203.0.113.0/24") <= last
    assert not first <= source_key("203.0.114.0") <= last
    assert not first <= source_key("::cb00:7101") <= last


COUNTED = """:FILTERS - [0:0]
:FILTERS-BLOCK - [0:0]
[30:1800] -A FILTERS -m comment --comment "dockerfw r1 0123456789ab" -j REJECT
[12:720] -A FILTERS-BLOCK -s 203.0.113.0/24 -j DROP
[99:99] -A FILTERS -p tcp -m tcp --dport 22 -j RETURN
[99:99] -A DOCKER-USER -s 192.0.2.66/32 -j DROP
COMMIT"""
