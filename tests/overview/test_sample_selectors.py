"""What was recorded over time, as charts get it: at most 300 points, and a gap is never 0."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from rules.models import Host, Sample, SampleSeries
from rules.overview import sample_selectors
from rules.overview.sample_names import DAY, MINUTE, QUARTER
from rules.overview.sample_selectors import MOST_POINTS, latest, series, series_of

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(second=0, microsecond=0)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the selectors live in the minute in which this file was loaded, however long other tests took."""
    monkeypatch.setattr(
        sample_selectors, "timezone", SimpleNamespace(now=lambda: NOW + timedelta(seconds=20))
    )


def add(host: Host, name: str, step: int, samples: dict[datetime, tuple[float, float]]) -> None:
    """Record the value and the known seconds of some steps."""
    first = min(samples).timestamp()
    made, _ = SampleSeries.objects.get_or_create(host=host, name=name, defaults={"since": int(first)})
    Sample.objects.bulk_create(
        Sample(series=made, step=step, at=int(at.timestamp()) // step * step, value=value, seconds=seconds)
        for at, (value, seconds) in samples.items()
    )


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def test_an_hour_has_a_point_a_minute_and_a_gap_is_unknown(host: Host) -> None:
    add(host, "refused", MINUTE, {ago(5): (30, 60), ago(4): (10, 30), ago(2): (0, 60)})
    found = series(host, "refused", since=ago(60), until=NOW)
    assert (found.unit, found.step, len(found.points)) == ("packets/min", 60, 60)
    assert found.points[0] == (ago(60).astimezone(UTC), None)
    # Of the minute that is half known, the rate is twice what was counted.
    assert [value for _, value in found.points[-5:]] == [30, 20, None, 0, None]
    assert found.most == 30


def test_a_day_has_points_of_five_minutes(host: Host) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC) + (NOW - datetime(2026, 1, 1, tzinfo=UTC)) // timedelta(
        minutes=5
    ) * timedelta(minutes=5)
    samples = {begin - timedelta(minutes=4): (12.0, 60.0), begin - timedelta(minutes=3): (3.0, 60.0)}
    add(host, "accepted", MINUTE, samples)
    add(host, "sessions", MINUTE, samples)
    for name, expected in (("accepted", 7.5), ("sessions", 12.0)):
        found = series(host, name, since=begin - timedelta(days=1), until=begin)
        assert (found.step, len(found.points)) == (300, 288)
        assert found.points[-1] == (begin - timedelta(minutes=5), expected)


@pytest.mark.parametrize(
    ("days", "step"),
    [
        (1, 300),
        (2, QUARTER),
        (3, QUARTER),
        (10, 3600),
        (30, 21_600),
        (60, 21_600),
        (200, DAY),
        (1095, 7 * DAY),
    ],
)
def test_a_longer_time_has_longer_steps_and_never_more_points(host: Host, days: int, step: int) -> None:
    found = series(host, "refused", since=timezone.now() - timedelta(days=days), until=timezone.now())
    assert found.step == step
    assert len(found.points) <= MOST_POINTS
    assert not found.is_known
    assert found.most is None


def test_a_short_time_long_ago_is_read_from_what_is_still_kept(host: Host) -> None:
    at = NOW - timedelta(days=10)
    add(host, "conntrack", QUARTER, {at: (40.0, 900.0)})
    found = series(host, "conntrack", since=at - timedelta(hours=1), until=at + timedelta(hours=1))
    assert found.step == QUARTER
    assert found.most == 40
    assert (
        series(host, "conntrack", since=NOW - timedelta(days=90), until=NOW - timedelta(days=89)).step == DAY
    )


def test_more_than_all_that_is_kept_has_the_last_points(host: Host) -> None:
    found = series(host, "pending", since=datetime(1990, 1, 1, tzinfo=UTC), until=NOW)
    assert len(found.points) == MOST_POINTS
    assert NOW - found.points[-1][0] < timedelta(days=7)


def test_a_rule_without_a_sample_had_no_hit_where_all_rules_were_counted(host: Host) -> None:
    quarter = datetime.fromtimestamp(int(NOW.timestamp()) // QUARTER * QUARTER, UTC)
    at = [quarter - timedelta(minutes=15 * each) for each in range(6)]
    add(host, "rules_counted", QUARTER, {at[1]: (0, 900), at[2]: (0, 900), at[3]: (0, 900), at[5]: (0, 900)})
    add(host, "rule:k3f9", QUARTER, {at[3]: (45, 900)})
    found = series(host, "rule:k3f9", since=at[5], until=quarter)
    # It was seen for the first time in the third quarter, and the fourth from the end is a gap.
    assert [value for _, value in found.points] == [None, None, 3, 0, 0]
    # Of a rule that never had a hit it is not known since when it exists.
    assert not series(host, "rule:zzzz", since=at[5], until=quarter).is_known


def test_the_newest_point_is_current_or_none(host: Host) -> None:
    assert latest(host, "refused") is None
    add(host, "refused", MINUTE, {ago(10): (1, 60)})
    assert latest(host, "refused") is None
    add(host, "refused", MINUTE, {ago(1): (5, 30)})
    assert latest(host, "refused") == (ago(1).astimezone(UTC), 10)


def test_a_series_takes_two_queries_and_reads_no_other(
    host: Host, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    add(host, "refused", MINUTE, {ago(3): (1, 60)})
    add(Host.objects.create(name="web-1"), "refused", MINUTE, {ago(3): (900, 60)})
    with django_assert_num_queries(2):
        assert series(host, "refused", since=ago(60), until=NOW).most == 1
    with django_assert_num_queries(1):
        latest(host, "refused")
    add(host, "rules_counted", QUARTER, {ago(30): (0, 900)})
    add(host, "rule:k3f9", QUARTER, {ago(30): (9, 900)})
    with django_assert_num_queries(2):
        assert series(host, "rule:k3f9", since=ago(60), until=NOW).is_known


@pytest.mark.parametrize("name", ["", "refuse", "Rule:x"])
def test_a_name_that_nothing_has_is_refused(host: Host, name: str) -> None:
    with pytest.raises(KeyError):
        series(host, name, since=ago(60), until=NOW)
    with pytest.raises(KeyError):
        latest(host, name)


def test_several_series_take_two_queries(
    host: Host, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    add(host, "refused", MINUTE, {ago(5): (30, 60), ago(4): (10, 30)})
    add(host, "sessions", MINUTE, {ago(5): (7, 60)})
    names = ("refused", "sessions", "pending")
    with django_assert_num_queries(2):
        found = series_of(host, names, since=ago(60), until=NOW)
    assert found == {name: series(host, name, since=ago(60), until=NOW) for name in names}
