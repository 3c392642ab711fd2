"""What lies between two looks, divided among steps: never negative, never more than what happened."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.models import SampleReading
from rules.overview.sample_counts import LONGEST, Amount, Gathered, Interval, SampleKey, counted_between
from rules.overview.sample_names import DAY, MINUTE, QUARTER
from rules.overview.sample_services import Reading, gather_samples

BEGIN = datetime(2026, 5, 1, 12, 7, 31, tzinfo=UTC)


@dataclass(frozen=True)
class Step:
    """What happens until the next look: time passes, packets are counted, and perhaps a disturbance."""

    seconds: float
    packets: int
    reset: bool = False
    reload: bool = False
    unread: bool = False


STEPS = st.lists(
    st.builds(
        Step,
        seconds=st.one_of(st.floats(50, 70), st.floats(1, 90_000)),
        packets=st.integers(0, 10**9),
        reset=st.booleans(),
        reload=st.booleans(),
        unread=st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


def readings(steps: list[Step]) -> list[Reading]:
    """Return what the looks tell of a host that refuses packets meanwhile."""
    at, total, revision = BEGIN, 12_345, 1
    found = [Reading(at, "r1", {"refused": total}, {"sessions": 3})]
    for step in steps:
        at += timedelta(seconds=step.seconds)
        # The packets come after the reset, so the next look may hide it.
        total = step.packets if step.reset else total + step.packets
        if step.reload:
            # Another revision, whose lines begin anywhere.
            revision, total = revision + 1, total * 7 % 10**12
        mark = "" if step.unread else f"r{revision}"
        found.append(Reading(at, mark, {"refused": total} if mark else {}, {"sessions": 3}))
    return found


def recorded(looks: list[Reading]) -> dict[SampleKey, Amount]:
    """Return the samples that these looks lead to."""
    found: dict[SampleKey, Amount] = {}
    for before, after in pairwise(looks):
        row = SampleReading(kind="host", at=before.at, mark=before.mark, counts=before.counts)
        for key, amount in gather_samples(row, after).samples.items():
            found[key] = found[key].joined_with(amount, key[0]) if key in found else amount
    return found


@given(STEPS)
def test_no_sample_is_negative_or_more_than_what_happened(steps: list[Step]) -> None:
    samples = recorded(readings(steps))
    happened = sum(step.packets for step in steps)
    fastest = max(step.packets / step.seconds for step in steps)
    totals: dict[int, float] = defaultdict(float)
    for (name, step, at), amount in samples.items():
        assert at % step == 0
        assert 0 <= amount.seconds <= step + 1e-3
        if name == "refused":
            assert 0 <= amount.value <= fastest * amount.seconds * 1.000001 + 1e-3
            totals[step] += amount.value
        else:
            assert amount.value == 3
    assert all(total <= happened * 1.000001 for total in totals.values())


@given(st.lists(st.tuples(st.floats(5, 320), st.integers(0, 10**6)), min_size=1, max_size=60))
def test_all_steps_tell_the_same_of_an_undisturbed_host(looks: list[tuple[float, int]]) -> None:
    steps = [Step(seconds, packets) for seconds, packets in looks]
    samples = recorded(readings(steps))
    for step in (MINUTE, QUARTER, DAY):
        mine = [amount for (name, each, _), amount in samples.items() if (name, each) == ("refused", step)]
        assert sum(amount.value for amount in mine) == pytest.approx(sum(each.packets for each in steps))
        assert sum(amount.seconds for amount in mine) == pytest.approx(
            sum(each.seconds for each in steps), abs=1e-3
        )


def test_a_silence_is_a_gap_in_the_minutes_and_an_average_in_the_days() -> None:
    looks = readings([Step(60, 60), Step(6000, 600), Step(60, 0)])
    samples = recorded(looks)
    minutes = sorted(at for name, step, at in samples if (name, step) == ("refused", MINUTE))
    assert len(minutes) == 4
    assert minutes[2] - minutes[1] > 5000
    assert (
        sum(value.value for (name, step, _), value in samples.items() if (name, step) == ("refused", DAY))
        == 660
    )
    # What goes up and down is known at the looks.
    assert {at for name, step, at in samples if (name, step) == ("sessions", MINUTE)} == set(minutes)


def test_a_look_that_could_not_read_the_counters_hides_two_intervals() -> None:
    looks = readings([Step(60, 60), Step(60, 600, unread=True), Step(60, 600), Step(60, 5)])
    known = {
        amount.value
        for (name, step, _), amount in recorded(looks).items()
        if (name, step) == ("refused", DAY)
    }
    assert known == {65}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(0, 0, 0), (5, 9, 4), (9, 5, None), (0, 2**53, None), (2**53, 2**53, 0)],
)
def test_a_counter_that_was_set_tells_nothing(before: int, after: int, expected: int | None) -> None:
    assert counted_between(before, after, 60.0) == expected


def test_the_parts_of_an_interval_are_its_length() -> None:
    assert list(Interval(50, 130).parts(60)) == [(0, 10), (60, 60), (120, 10)]
    assert list(Interval(60, 60).parts(60)) == []


def test_after_a_clock_that_was_set_back_the_number_of_that_moment_is_known() -> None:
    gathered = Gathered(Interval(9000, 130))
    gathered.add_level("sessions", 4)
    gathered.add_count("refused", 4)
    assert gathered.samples == {
        ("sessions", MINUTE, 120): Amount(4, 0),
        ("sessions", QUARTER, 0): Amount(4, 0),
        ("sessions", DAY, 0): Amount(4, 0),
    }
    assert max(LONGEST.values()) < DAY
    assert gathered.since == 130
