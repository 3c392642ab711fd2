"""The pages that the search and the keys lead to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.urls import reverse


@dataclass(frozen=True, slots=True)
class SitePage:
    """A page. `key` is the letter that opens it after `g`; `of_host` pages are below the host's name."""

    view: str
    label: str
    words: str
    key: str = ""
    of_host: bool = True

    def url(self, host_name: str) -> str:
        """Return the address of the page."""
        return reverse(f"rules:{self.view}", args=[host_name] if self.of_host else [])


SITE_PAGES: Final = (
    SitePage("dashboard", "Dashboard", "home overview state protected", "d"),
    SitePage("rule-list", "Rules", "allow block ports hits", "r"),
    SitePage("group-list", "Groups", "networks lists feeds names countries addresses", "g"),
    SitePage("expectation-list", "Checks", "expectations tests", "c"),
    SitePage("review", "Review", "pending changes plan apply", "v"),
    SitePage("exposure", "Exposure", "reachable open ports listening published", "e"),
    SitePage("refused", "Refused", "rejected dropped packets log", "f"),
    SitePage("live", "Live", "kernel iptables chains counters", "l"),
    SitePage("trace", "Trace", "simulate packet why", "t"),
    SitePage("history", "History", "revisions roll back compare", "h"),
    SitePage("audit", "Audit", "events log who", "a", of_host=False),
    SitePage("settings", "Settings", "interfaces external trusted refuse icmp self-repair", "s"),
    SitePage("docs", "Documentation", "help manual", "m", of_host=False),
    SitePage("host-list", "Hosts", "machines servers fleet states", of_host=False),
    SitePage("charts", "Charts", "over time samples graphs"),
    SitePage("start", "Guide to the first revision", "start setup first steps"),
    SitePage("rule-new", "New rule", "add allow block"),
    SitePage("group-new", "New group", "add list feed names countries"),
    SitePage("expectation-new", "New check", "add expectation"),
    SitePage("import", "Import rules", "file json iptables-save replace"),
    SitePage("export", "Export rules", "download json"),
    SitePage("password", "Change password", "account", of_host=False),
)


@dataclass(frozen=True, slots=True)
class KeyedPage:
    """A page that a letter after `g` opens."""

    key: str
    label: str
    url: str


def keyed_pages(host_name: str) -> tuple[KeyedPage, ...]:
    """Return the pages that have a key, for one host."""
    return tuple(KeyedPage(page.key, page.label, page.url(host_name)) for page in SITE_PAGES if page.key)


def find_pages(words: list[str]) -> Iterator[SitePage]:
    """Yield the pages that have every word, those whose name begins with the first one before others."""
    found = [
        page for page in SITE_PAGES if all(word in f"{page.label} {page.words}".casefold() for word in words)
    ]
    first = words[0] if words else ""
    yield from sorted(found, key=lambda page: not page.label.casefold().startswith(first))
