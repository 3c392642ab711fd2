"""The page of charts: each figure over the range of the address, and gaps that stay gaps."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from rules.models import Host
from rules.overview.chart_selectors import RANGES, TITLES
from tests.rig.samples import minutes_ago, minutes_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
PATH = f"{HOST}/charts/"


def test_access(signed_in: Client) -> None:
    assert_access(PATH, signed_in)


@pytest.mark.parametrize("name", [*RANGES, "", "2h", "\x00"])
def test_without_samples_every_chart_says_unknown(signed_in: Client, name: str) -> None:
    page = signed_in.get(PATH, {"range": name})
    words = text_of(page)
    assert "No samples of this time yet." in words
    assert words.count("Unknown: there is no sample of this time yet.") == 2 * len(TITLES)
    assert "spark-line" not in page.content.decode()
    assert has_no_inline_code(page)
    chosen = re.findall(r'href="\?range=(\w+)" aria-current="true"', page.content.decode())
    assert chosen == [name if name in RANGES else "24h"]


def test_a_new_host_shows_its_first_hour_unless_another_time_is_asked_for(
    signed_in: Client, host: Host
) -> None:
    def chosen(**query: str) -> list[str]:
        page = signed_in.get(PATH, query)
        return re.findall(r'href="\?range=(\w+)" aria-current="true"', page.content.decode())

    minutes_store(host, "refused", [4] * 30)
    assert chosen() == ["1h"]
    assert chosen(range="24h") == ["24h"]
    minutes_store(host, "refused", [4] * 30, until=minutes_ago(120))
    assert chosen() == ["24h"]


def test_a_chart_has_a_picture_and_a_table(signed_in: Client, host: Host) -> None:
    minutes_store(host, "refused", [4, 4, 4, None, None, 152, 4, 4])
    page = signed_in.get(PATH, {"range": "1h"})
    words = text_of(page)
    assert "Refused packets per minute" in words
    assert "Between 4 and 152, highest at" in words
    assert "Show as a table" in words
    picture = re.search(r'<svg class="spark refused".*?</svg>', page.content.decode(), re.DOTALL)
    assert picture is not None
    line = re.search(r'class="spark-line" d="([^"]+)"', picture[0])
    assert line is not None
    assert line[1].count("M") == 2
    assert "No samples of this time yet." not in words


@pytest.mark.django_db(transaction=True)
def test_a_long_time_stays_a_light_page(
    signed_in: Client, host: Host, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for name in TITLES:
        minutes_store(host, name, [number % 97 for number in range(1440)])
    signed_in.get(PATH)
    with django_assert_max_num_queries(15):
        page = signed_in.get(PATH)
    assert len(page.content) < 100_000
