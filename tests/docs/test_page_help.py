"""Each page has a section of the documentation that explains it, and links it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from django.test import Client
from django.urls.resolvers import URLPattern, URLResolver

from dockerfw.messages.outcomes import FAILURE_STEPS
from rules.docs.doc_selectors import doc_page
from rules.docs.page_help import PAGE_HELP, TROUBLE_HELP, help_url, trouble_url
from rules.urls import urlpatterns
from tests.rig.web_pages import HOST

# What is no page with a frame: parts of pages, files, orders, redirects, and pages before the sign-in.
NO_PAGES = {
    *("home", "healthz", "metrics", "sign-in", "sign-out", "setup", "doc-image", "audit-csv", "export"),
    *("revision-export", "restore-text", "rule-warnings", "source-echo", "rule-bulk-undo", "rule-toggle"),
    *("rule-delete", "rule-restore", "rule-undelete", "group-delete", "group-restore", "group-list-fetch"),
    *("group-list-accept", "containers-reach-host", "expectation-delete", "discard", "draft-undo"),
    *("apply-status", "apply-nonce", "apply-roll-back", "apply-extend", "window-banner", "state-banner"),
    *("exposure-summary", "refused-poll", "refused-summary", "live-poll", "dashboard-tiles"),
}


def names(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[str]:
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from names(each.url_patterns)
        else:
            yield str(each.name)


def test_each_page_has_help() -> None:
    known = set(names(urlpatterns))
    assert known - NO_PAGES - set(PAGE_HELP) == set(), "give these pages a section in page_help.py"
    assert set(PAGE_HELP) - known == set()


@pytest.mark.parametrize("target", sorted({*PAGE_HELP.values(), *TROUBLE_HELP.values()}))
def test_each_section_is_there(target: str) -> None:
    name, _, anchor = target.partition("#")
    page = doc_page(name)
    assert page is not None
    assert not anchor or anchor in {each.anchor for each in page.rendered.sections}


def test_an_unknown_page_has_the_index() -> None:
    assert help_url("nothing") == "/docs/"


def test_what_went_wrong_has_a_section() -> None:
    assert set(TROUBLE_HELP) - {"no-report", "drift"} <= set(FAILURE_STEPS)
    assert trouble_url("rehearse") == "/docs/troubleshooting/#the-rehearsal-failed"
    assert trouble_url("report") == "/docs/troubleshooting/"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "section"),
    [
        (f"{HOST}/rules/", "/docs/everyday/#rules"),
        (f"{HOST}/groups/", "/docs/everyday/#groups"),
        (f"{HOST}/trace/", "/docs/everyday/#who-can-reach-what"),
        ("/audit/", "/docs/everyday/#history"),
    ],
)
def test_a_page_links_its_section(signed_in: Client, path: str, section: str) -> None:
    assert f'href="{section}"' in signed_in.get(path).content.decode()


@pytest.mark.django_db
def test_a_page_without_a_report_links_what_to_do(signed_in: Client) -> None:
    section = "/docs/troubleshooting/#the-dashboard-shows-nothing-from-the-kernel"
    assert f'href="{section}"' in signed_in.get(f"{HOST}/exposure/").content.decode()
