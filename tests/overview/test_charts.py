"""Charts as pages show them: the picture, the words and the table say the same, and nothing inline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from django.template import Context, Template

from rules.overview.chart_figures import Figure, figure_of
from rules.templatetags.charts import describe, figure_number

START = datetime(2027, 1, 31, 0, tzinfo=UTC)


def figure(values: Sequence[float | None], *, minutes: int = 15) -> Figure:
    samples = [(START + timedelta(minutes=minutes * number), value) for number, value in enumerate(values)]
    return figure_of(
        "refused",
        "Refused <packets> per minute",
        samples,
        since=START,
        until=START + timedelta(minutes=minutes * len(values)),
        bin_seconds=60 * minutes,
        row_seconds=120 * minutes,
    )


def drawn(tag: str, one: Figure) -> str:
    return Template(f"{{% load charts %}}{{% {tag} figure %}}").render(Context({"figure": one}))


@pytest.mark.parametrize("tag", ["sparkline", "chart"])
def test_a_chart_is_a_picture_with_a_name_and_words(tag: str) -> None:
    html = drawn(tag, figure([3, 152, None, 38]))
    assert 'role="img"' in html
    assert "Refused &lt;packets&gt; per minute" in html
    assert "Between 3 and 152, highest at 00:15 UTC. Unknown for 15 min." in html
    labels = re.search(r'<svg[^>]*aria-labelledby="([^"]+)"', html)
    assert labels
    assert all(f'id="{name}"' in html for name in labels[1].split())
    assert not re.search(r"style=|<script|<packets>", html)


def test_a_chart_has_axes_and_a_table_with_the_same_values() -> None:
    html = drawn("chart", figure([3, 152, None, None, 38, 0.5]))
    assert re.findall(r"<span>([^<]+)</span>", html)[:3] == ["200", "100", "0"]
    assert ">00:00</time>" in html
    assert ">01:15</time>" in html
    cells = re.findall(r'<td class="number">(.*?)</td>', html)
    assert cells == ["38", "unknown", "152"]


def test_what_is_unknown_is_said_and_never_drawn() -> None:
    for tag in ("sparkline", "chart"):
        for values in ([], [None, None]):
            html = drawn(tag, figure(values))
            assert "Unknown: there is no sample of this time yet." in html
            assert "spark-line" not in html
            assert "<td" not in html


def test_words() -> None:
    assert describe(figure([0, 0, 0])) == "Always 0."
    assert describe(figure([1, 2, 1], minutes=1440)) == "Between 1 and 2, highest on 1 Feb 2027."
    # Before the first sample nothing was counted, which is no gap.
    assert describe(figure([None, None, 4])) == "Always 4."


def test_numbers_stay_short() -> None:
    numbers = [0, 0.4, 7, 38.6, 1204, 26_310, 1_250_000, 3e9, 5.5e12, 1e30]
    words = ["0", "0.4", "7", "39", "1\u202f204", "26.3k", "1.25M", "3G", "5.5T", "1.0e+30"]
    assert [figure_number(each) for each in numbers] == words
    assert figure_number(None) == ""
