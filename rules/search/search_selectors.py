"""Search a host and the documentation by words.

Each kind of result has at most as many as asked for. Rules understand what the rules page does, and a number
alone is also a port. `r12` and `#12` are a revision.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from django.db.models import Q
from django.urls import reverse

from dockerfw.document.document import Document
from rules.docs.doc_search_selectors import search_docs
from rules.draft.draft_selectors import draft_document
from rules.models import Apply, Host, Revision
from rules.search.draft_search_selectors import find_groups, find_rules
from rules.search.host_search_selectors import find_containers, find_ports
from rules.search.site_pages import find_pages
from rules.seen.snapshot_selectors import latest_snapshot

MOST: Final = 8
MOST_WORDS: Final = 8
_REVISION: Final = re.compile(r"(?:r|#|revision )?([1-9]\d{0,8})")


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was found, and where it is."""

    title: str
    detail: str
    url: str


@dataclass(frozen=True, slots=True)
class Kind:
    """The results of one kind; `more` are left out, and `more_url` lists all."""

    label: str
    results: tuple[Result, ...]
    more: int = 0
    more_url: str = ""


def search(host: Host, query: str, *, most: int = MOST) -> tuple[Kind, ...]:
    """Return what a search finds, by kind; without words, the pages."""
    words = query.casefold().split()[:MOST_WORDS]
    pages = [Result(page.label, "", page.url(host.name)) for page in find_pages(words)]
    if not words:
        return (Kind("Pages", tuple(pages)),)
    text = " ".join(words)
    draft = draft_document(host)
    kinds = (
        Kind("Pages", tuple(pages[:most])),
        _rules(host, draft, text, most),
        Kind("Groups", tuple(_groups(host, draft, text, most))),
        *_seen(host, words, most),
        Kind("Revisions", tuple(_revisions(host, words, most))),
        _documentation(text, most),
    )
    return tuple(kind for kind in kinds if kind.results)


def _rules(host: Host, draft: Document, text: str, most: int) -> Kind:
    found, total = find_rules(host, draft, text, most=most)
    results = tuple(
        Result(
            each.rule.comment or each.description,
            each.description if each.rule.comment else "",
            reverse("rules:rule-edit", args=[host.name, each.rule.id]),
        )
        for each in found
    )
    return Kind("Rules", results, total - len(results), _list_url("rules:rule-list", host, text))


def _groups(host: Host, draft: Document, text: str, most: int) -> Iterator[Result]:
    for group, words in find_groups(draft, text, most=most):
        yield Result(f"@{group.name}", words, reverse("rules:group", args=[host.name, group.name]))


def _seen(host: Host, words: list[str], most: int) -> Iterator[Kind]:
    view = latest_snapshot(host)
    if view is None:
        return
    containers = find_containers(view, words)
    results = (
        Result(each.name, each.detail, _list_url("rules:exposure", host, each.name)) for each in containers
    )
    yield Kind("Containers", tuple(results)[:most])
    ports = find_ports(view, words)
    results = (Result(each.name, each.detail, _list_url("rules:exposure", host, each.name)) for each in ports)
    yield Kind("Ports", tuple(results)[:most])


def _revisions(host: Host, words: list[str], most: int) -> Iterator[Result]:
    """Yield the revision of that number, then those whose reason has every word, the newest first."""
    number = _REVISION.fullmatch(" ".join(words))
    if number:
        yield from _results(host, _by_number(host, int(number[1])))
        return
    yield from _results(host, _by_reason(host, words, most))


def _results(host: Host, rows: list[tuple[int, str, str]]) -> Iterator[Result]:
    for number, reason, author in rows:
        url = reverse("rules:revision", args=[host.name, number])
        yield Result(f"Revision {number}", f"{reason} ({author})", url)


def _by_number(host: Host, number: int) -> list[tuple[int, str, str]]:
    rows = Revision.objects.filter(host=host, number=number)
    return list(rows.values_list("number", "message", "author_name"))


def _by_reason(host: Host, words: list[str], most: int) -> list[tuple[int, str, str]]:
    # Of the applies: the rows of revisions have whole documents, which a search would read.
    wanted = Q(host=host)
    for word in words:
        wanted &= Q(message__icontains=word)
    rows = Apply.objects.filter(wanted).order_by("-sequence")
    found: dict[int, tuple[int, str, str]] = {}
    # A revision may have been applied again and again for the same reason.
    for row in rows.values_list("revision__number", "message", "requested_by")[: 4 * most]:
        found.setdefault(row[0], row)
    return list(found.values())[:most]


def _documentation(text: str, most: int) -> Kind:
    found, total = search_docs(text, most=most)
    results = tuple(
        Result(each.section.title, each.page.title if each.section.level > 1 else "", each.url)
        for each in found
    )
    all_of_them = f"{reverse('rules:docs')}?{urlencode({'q': text})}"
    return Kind("Documentation", results, total - len(results), all_of_them)


def _list_url(view: str, host: Host, text: str) -> str:
    return f"{reverse(view, args=[host.name])}?{urlencode({'q': text})}"
