"""The sessions that this host's kernel tracks: the list of those from outside, and the ending of single ones.

It runs `conntrack` and `ss`. Each call that ends a session names that session with both its directions, so
that it can never end another one. Which sessions are no longer allowed is decided in
`dockerfw.reach.inbound`.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dockerfw.chains.bound_sets import follows_host
from dockerfw.chains.container_sets import is_container_set
from dockerfw.chains.loaded_documents import documents_of
from dockerfw.document.document import Document
from dockerfw.document.moments import document_at, ended_rules, to_second
from dockerfw.document.words import describe_count
from dockerfw.host import sentences
from dockerfw.host.bound_sets import SetsFailed, list_bound_sets, read_bound_sets
from dockerfw.host.clock import utc_now
from dockerfw.host.errors import HostError
from dockerfw.host.group_sets import count_members, read_group_set
from dockerfw.host.runner import Command, CommandFailed, command_path, run, run_all
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.messages.session_groups import MOST_GROUPS, SessionGroup, SessionGroups
from dockerfw.messages.surroundings import TrackedConnections
from dockerfw.reach.conntrack import Session, read_session
from dockerfw.reach.inbound import InboundSession, Members, NewlyRefused, Route, Routing, sets_asked

logger = logging.getLogger("dockerfw.sessions")

# A snapshot must not take long: with more connections than these, none is listed.
MOST_LISTED = 20_000
# To end sessions, more are examined, but not so many that they use up the machine's memory and time.
MOST_EXAMINED = 100_000
# A client that is allowed on every port can open as many kinds of sessions, and each is compared with all
# rules.
EXAMINING_SECONDS = 20.0
# The networks of lists take much memory. The shortest lists are read, up to so many networks in all, and the
# sessions of others are left as they are.
MOST_LIST_MEMBERS = 200_000
ENDING_SECONDS = 10.0
AT_ONCE = 8

_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_MOST = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_TCP = 6
_NAMES = {4: "ipv4", 6: "ipv6"}
# Without -f conntrack lists both families, but up to 1.4.6 (Ubuntu 22.04) only IPv4.
_LISTS = tuple(Command(("conntrack", "-L", "-f", name, "-o", "extended")) for name in _NAMES.values())
_ANY = {4: "0.0.0.0/0", 6: "::/0"}
_OPTIONS = {
    "sport": "--orig-port-src",
    "dport": "--orig-port-dst",
    "srckey": "--srckey",
    "dstkey": "--dstkey",
    "type": "--icmp-type",
    "code": "--icmp-code",
    "id": "--icmp-id",
}
_REPLY_OPTIONS = {"sport": "--reply-port-src", "dport": "--reply-port-dst"}
_IPV6_ICMP = 58
# conntrack's status if there was nothing to delete.
_NOT_FOUND = 1


class TooManyConnections(HostError):  # noqa: N818 - it states a fact
    """There are too many connections to examine, or it takes too long."""


class ConntrackMissing(HostError):  # noqa: N818 - it states a fact
    """conntrack, which lists and ends sessions, is not installed on this host."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How many sessions were ended, and the reasons why others were not.

    `untold` says why it cannot be told now which sessions belong to rules for containers by name.
    """

    count: int
    problems: tuple[str, ...] = ()
    untold: str = ""

    def __str__(self) -> str:
        reasons = (*self.problems, self.untold) if self.untold else self.problems
        if not self.count and not reasons:
            return sentences.NO_SESSION_ENDED
        ended = sentences.SESSIONS_ENDED.format(sessions=describe_count(self.count, "session"))
        return "; ".join((ended, *reasons))


@dataclass(frozen=True, slots=True)
class Tracked:
    """What conntrack printed of each family; `whole` is False if there are too many connections to list.

    `printed` is None where the kernel does not say how many it tracks, so that they are listed later.
    """

    printed: tuple[bytes | CommandFailed, ...] | None = None
    whole: bool = True


def routing_of(links: Sequence[dict[str, Any]], routes: Mapping[Family, Sequence[dict[str, Any]]]) -> Routing:
    """Return the routing from what `ip -json address show` and `route show` list. Raises CommandFailed."""
    try:
        found = [route for family in routes for route in _routes(family, routes[family])]
        return Routing(_addresses(links), found)
    except ValueError as error:
        raise CommandFailed(("ip", "-json"), sentences.UNREADABLE.format(error=error), 0, "") from None


def list_tracked() -> Tracked | None:
    """Return what the kernel tracks now, for a snapshot; None if conntrack is not installed."""
    if not _has_conntrack():
        return None
    tracked = count_tracked()
    if tracked is None:
        return Tracked()
    if not 0 < tracked.count <= MOST_LISTED:
        return Tracked((), whole=not tracked.count)
    return Tracked(tuple(run_all(_LISTS)))


def sessions_from_outside(tracked: Tracked | None, routing: Routing) -> SessionGroups | None:
    """Return the open sessions from outside, None if conntrack is not installed. Raises CommandFailed."""
    if tracked is None:
        return None
    if not tracked.whole:
        return SessionGroups(whole=False)
    outside = _OutsideSessions(routing, tracked.printed)
    counts = Counter(inbound for _, inbound in outside.examine())
    groups = tuple(SessionGroup.of(inbound, count) for inbound, count in counts.most_common(MOST_GROUPS))
    return SessionGroups(groups, whole=not outside.unread and len(counts) <= MOST_GROUPS)


def count_tracked() -> TrackedConnections | None:
    """Return how many connections the kernel tracks and can track, None if it does not say."""
    try:
        return TrackedConnections(int(_COUNT.read_text()), int(_MOST.read_text()))
    except (OSError, ValueError):
        return None


def end_lost_sessions(
    before: Mapping[Family, Ruleset],
    after: Document,
    *,
    held: Document | None = None,
    unbound: str = "",
) -> Ended:
    """End the sessions that our chains in `before` allowed and that `after` does not.

    `held` is the document that they were loaded for, None where they are read back from the chains. `unbound`
    is that of `end_refused_sessions`. Raises ConntrackMissing, TooManyConnections, CommandFailed and
    NetfilterError, before any session is ended.
    """
    documents = documents_of(before, held)
    if not documents:
        # None of our chains was loaded, so they allowed no session.
        return Ended(0)
    # No look may have ended the sessions of a rule that has expired in the meantime.
    moment = to_second(utc_now())
    counted = {
        family: document_at(document, moment, but=ended_rules(document, "", moment))
        for family, document in documents.items()
    }
    return end_refused_sessions(counted, after, unbound=unbound)


def end_refused_sessions(before: Mapping[Family, Document], after: Document, *, unbound: str = "") -> Ended:
    """End the sessions that the documents before allowed and `after` does not, as of now.

    `unbound` says why the bound sets may not hold what the host shows, empty where they do. Then sessions
    that may be of rules for containers by name are left open. Raises ConntrackMissing, TooManyConnections,
    CommandFailed and NetfilterError, before any is ended.
    """
    if not _has_conntrack():
        raise ConntrackMissing(sentences.NO_CONNTRACK)
    if _count_tracked() > MOST_EXAMINED:
        raise TooManyConnections(
            sentences.TOO_MANY_CONNECTIONS.format(count=_count_tracked(), most=MOST_EXAMINED)
        )
    outside = _OutsideSessions(_read_routing())
    asked = {name for document in (*before.values(), after) for name in sets_asked(document)}
    members, unread = _read_members(name for name in asked if not (unbound and follows_host(name)))
    loss = NewlyRefused(before, after, moment=utc_now(), members=members)
    lost = list(_find_lost(outside, loss))
    ended = _end_all(lost)
    if unbound and any(map(is_container_set, asked)):
        ended = replace(ended, untold=sentences.SESSIONS_UNBOUND.format(why=unbound))
    problems = list(ended.problems)
    if unread.intersection(_sets_of_removed(before.values(), after)):
        problems.append(sentences.LISTS_TOO_LONG)
    if outside.unread:
        problems.append(sentences.LINES_UNREAD.format(lines=describe_count(outside.unread, "line")))
    return replace(ended, problems=tuple(problems))


def _sets_of_removed(before: Iterable[Document], after: Document) -> Iterator[str]:
    """Yield the names of the bound sets of allowances that the document after does not have."""
    kept = frozenset(after.rules)
    for document in before:
        gone = (rule for rule in document.rules if rule.action == "allow" and rule not in kept)
        yield from sets_asked(replace(document, rules=tuple(gone)))


def _read_members(names: Iterable[str]) -> tuple[Members, frozenset[str]]:
    """Return the members of those of these bound sets that exist, and the names of the too long lists."""
    wanted = frozenset(names)
    found: dict[str, frozenset[str]] = {}
    lists: dict[str, int] = {}
    try:
        existing = wanted.intersection(list_bound_sets())
        bound = read_bound_sets(filter(follows_host, existing))
        found = {name: frozenset(members) for name, members in bound.items()}
        lists = {name: count_members(name) or 0 for name in existing.difference(found)}
        room = MOST_LIST_MEMBERS
        for name, count in sorted(lists.items(), key=lambda item: (item[1], item[0])):
            room -= count
            if room < 0:
                break
            if (members := read_group_set(name)) is not None:
                found[name] = frozenset(members)
    except SetsFailed as error:
        logger.warning("%s", error)
    return found, frozenset(lists.keys() - found.keys())


def _find_lost(outside: _OutsideSessions, loss: NewlyRefused) -> Iterator[tuple[Session, InboundSession]]:
    stop = time.monotonic() + EXAMINING_SECONDS
    for session, inbound in outside.examine():
        if time.monotonic() > stop:
            raise TooManyConnections(sentences.SESSIONS_TOOK_LONG.format(seconds=EXAMINING_SECONDS))
        if loss.includes(inbound):
            yield session, inbound


class _OutsideSessions:
    """The open sessions from outside, from conntrack's list; `unread` counts the unreadable lines.

    `printed` is the list of each family where it was read before.
    """

    def __init__(self, routing: Routing, printed: Iterable[bytes | CommandFailed] | None = None) -> None:
        self._routing = routing
        self._printed = printed
        self.unread = 0

    def examine(self) -> Iterator[tuple[Session, InboundSession]]:
        """Yield the sessions one by one: all of them at once can exceed this process's memory limit."""
        for line in self._list_lines():
            session = read_session(line.decode("ascii", "replace"))
            if session is None:
                self.unread += 1
            # Another program uses a zone, and sessions of zones may share their addresses with ours.
            elif session.is_ongoing and not session.zone:
                inbound = self._routing.find_inbound(session)
                if inbound is not None:
                    yield session, inbound

    def _list_lines(self) -> Iterator[bytes]:
        for result in map(run, _LISTS) if self._printed is None else self._printed:
            if isinstance(result, CommandFailed):
                raise result
            yield from io.BytesIO(result)


def _end_all(chosen: Sequence[tuple[Session, InboundSession]]) -> Ended:
    ended = tried = 0
    failures: list[CommandFailed] = []
    stop = time.monotonic() + ENDING_SECONDS
    for start in range(0, len(chosen), AT_ONCE):
        if time.monotonic() > stop:
            break
        some = chosen[start : start + AT_ONCE]
        tried += len(some)
        # The host's own sockets first, while their last packet still passes: a deleted connection is tracked
        # again as soon as the host sends something on it.
        run_all([_kill_socket(session) for session, inbound in some if _has_socket(session, inbound)])
        for result in run_all([_delete(session) for session, _ in some]):
            if not isinstance(result, CommandFailed):
                ended += 1
            elif result.exit_status != _NOT_FOUND:
                failures.append(result)
    problems = []
    if failures:
        problems.append(sentences.SESSIONS_FAILED.format(count=len(failures), why=failures[0])[:1000])
    if tried < len(chosen):
        problems.append(sentences.SESSIONS_LEFT.format(count=len(chosen) - tried, seconds=ENDING_SECONDS))
    return Ended(ended, tuple(problems))


def _has_conntrack() -> bool:
    return shutil.which("conntrack", path=command_path()) is not None


def _count_tracked() -> int:
    """Return how many connections the kernel tracks, 0 if it does not say."""
    found = count_tracked()
    return found.count if found else 0


def _read_routing() -> Routing:
    address, route4, route6 = (
        Command(("ip", "-json", *words))
        for words in (("address", "show"), ("-4", "route", "show"), ("-6", "route", "show"))
    )
    results = run_all([address, route4, route6])
    links, routes = _items(address, results[0]), _items(route4, results[1])
    # A kernel without IPv6 has no IPv6 routes and no IPv6 sessions.
    routes6 = [] if isinstance(results[2], CommandFailed) else _items(route6, results[2])
    return routing_of(links, {4: routes, 6: routes6})


def _items(command: Command, result: bytes | CommandFailed) -> list[dict[str, Any]]:
    if isinstance(result, CommandFailed):
        raise result
    try:
        value = json.loads(result or b"[]")
    except ValueError as error:
        raise CommandFailed(command.words, sentences.NOT_JSON.format(error=error), 0, "") from None
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _addresses(links: Sequence[dict[str, Any]]) -> list[str]:
    return [str(item["local"]) for link in links for item in link.get("addr_info", ()) if "local" in item]


def _routes(family: Family, routes: Sequence[dict[str, Any]]) -> Iterator[Route]:
    for route in routes:
        to = str(route.get("dst", ""))
        for hop in (route, *route.get("nexthops", ())):
            if to and "dev" in hop:
                yield Route(_ANY[family] if to == "default" else to, str(hop["dev"]))


def _has_socket(session: Session, inbound: InboundSession) -> bool:
    return session.number == _TCP and inbound.place == "host"


def _kill_socket(session: Session) -> Command:
    """Return the command that closes the host's end of a TCP connection; the kernel tells the other end."""
    here = _end_of(session.reply.source, session.reply.source_port)
    there = _end_of(session.original.source, session.original.source_port)
    return Command(("ss", "--kill", "--tcp", "--numeric", "src", here, "dst", there))


def _end_of(address: str, port: int | None) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _delete(session: Session) -> Command:
    """Return the command that deletes one connection, named by all that distinguishes it from others."""
    original, reply = session.original, session.reply
    words = ["conntrack", "-D", "-f", _NAMES[session.family], "-p", str(session.number)]
    words += ["-s", original.source, "-d", original.destination, "-r", reply.source, "-q", reply.destination]
    for name, value in original.keys:
        option = _OPTIONS[name]
        words += [option.replace("--icmp-", "--icmpv6-") if session.number == _IPV6_ICMP else option, value]
    for name, value in reply.keys:
        if name in _REPLY_OPTIONS:
            words += [_REPLY_OPTIONS[name], value]
    return Command(tuple(words))
