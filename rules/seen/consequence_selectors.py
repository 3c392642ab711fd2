"""Read the effects of a load: on outside access, on expectations, and on the caller's own access.

The functions gather the rules as they would be, the surroundings and the listeners of a snapshot; the answers
are the simulator's. What the snapshot does not tell stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from dockerfw.chains.ways_in import inside_interfaces, outside_interfaces
from dockerfw.document.document import Document
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.iptables.networks import family_of
from dockerfw.messages.snapshot_values import forwarded_connections, limits_of, surroundings_of
from dockerfw.reach.changes import Change, exposure_changes, sort_changes
from dockerfw.reach.container_access import ContainerEffect, find_container_effect
from dockerfw.reach.container_offers import find_container_offers
from dockerfw.reach.differences import Difference, first_differences
from dockerfw.reach.elsewhere import is_hidden_by_nftables
from dockerfw.reach.expectations import ExpectationContext, ExpectationResult, check_expectations
from dockerfw.reach.forwarded_reach import destination_changes
from dockerfw.reach.lockout import (
    TCP,
    LockoutAnswer,
    Reachable,
    check_access,
    check_access_from_anywhere,
    ssh_ports,
    worst,
)
from dockerfw.reach.offers import find_offers
from dockerfw.reach.sentences import HIDDEN_BY_PROXY, RULES_IN_NFTABLES
from dockerfw.reach.unchanged import Unchanged, find_changed
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import LOCAL, Surroundings
from rules.seen.destination_selectors import destinations_of
from rules.seen.listening_selectors import listening_of
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView
from rules.seen.surroundings_selectors import (
    document_key,
    prepare_family,
    prepare_family_after,
    rulesets_read,
    sight_key,
    surroundings_after,
)

_changes: Memory[tuple[Change, ...]] = Memory(4)
_containers: Memory[ContainerEffect] = Memory(4)
_behind: Memory[tuple[Change, ...]] = Memory(4)
_differences: Memory[tuple[Difference, ...]] = Memory(4)
_findings: Memory[tuple[ExpectationResult, ...]] = Memory(4)


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of a page: its address, and how it connected.

    `peer` is the other end of the connection, a proxy or the client, empty for a unix socket. `dialled` is
    the address in the page's URL, empty where that is a name. `here` is true if the host in question serves
    the pages, `contained` if they run in one of its containers.
    """

    address: str
    peer: str
    port: int
    server_port: int
    dialled: str = ""
    here: bool = True
    contained: bool = False


@dataclass(frozen=True, slots=True)
class LockOut:
    """Whether a client would still reach the host, an answer for each service."""

    address: str
    answers: tuple[LockoutAnswer, ...]

    @property
    def can(self) -> Reachable:
        """The worst of the answers."""
        return worst(self.answers)


def prepare_live(view: SnapshotView) -> Mapping[Family, Prepared]:
    """Return the rules as the kernel held them, of the families that could be read."""
    return {family: made for family in FAMILIES if (made := prepare_family(view, family)) is not None}


def prepare_after(view: SnapshotView, document: Document, revision: int) -> Mapping[Family, Prepared]:
    """Return the rules as they would be after a load, without the families that cannot be computed."""
    found: dict[Family, Prepared] = {}
    for family in FAMILIES:
        try:
            made = prepare_family_after(view, document, revision, family)
        except NetfilterError:
            continue
        if made is not None:
            found[family] = made
    return found


def exposure_difference(
    view: SnapshotView, base: Document | None, document: Document, revision: int
) -> tuple[Change, ...]:
    """Return the changes of outside access, a sentence each."""
    key = (sight_key(view), base and document_key(view, base), document_key(view, document), revision)
    changes = _changes.get_or_compute(key, lambda: _difference(view, base, document, revision))
    # Connections open and close all the time, and the ports need not be compared again for that.
    outside = outside_interfaces(document.settings, surroundings_of(view.snapshot))
    opened = frozenset(forwarded_connections(view.snapshot, outside))
    behind = _behind.get_or_compute((*key, opened), lambda: _behind_host(view, base, document, revision))
    return sort_changes((*changes, *behind))


def container_effect(view: SnapshotView, document: Document, revision: int) -> ContainerEffect:
    """Return the effect of a load on what containers reach on their host."""
    key = (sight_key(view), document_key(view, document), revision)
    return _containers.get_or_compute(
        key,
        lambda: find_container_effect(
            listening_of(view),
            surroundings_of(view.snapshot),
            prepare_live(view),
            prepare_after(view, document, revision),
        ),
    )


def containers_question(base: Document | None, document: Document, effect: ContainerEffect) -> str:
    """Say what the first apply takes from containers, if the draft can prevent it; else return ""."""
    by_rules = document.settings.containers_reach_host == "by-rules"
    return effect.question if base is None and by_rules else ""


def packet_differences(view: SnapshotView, document: Document) -> tuple[Difference, ...]:
    """Return what the first load on a host changes for packets; nothing once dockerfw's rules are loaded."""
    key = (sight_key(view), document_key(view, document), "packets")
    around = surroundings_after(view, document, 0)
    return _differences.get_or_compute(
        key,
        lambda: first_differences(
            rulesets_read(view), document, around.sets, around.at, limits_of(view.snapshot)
        ),
    )


def expectation_findings(
    view: SnapshotView, document: Document, revision: int
) -> tuple[ExpectationResult, ...]:
    """Check each of the document's expectations against the rules after the load."""
    if not document.expectations:
        return ()
    key = (sight_key(view), document_key(view, document), revision)
    return _findings.get_or_compute(
        key, lambda: check_document(view, document, prepare_after(view, document, revision))
    )


def findings_now(view: SnapshotView, document: Document) -> tuple[ExpectationResult, ...]:
    """Check each of the document's expectations against the kernel's rules of the snapshot."""
    if not document.expectations:
        return ()
    key = (sight_key(view), document_key(view, document), "now")
    return _findings.get_or_compute(key, lambda: check_document(view, document, prepare_live(view)))


def lock_out(view: SnapshotView, document: Document, revision: int, caller: Caller) -> LockOut:
    """Check whether the caller would still reach this dashboard and SSH."""
    source = _address(caller.address)
    if source is None:
        reason = "your address is unknown"
        return LockOut("", (LockoutAnswer("this dashboard", "unknown", reason),))
    asking = _Asking(view, document, revision)
    if not caller.here:
        elsewhere = LockoutAnswer("this dashboard", "yes", "it runs on another machine")
        return LockOut(str(source), (elsewhere, *asking.ssh(source, None)))
    if asking.hides(caller, source):
        return LockOut("", (asking.from_anywhere(caller), LockoutAnswer("SSH", "unknown", HIDDEN_BY_PROXY)))
    dashboard = [asking.ask_plausibly(each) for each in asking.dashboard(caller, source)]
    return LockOut(str(source), (*dashboard, *asking.ssh(source, _address(caller.dialled))))


def lock_out_ssh(view: SnapshotView, document: Document, revision: int, connection: str) -> LockOut | None:
    """Check the same for a session over SSH; `connection` is sshd's SSH_CONNECTION."""
    words = connection.split()
    if len(words) != 4 or not words[3].isdigit():
        return None
    source, dialled = _address(words[0].partition("%")[0]), _address(words[2].partition("%")[0])
    if source is None:
        return None
    asking = _Asking(view, document, revision)
    answer = asking.ask(_Way("SSH, as you are connected now", source, int(words[3]), dialled))
    return LockOut(str(source), (answer,))


def _difference(
    view: SnapshotView, base: Document | None, document: Document, revision: int
) -> tuple[Change, ...]:
    surroundings = surroundings_of(view.snapshot)
    outside = outside_interfaces(document.settings, surroundings)
    before, after = prepare_live(view), prepare_after(view, document, revision)
    unchanged = Unchanged(find_changed(before, after))
    if unchanged.everything:
        return ()
    listening = listening_of(view)
    offers = find_offers(listening)
    return exposure_changes(
        offers,
        (base, document),
        before,
        after,
        outside,
        inside_interfaces(document.settings, surroundings),
        own=find_container_offers(listening, (before, after), outside, offers),
        sockets_known=view.snapshot.listeners_known and bool(view.snapshot.sockets),
        unchanged=unchanged,
    )


def _behind_host(
    view: SnapshotView, base: Document | None, document: Document, revision: int
) -> tuple[Change, ...]:
    outside = outside_interfaces(document.settings, surroundings_of(view.snapshot))
    before, after = prepare_live(view), prepare_after(view, document, revision)
    documents = (base, document)
    found = destinations_of(view, before, documents, outside, document.settings.external_interfaces)
    return destination_changes(found, documents, before, after, outside)


def check_document(
    view: SnapshotView, document: Document, prepared: Mapping[Family, Prepared]
) -> tuple[ExpectationResult, ...]:
    """Check each of the document's expectations against any rules of the snapshot's host."""
    outside = outside_interfaces(document.settings, surroundings_of(view.snapshot))
    sight = ExpectationContext(prepared, outside, listening_of(view), document.rules)
    return check_expectations(document.expectations, sight)


@dataclass(frozen=True, slots=True)
class _Way:
    """The path of a connection to one service, `what`."""

    what: str
    source: IPv4Address | IPv6Address
    port: int
    dialled: IPv4Address | IPv6Address | None


class _Asking:
    """Questions to the simulator about one proposed document."""

    def __init__(self, view: SnapshotView, document: Document, revision: int) -> None:
        self.view = view
        self.document = document
        self.surroundings: Surroundings = surroundings_of(view.snapshot)
        self.after = prepare_after(view, document, revision)

    def ask(self, way: _Way, *, live: bool = False) -> LockoutAnswer:
        """Ask about one path, after the load or with the current rules."""
        if is_hidden_by_nftables(TCP, way.port, listening_of(self.view)):
            return LockoutAnswer(way.what, "unknown", RULES_IN_NFTABLES)
        return check_access(
            prepare_live(self.view) if live else self.after,
            self.surroundings,
            what=way.what,
            source=way.source,
            port=way.port,
            dialled=way.dialled,
        )

    def ask_plausibly(self, way: _Way) -> LockoutAnswer:
        """Ask, and answer "no" only if the current rules allow the caller, who is connected now."""
        answer = self.ask(way)
        if answer.can == "no" and self.ask(way, live=True).can == "no":
            reason = "the current rules would already block you, so your packets take another path"
            return LockoutAnswer(way.what, "unknown", reason)
        return answer

    def hides(self, caller: Caller, source: IPv4Address | IPv6Address) -> bool:
        """Return True if docker-proxy hides the caller, so that the pages see the host's own address.

        A caller that connects to loopback is on the host, or uses a tunnel that ends there.
        """
        dialled = _address(caller.dialled)
        if not caller.contained or not self._is_here(source) or (dialled is not None and dialled.is_loopback):
            return False
        outside = outside_interfaces(self.document.settings, self.surroundings)
        return all(source != address.ip for each in outside for address in each.addresses)

    def from_anywhere(self, caller: Caller) -> LockoutAnswer:
        """Ask about the pages for an unknown address, and treat a "no" as `ask_plausibly` does."""
        what, dialled = "this dashboard", _address(caller.dialled)
        after, live = (
            check_access_from_anywhere(rules, self.surroundings, what=what, port=caller.port, dialled=dialled)
            for rules in (self.after, prepare_live(self.view))
        )
        return replace(after, can="unknown") if after.can == live.can == "no" else after

    def dashboard(self, caller: Caller, source: IPv4Address | IPv6Address) -> tuple[_Way, ...]:
        """Return the paths of the caller's packets: direct, or through a proxy."""
        peer = _address(caller.peer)
        straight = _Way("this dashboard", source, caller.port, _address(caller.dialled))
        if peer is None or peer == source or self._is_here(peer):
            return (straight,)
        if caller.contained and not self._is_outside(peer):
            # From one container to another: the host only has to allow what the proxy publishes.
            return (straight,)
        behind = _Way(f"this dashboard, through the proxy {peer}", peer, caller.server_port, None)
        return (behind,) if self._is_outside(peer) else (straight, behind)

    def ssh(
        self, source: IPv4Address | IPv6Address, dialled: IPv4Address | IPv6Address | None
    ) -> tuple[LockoutAnswer, ...]:
        """Ask about each port of sshd."""
        ports = ssh_ports(listening_of(self.view).listeners)
        ways = [_Way("SSH" if port == 22 else f"SSH on port {port}", source, port, dialled) for port in ports]
        return tuple(self._unless_refused_already(way) for way in ways)

    def _unless_refused_already(self, way: _Way) -> LockoutAnswer:
        answer = self.ask(way)
        if answer.can == "no" and self.ask(way, live=True).can == "no":
            return replace(answer, reason=f"{answer.reason}, as it already is", already=True)
        return answer

    def _is_here(self, address: IPv4Address | IPv6Address) -> bool:
        return self._route(address) == LOCAL

    def _is_outside(self, address: IPv4Address | IPv6Address) -> bool:
        names = outside_interfaces(self.document.settings, self.surroundings)
        return self._route(address) in {None, *(each.name for each in names)}

    def _route(self, address: IPv4Address | IPv6Address) -> str | None:
        return self.surroundings.route(family_of(address), address, None)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
