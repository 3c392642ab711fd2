"""The tiles of the dashboard: numbers that are current, and never a zero for what is unknown."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.expectation_services import expectation_create
from rules.draft.rule_services import rule_create
from rules.models import Host
from rules.overview.chart_selectors import figures_of_day
from tests.rig.busy_host import busy_store
from tests.rig.confirmed import confirm
from tests.rig.samples import minutes_ago, minutes_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code

pytestmark = pytest.mark.django_db
PATH = f"{HOST}/tiles/"


def tiles(client: Client) -> dict[str, str]:
    """Return the words of each tile by its title, without those of the picture."""
    body = re.sub(r"<svg class=\"spark.*?</svg>", "", client.get(PATH).content.decode(), flags=re.DOTALL)
    found = re.findall(r"<div class=\"card tile.*?</div>", body, re.DOTALL)
    texts = [[" ".join(re.sub(r"<[^>]+>", " ", each).split()), each] for each in found]
    titles = [re.search(r"<a [^>]*>(.*?)</a>", each) for _, each in texts]
    return {
        title[1]: text.removeprefix(title[1]).strip()
        for (text, _), title in zip(texts, titles, strict=True)
        if title
    }


def test_access(signed_in: Client) -> None:
    assert_access(PATH, signed_in)


def test_nothing_known_is_unknown_and_no_zero(signed_in: Client) -> None:
    found = tiles(signed_in)
    assert found == {
        "Refused per minute": "Unknown counted from the first apply on",
        "New connections per minute": "Unknown counted from the first apply on",
        "Open to the internet": "Unknown the kernel has not been read",
        "Pending changes": "1 in the draft",
    }
    page = signed_in.get(PATH)
    assert has_no_inline_code(page)
    assert "spark-line" not in page.content.decode()


def test_a_host_with_a_revision_that_has_no_sample_is_unknown(
    signed_in: Client, host: Host, alice: Actor
) -> None:
    rule_create(host=host, actor=alice, values={"scope": "container", "protocol": "tcp", "ports": ["8080"]})
    confirm(host, alice)
    found = tiles(signed_in)
    assert found["Refused per minute"] == "Unknown no sample of the last 24 hours"


def test_numbers_of_now_with_the_highest_of_the_day(signed_in: Client, host: Host) -> None:
    minutes_store(host, "refused", [*[4] * 30, *[152] * 10, *[38] * 30])
    minutes_store(host, "accepted", [0] * 60)
    found = tiles(signed_in)
    assert re.fullmatch(r"38 packets highest 152 at \d\d:\d\d UTC", found["Refused per minute"])
    assert found["New connections per minute"] == "0 allowed"


def test_the_first_hour_fills_the_whole_width(signed_in: Client, host: Host) -> None:
    minutes_store(host, "refused", [4] * 50)
    young = figures_of_day(host, ["refused"], timezone.now())[0]
    assert young.length <= timedelta(minutes=65)
    assert 9 <= len(young.known) <= 11
    minutes_store(host, "refused", [4] * 10, until=minutes_ago(100))
    old = figures_of_day(host, ["refused"], timezone.now())[0]
    assert old.length >= timedelta(hours=24)


def test_an_old_sample_is_not_now(signed_in: Client, host: Host) -> None:
    minutes_store(host, "refused", [4] * 60, until=minutes_ago(29.9))
    assert re.fullmatch(r"Unknown no sample for 3\d minutes", tiles(signed_in)["Refused per minute"])


@pytest.mark.redis
def test_open_ports_and_checks_are_those_of_the_kernel(
    working: Client, host: Host, alice: Actor, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    rule_create(host=host, actor=alice, values={"scope": "container", "protocol": "tcp", "ports": ["8080"]})
    values = {"protocol": "tcp", "port": 22, "to": "host", "passes": True, "source": "192.0.2.9"}
    expectation_create(host=host, actor=alice, values=values)
    revision = confirm(host, alice)
    busy_store(host, draft_document(host), revision.number)
    with django_assert_max_num_queries(15):
        found = tiles(working)
    assert found["Open to the internet"].startswith("1 of 5 listening ports")
    assert found["Checks"].startswith("0 of 1 pass")
    assert 'class="card tile bad"' in working.get(PATH).content.decode()
    busy_store(host, draft_document(host), revision.number, age=60)
    found = tiles(working)
    assert found["Open to the internet"].startswith("Unknown the kernel has not been read")
    assert found["Checks"].startswith("Unknown the kernel has not been read")
