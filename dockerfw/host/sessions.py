"""The sessions that this host's kernel follows: looks at those from outside, and ends exactly those it must.

Owns `conntrack` and `ss`: what they are asked, and that each call that ends something names one session with
both its directions, so that it can never end another one. Which sessions lose their allowance is decided in
`dockerfw.reach.inbound`. It must not know about windows or messages' ways.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockerfw.chains.loaded_documents import read_loaded_documents
from dockerfw.document.document import Document
from dockerfw.document.words import counted
from dockerfw.host.runner import Command, CommandFailed, command_path, run, run_all
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.messages.session_groups import MOST_GROUPS, SessionGroup, SessionGroups
from dockerfw.reach.conntrack import Session, read_session
from dockerfw.reach.inbound import InboundSession, NewlyRefused, Route, Routing

# A look must not take long: of more connections than these, none is listed.
MOST_FOLLOWED = 20_000
# To end some, more are looked through, but not so many that it takes all of the machine's memory and time.
MOST_LOOKED_THROUGH = 100_000
# Whoever is let in on every port can open sessions of as many kinds, and each is held against every rule.
LOOKING_SECONDS = 20.0
ENDING_SECONDS = 10.0
AT_ONCE = 8

_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_TCP = 6
_NAMES = {4: "ipv4", 6: "ipv6"}
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
# conntrack's status when there was nothing to delete.
_NOT_THERE = 1

NO_CONNTRACK = "conntrack is not installed on this host (Debian package conntrack)"


class TooMany(Exception):  # noqa: N818 - it states a fact
    """There are too many connections to look through, or too much to ask about each."""


class NoConntrack(Exception):  # noqa: N818 - it states a fact
    """The command that lists and ends sessions is not on this host."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How many sessions were ended, and each reason why others were not."""

    count: int
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.count and not self.problems:
            return "no session had to be ended"
        return "; ".join((f"{counted(self.count, 'session')} ended", *self.problems))


def routing_of(links: Sequence[dict[str, Any]], routes: Mapping[Family, Sequence[dict[str, Any]]]) -> Routing:
    """Make the routing of what `ip -json address show` and `route show` list. Raises CommandFailed."""
    try:
        found = [route for family in routes for route in _routes(family, routes[family])]
        return Routing(_addresses(links), found)
    except ValueError as error:
        raise CommandFailed(("ip", "-json"), f"printed what cannot be read: {error}", 0, "") from None


def sessions_from_outside(routing: Routing) -> SessionGroups | None:
    """Return the open sessions from outside, None when conntrack is not there. Raises CommandFailed."""
    if not _conntrack_is_there():
        return None
    if _followed() > MOST_FOLLOWED:
        return SessionGroups(whole=False)
    sight = _Sight(routing)
    counts = Counter(inbound for _, inbound in sight.sessions())
    groups = tuple(SessionGroup.of(inbound, count) for inbound, count in counts.most_common(MOST_GROUPS))
    return SessionGroups(groups, whole=not sight.unread and len(counts) <= MOST_GROUPS)


def end_lost_sessions(before: Mapping[Family, Ruleset], after: Document) -> Ended:
    """End the sessions that our chains in `before` had let in and `after` does not.

    Raises NoConntrack, TooMany, CommandFailed and NetfilterError: nothing is ended then.
    """
    documents = read_loaded_documents(before)
    if not documents:
        # Nothing of ours was loaded, so it had let nobody in.
        return Ended(0)
    if not _conntrack_is_there():
        raise NoConntrack(NO_CONNTRACK)
    if _followed() > MOST_LOOKED_THROUGH:
        raise TooMany(f"the kernel follows {_followed()} connections, more than {MOST_LOOKED_THROUGH}")
    sight = _Sight(_routing_now())
    loss = NewlyRefused(documents, after)
    lost = list(_lost(sight, loss))
    ended = _end_all(lost)
    if sight.unread:
        words = f"{counted(sight.unread, 'line')} that conntrack printed could not be read"
        return Ended(ended.count, (*ended.problems, words))
    return ended


def _lost(sight: _Sight, loss: NewlyRefused) -> Iterator[tuple[Session, InboundSession]]:
    stop = time.monotonic() + LOOKING_SECONDS
    for session, inbound in sight.sessions():
        if time.monotonic() > stop:
            raise TooMany(f"to look through the sessions took more than {LOOKING_SECONDS:g} s")
        if loss.includes(inbound):
            yield session, inbound


class _Sight:
    """The open sessions from outside as conntrack lists them; `unread` counts the lines that are none."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self.unread = 0

    def sessions(self) -> Iterator[tuple[Session, InboundSession]]:
        """Yield them one by one: all of them at once can be more than this process may hold."""
        for line in self._listed():
            session = read_session(line.decode("ascii", "replace"))
            if session is None:
                self.unread += 1
            # A zone is somebody's own, and its sessions cannot be told from ours by their addresses.
            elif session.is_ongoing and not session.zone:
                inbound = self._routing.find_inbound(session)
                if inbound is not None:
                    yield session, inbound

    def _listed(self) -> Iterator[bytes]:
        # Asked for none, conntrack lists both families, but up to 1.4.6 (Ubuntu 22.04) only IPv4.
        for name in _NAMES.values():
            yield from io.BytesIO(run(Command(("conntrack", "-L", "-f", name, "-o", "extended"))))


def _end_all(chosen: Sequence[tuple[Session, InboundSession]]) -> Ended:
    ended = tried = 0
    failures: list[CommandFailed] = []
    stop = time.monotonic() + ENDING_SECONDS
    for start in range(0, len(chosen), AT_ONCE):
        if time.monotonic() > stop:
            break
        some = chosen[start : start + AT_ONCE]
        tried += len(some)
        # The host's own sockets first, while their last packet still passes: a deleted connection begins anew
        # as soon as the host itself sends something on it.
        run_all([_kill_socket(session) for session, inbound in some if _has_socket(session, inbound)])
        for result in run_all([_delete(session) for session, _ in some]):
            if not isinstance(result, CommandFailed):
                ended += 1
            elif result.exit_status != _NOT_THERE:
                failures.append(result)
    problems = []
    if failures:
        problems.append(f"{len(failures)} not, because {failures[0]}"[:1000])
    if tried < len(chosen):
        problems.append(f"{len(chosen) - tried} not, because it took more than {ENDING_SECONDS:g} s")
    return Ended(ended, tuple(problems))


def _conntrack_is_there() -> bool:
    return shutil.which("conntrack", path=command_path()) is not None


def _followed() -> int:
    """Return how many connections the kernel follows, 0 where it does not say."""
    try:
        return int(_COUNT.read_text())
    except (OSError, ValueError):
        return 0


def _routing_now() -> Routing:
    address, route4, route6 = (
        Command(("ip", "-json", *words))
        for words in (("address", "show"), ("-4", "route", "show"), ("-6", "route", "show"))
    )
    results = run_all([address, route4, route6])
    links, routes = _items(address, results[0]), _items(route4, results[1])
    # A kernel without IPv6 has no such routes to show, and no such sessions.
    routes6 = [] if isinstance(results[2], CommandFailed) else _items(route6, results[2])
    return routing_of(links, {4: routes, 6: routes6})


def _items(command: Command, result: bytes | CommandFailed) -> list[dict[str, Any]]:
    if isinstance(result, CommandFailed):
        raise result
    try:
        value = json.loads(result or b"[]")
    except ValueError as error:
        raise CommandFailed(command.words, f"printed what is not JSON: {error}", 0, "") from None
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
    """Close the host's own end of one TCP connection; the kernel tells the other side."""
    here = _end_of(session.reply.source, session.reply.source_port)
    there = _end_of(session.original.source, session.original.source_port)
    return Command(("ss", "--kill", "--tcp", "--numeric", "src", here, "dst", there))


def _end_of(address: str, port: int | None) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _delete(session: Session) -> Command:
    """Forget one connection, and that one only: all that tells it from others is named."""
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
