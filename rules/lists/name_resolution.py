"""Resolve the DNS names of a group, and keep for a while what the last good answer said.

Each answer replaces the former one, and a name that does not exist has no address: a dynamic address that it
had may have a new owner. A name server that fails says nothing, so the former answer stays for an hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final

import dns.exception
import dns.resolver

from dockerfw.chains.list_entries import NetworkList, list_of_networks
from dockerfw.chains.list_judgement import MOST_ADDRESSES
from rules.lists import sentences

KEPT: Final = timedelta(hours=1)
LEAST_SECONDS: Final = 10
MOST_SECONDS: Final = 60
QUERY_SECONDS: Final = 5.0
AT_ONCE: Final = 8
TYPES: Final = {"A": 4, "AAAA": 6}

Answers = Mapping[str, Any]
"""By "NAME TYPE": `addresses`, and `at`, the ISO time of the last good answer. As JSON."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What names stand for now.

    `seconds` is the time after which they are asked again. `problems` has a sentence for each query that
    failed, and `answered` is False if every query failed.
    """

    networks: NetworkList
    answers: dict[str, Any]
    seconds: int
    problems: tuple[str, ...] = ()
    answered: bool = True


@dataclass(frozen=True, slots=True)
class _Reply:
    addresses: tuple[str, ...] = ()
    ttl: int = MOST_SECONDS
    problem: str = ""


def make_resolver(servers: Sequence[str], port: int = 53) -> dns.resolver.Resolver:
    """Return a resolver that asks these name servers, or those of the system. Raises DNSException."""
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = list(servers)
        resolver.port = port
    resolver.lifetime = QUERY_SECONDS
    resolver.timeout = QUERY_SECONDS / 2
    return resolver


def resolve_names(
    names: Sequence[str], former: Answers, resolver: dns.resolver.Resolver, now: datetime
) -> Resolution:
    """Ask for the addresses of all names, a few at once."""
    queries = [(name, kind) for name in names for kind in TYPES]
    with ThreadPoolExecutor(AT_ONCE, "names") as pool:
        replies = list(pool.map(lambda query: _ask(resolver, *query), queries))
    answers: dict[str, Any] = {}
    for (name, kind), reply in zip(queries, replies, strict=True):
        key = f"{name} {kind}"
        if not reply.problem:
            answers[key] = {"addresses": list(reply.addresses), "at": now.isoformat()}
        elif (kept := former.get(key)) and now - datetime.fromisoformat(kept["at"]) <= KEPT:
            answers[key] = kept
    addresses = [address for answer in answers.values() for address in answer["addresses"]]
    problems = tuple(reply.problem for reply in replies if reply.problem)
    seconds = min((reply.ttl for reply in replies if not reply.problem), default=MOST_SECONDS)
    return Resolution(
        list_of_networks(addresses),
        answers,
        min(max(seconds, LEAST_SECONDS), MOST_SECONDS),
        problems,
        len(problems) < len(replies),
    )


def _ask(resolver: dns.resolver.Resolver, name: str, kind: str) -> _Reply:
    try:
        answer = resolver.resolve(name, kind, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return _Reply()
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return _Reply(problem=sentences.NO_REPLY.format(name=name, kind=kind, why=_reason(error)))
    found = [str(record.address) for record in answer]
    if len(found) > MOST_ADDRESSES:
        problem = sentences.TOO_MANY_ADDRESSES.format(name=name, count=len(found), most=MOST_ADDRESSES)
        return _Reply(problem=problem)
    # No packet comes from these.
    usable = [text for text in found if _is_source(text)]
    return _Reply(tuple(sorted(usable)), int(answer.chaining_result.minimum_ttl))


def _is_source(text: str) -> bool:
    address = ip_address(text)
    return not (address.is_multicast or address.is_unspecified or address.is_loopback)


def _reason(error: Exception) -> str:
    if isinstance(error, dns.resolver.LifetimeTimeout):
        return "the name server does not answer"
    if isinstance(error, dns.resolver.NoNameservers):
        return "the name server failed"
    return str(error)[:200] or type(error).__name__
