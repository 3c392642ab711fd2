"""What a page costs with many rules: queries and bytes are bounded. `scripts/bench weights` adds the time."""

from __future__ import annotations

from typing import Final

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from dockerfw.document.document import parse_document
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.draft_services import draft_replace
from rules.models import Host
from scripts.benchmarks.documents import make_object
from scripts.benchmarks.weights import PAGES, Page
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]

RULES: Final = 1_000
MOST_QUERIES: Final = 15
MOST_BYTES: Final = 100_000


@pytest.fixture
def full(working: Client, host: Host, alice: Actor) -> Client:
    """A host with many rules in the kernel, a second revision, and one change pending."""
    for note in ("first", "second"):
        draft_replace(
            host=host, actor=alice, document=parse_document(make_object(RULES, note=note)), version=None
        )
        revision = confirm(host, alice, note)
    snapshot_store(host, draft_document(host), revision.number)
    draft_replace(
        host=host, actor=alice, document=parse_document(make_object(RULES, note="pending")), version=None
    )
    return working


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_stays_light_with_many_rules(
    page: Page, full: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    # What a process makes once is not the page's.
    full.get(page.path_at(2))
    with django_assert_max_num_queries(MOST_QUERIES):
        answer = full.get(page.path_at(2))
    assert answer.status_code == 200
    assert len(answer.content) < MOST_BYTES, f"{len(answer.content)} bytes"
