"""Samples in the database: each look counts once, and old samples are removed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from rules.models import Host, Sample, SampleReading, SampleSeries
from rules.overview import sample_services
from rules.overview.sample_names import DAY, MINUTE, MOST_RULES, QUARTER
from rules.overview.sample_selectors import series
from rules.overview.sample_services import (
    Kind,
    Reading,
    samples_due,
    samples_expire,
    samples_store,
)

pytestmark = pytest.mark.django_db
# Far from a border of a day, so that a day's sample is one row.
NOW = timezone.now().replace(hour=12, minute=30, second=0, microsecond=0) - timedelta(days=1)


def store(
    host: Host,
    after: float,
    refused: int,
    *,
    kind: Kind = Kind.HOST,
    now: datetime | None = None,
    **values: Any,
) -> bool:
    """Store a look `after` so many seconds."""
    at = NOW + timedelta(seconds=after)
    counts = values.pop("counts", {"refused": refused})
    reading = Reading(at, values.pop("mark", "r1"), counts, **values)
    return samples_store(host=host, kind=kind, reading=reading, now=now or at)


def stored(name: str, step: int) -> list[tuple[int, float, float]]:
    """Return the samples of a series: seconds since the first look, value and known seconds."""
    rows = Sample.objects.filter(series__name=name, step=step).order_by("at")
    return [(int(row.at - NOW.timestamp()), row.value, row.seconds) for row in rows]


def test_each_look_counts_once(host: Host) -> None:
    assert store(host, 0, 100) is True
    for _ in range(3):
        store(host, 60, 160)
    assert store(host, 120, 160, levels={"sessions": 4}) is True
    assert stored("refused", MINUTE) == [(0, 60, 60), (60, 0, 60)]
    assert stored("refused", QUARTER) == [(0, 60, 120)]
    assert [(value, seconds) for _, value, seconds in stored("refused", DAY)] == [(60, 120)]
    assert stored("sessions", MINUTE) == [(60, 4, 60), (120, 4, 0)]


def test_looks_of_a_page_that_is_open_are_not_all_recorded(host: Host) -> None:
    found = [store(host, each, each) for each in range(0, 121, 5)]
    assert found.count(True) == 3
    assert stored("refused", MINUTE) == [(0, 60, 60), (60, 40, 40)]


def test_a_clerk_that_was_overtaken_stores_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    store(host, 0, 0)
    due, asked = sample_services._is_due, []

    def overtaken(before: SampleReading, reading: Reading, now: datetime) -> bool:
        found = due(before, reading, now)
        asked.append(found)
        if len(asked) == 1:
            SampleReading.objects.update(at=reading.at, counts=reading.counts)
        return found

    monkeypatch.setattr(sample_services, "_is_due", overtaken)
    assert store(host, 60, 60) is False
    assert asked == [True, False]
    assert stored("refused", MINUTE) == []


def test_a_clerk_that_dies_between_two_steps_loses_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(host, 0, 0)
    write = sample_services._write

    def dies(*values: Any) -> None:
        write(*values)
        raise DatabaseError

    with monkeypatch.context() as patch:
        patch.setattr(sample_services, "_write", dies)
        with pytest.raises(DatabaseError):
            store(host, 60, 60)
    assert stored("refused", MINUTE) == []
    assert store(host, 60, 60) is True
    assert stored("refused", MINUTE) == [(0, 60, 60)]


def test_a_clock_that_was_set_back_leaves_a_gap(host: Host) -> None:
    store(host, 0, 0)
    store(host, 60, 60)
    # The clock goes back by an hour, and what comes is counted from there.
    assert store(host, -3540, 90) is True
    assert store(host, -3480, 100) is True
    assert stored("refused", MINUTE) == [(-3540, 10, 60), (0, 60, 60)]


def test_an_older_look_and_one_from_the_future_are_not_recorded(host: Host) -> None:
    store(host, 60, 60)
    later = NOW + timedelta(hours=1)
    assert store(host, 0, 0, now=later) is False
    assert store(host, 7200, 0, now=later) is False
    assert samples_due(host=host, kind=Kind.HOST, at=later) is True
    assert samples_due(host=host, kind=Kind.HOST, at=NOW + timedelta(seconds=70)) is False


def test_a_rule_has_samples_where_its_counter_moved(host: Host) -> None:
    store(host, 0, 0, counts={"rule:k3f9": 5, "rule:b2b2": 9}, kind=Kind.RULES)
    # A rule in a source list has no counter before its first hit.
    store(
        host,
        900,
        0,
        counts={"rule:k3f9": 5, "rule:b2b2": 99, "rule:c3c3": 3},
        levels={"set:f2b": 8},
        kind=Kind.RULES,
    )
    assert not SampleSeries.objects.filter(name="rule:k3f9").exists()
    assert stored("rule:b2b2", QUARTER) == [(0, 90, 900)]
    assert stored("rule:c3c3", QUARTER) == [(0, 3, 900)]
    assert stored("rule:b2b2", MINUTE) == []
    assert stored("set:f2b", QUARTER) == [(0, 8, 900), (900, 8, 0)]
    # A counter that was set back tells nothing, and then a rule without a sample tells nothing either.
    store(host, 1800, 0, counts={"rule:k3f9": 5, "rule:b2b2": 10, "rule:c3c3": 4}, kind=Kind.RULES)
    assert stored("rules_counted", QUARTER) == [(0, 0, 900)]
    assert stored("rule:c3c3", QUARTER) == [(0, 3, 900), (900, 1, 900)]
    begin, end = NOW, NOW + timedelta(seconds=1800)
    assert [value for _, value in series(host, "rule:b2b2", since=begin, until=end).points] == [6, None]


def test_of_very_many_busy_rules_those_with_most_hits_are_recorded(host: Host) -> None:
    rules = range(MOST_RULES + 50)
    store(host, 0, 0, kind=Kind.RULES, counts={})
    store(host, 900, 0, kind=Kind.RULES, counts={f"rule:{each}": each + 1 for each in rules})
    assert Sample.objects.filter(step=QUARTER).count() == MOST_RULES
    assert not SampleSeries.objects.filter(name="rule:3").exists()
    # So a rule without a sample is not known to have had no hit.
    assert not SampleSeries.objects.filter(name="rules_counted").exists()


def test_old_samples_are_removed_by_step(host: Host) -> None:
    store(host, 0, 0)
    store(host, 60, 60)
    for days, left in ((1, {MINUTE, QUARTER, DAY}), (3, {QUARTER, DAY}), (61, {DAY}), (1097, set())):
        for _ in range(2):
            samples_expire(now=NOW + timedelta(days=days))
        assert set(Sample.objects.values_list("step", flat=True)) == left
    assert not SampleSeries.objects.exists()


def test_removal_goes_in_parts(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_services, "_CHUNK", 3)
    for each in range(10):
        store(host, each * 60, each)
    assert samples_expire(now=NOW + timedelta(days=3)) == 9
    assert samples_expire(now=NOW + timedelta(days=3)) == 0


def test_a_host_that_reports_ever_new_names_fills_no_disk(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_services, "MOST_SERIES", 5)
    store(host, 0, 0, levels={f"set:{each}": 1.0 for each in range(4)})
    store(host, 60, 0, levels={f"set:x{each}": 1.0 for each in range(4)})
    assert SampleSeries.objects.count() == 5
