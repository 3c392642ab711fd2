"""The geometry of charts: gaps stay gaps, nothing leaves its box, and axes end at round numbers."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rules.overview.chart_geometry import Bin, draw, gather, regather, round_up

START = datetime(2027, 1, 31, 12, tzinfo=UTC)
VALUES = st.none() | st.floats(min_value=0, allow_infinity=False, allow_nan=False)
ANY_VALUES = st.none() | st.floats(allow_nan=True, allow_infinity=True)


def bins_of(values: Sequence[float | None]) -> tuple[Bin, ...]:
    minute = timedelta(minutes=1)
    return tuple(
        Bin(START + minute * number, START + minute * (number + 1), value)
        for number, value in enumerate(values)
    )


def places_of(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[0-9.]+) (-?[0-9.]+)", path)]


def test_a_line_goes_from_edge_to_edge() -> None:
    drawing = draw(bins_of([0, 5, 10]), 100, 44)
    assert drawing.line == "M0 42L50 22L100 2"
    assert drawing.area == "M0 44L0 42L50 22L100 2L100 44Z"
    assert (drawing.top, drawing.middle) == (10, 5)


def test_a_gap_divides_the_line() -> None:
    drawing = draw(bins_of([4, 4, None, 4, 4]), 100, 44)
    assert drawing.line == "M0 2L25 2M75 2L100 2"
    assert drawing.area.count("Z") == 2


def test_a_point_between_gaps_is_as_wide_as_its_bin() -> None:
    assert draw(bins_of([None, 4, None, None, None]), 100, 44).line == "M15 2L35 2"
    assert draw(bins_of([7]), 100, 44).line == "M0 7L100 7"


def test_nothing_known_draws_nothing() -> None:
    for values in ([], [None], [None, None]):
        drawing = draw(bins_of(values), 100, 44)
        assert (drawing.line, drawing.area, drawing.top) == ("", "", 1)


@given(st.lists(VALUES, max_size=50))
def test_every_known_bin_is_drawn_within_the_box_and_no_unknown_one(values: list[float | None]) -> None:
    drawing = draw(bins_of(values), 100, 44)
    for x, y in places_of(drawing.area):
        assert 0 <= x <= 100
        assert 2 <= y <= 44
    runs = [run for run in "".join("." if each is None else "x" for each in values).split(".") if run]
    assert drawing.line.count("M") == drawing.area.count("Z") == len(runs)
    assert len(places_of(drawing.line)) == sum(max(2, len(run)) for run in runs)


@given(st.lists(st.tuples(st.integers(-100, 4000), ANY_VALUES), max_size=60), st.integers(1, 900))
def test_bins_have_the_highest_known_sample(points: list[tuple[int, float | None]], seconds: int) -> None:
    until = START + timedelta(hours=1)
    samples = [(START + timedelta(seconds=offset), value) for offset, value in points]
    bins = gather(samples, START, until, seconds)
    assert bins[0].start <= START
    assert bins[-1].end >= until
    for before, after in itertools.pairwise(bins):
        assert before.end == after.start
    for each in bins:
        inside = [value for at, value in samples if each.start <= at < each.end and value is not None]
        known = [value for value in inside if math.isfinite(value) and value >= 0]
        assert each.value == (max(known) if known else None)


def test_bins_stay_the_same_as_time_passes() -> None:
    early = gather([], START, START + timedelta(minutes=30), 300)
    late = gather([], START + timedelta(seconds=200), START + timedelta(seconds=2000), 300)
    assert early[:6] == late[:6]


def test_longer_bins_keep_gaps_and_peaks() -> None:
    longer = regather(bins_of([1, 9, None, None, 3, None]), 120)
    assert [each.value for each in longer] == [9, None, 3]
    assert regather((), 60) == ()


@given(st.floats(min_value=0, allow_infinity=False))
def test_an_axis_ends_at_a_round_number(value: float) -> None:
    top = round_up(value)
    assert math.isfinite(top)
    assert top >= 1
    assert top >= value * (1 - 1e-9) or value > 1e300
    assert top <= max(2 * value, 1.0) * (1 + 1e-9)


def test_round_numbers() -> None:
    assert [round_up(each) for each in (0, 0.3, 1, 3, 7, 9, 41, 1204)] == [1, 1, 1, 4, 8, 10, 60, 2000]
