"""Ask the source of a list what it stands for now: a feed, name servers or a file. Nothing is stored here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import dns.exception
import dns.resolver

from dockerfw.chains.list_entries import MOST_BYTES, ListRefused, NetworkList, parse_list
from rules.link.fetching import FetchFailed, Outbound, fetch_url
from rules.lists.country_reading import CountriesFailed, file_mark, read_countries
from rules.lists.name_resolution import MOST_SECONDS, make_resolver, resolve_names

# A feed must be done before its job is ended, reading and storing included.
FEED_SECONDS: Final = 100.0


class SourceFailed(Exception):  # noqa: N818 - it states a fact
    """A source said nothing that can be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a list comes from, and what is known from the last time: `etag` and `answers`."""

    kind: str
    url: str = ""
    names: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    allow_http: bool = False
    etag: str = ""
    answers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Access:
    """How sources are reached: the network, the name servers, and the file with the networks of countries."""

    outbound: Outbound
    name_servers: tuple[str, ...] = ()
    country_file: Path | None = None
    resolver: Callable[[Sequence[str]], dns.resolver.Resolver] = make_resolver


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source stands for now; `networks` is None when that has not changed since `etag`.

    `seconds` is the time after which DNS names are asked again, None for the group's own period. `problem`
    says what is missing from it, and `failed` is True if the source said nothing.
    """

    networks: NetworkList | None
    etag: str = ""
    answers: Mapping[str, Any] = field(default_factory=dict)
    seconds: int | None = None
    problem: str = ""
    failed: bool = False


def read_source(source: Source, access: Access, now: datetime) -> Answer:
    """Ask a source. Raises SourceFailed."""
    try:
        if source.kind == "names":
            return _read_names(source, access, now)
        if source.kind == "countries":
            mark = file_mark(access.country_file)
            if mark == source.etag or access.country_file is None:
                return Answer(None, mark)
            return Answer(read_countries(access.country_file, source.countries), mark)
        outbound = replace(access.outbound, seconds=FEED_SECONDS, most_bytes=MOST_BYTES)
        fetched = fetch_url(source.url, outbound, allow_http=source.allow_http, etag=source.etag)
        return Answer(None if fetched.data is None else parse_list(fetched.data), fetched.etag)
    except (FetchFailed, CountriesFailed, ListRefused) as error:
        raise SourceFailed(str(error)) from None


def _read_names(source: Source, access: Access, now: datetime) -> Answer:
    try:
        resolver = access.resolver(access.name_servers)
    except dns.exception.DNSException as error:
        raise SourceFailed(str(error)) from None
    found = resolve_names(source.names, source.answers, resolver, now)
    return Answer(
        found.networks,
        answers=found.answers,
        seconds=found.seconds if found.answered else MOST_SECONDS,
        problem=" ".join(found.problems)[:2000],
        failed=not found.answered,
    )
