"""Whether expectations hold: for each, who of its sources gets through, asked of the simulator.

Owns which services an expectation is about, and when it holds, fails or cannot be told. The verdicts are
those of simulation/services.py; what lies around the rules is handed in. Nothing here is ever a guess: what
the simulator does not know makes an expectation "unknown", with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.chains.owners import chain_owner
from dockerfw.chains.sentences import describe_tables
from dockerfw.document.values import DocumentRule, Expectation
from dockerfw.document.words import describe_expectation, describe_rule
from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach.allowing_rules import AllowingRules
from dockerfw.reach.exposure import covers_the_internet
from dockerfw.reach.listening import Address, Container, Listening, find_containers
from dockerfw.reach.offers import RULES_IN_NFTABLES
from dockerfw.reach.sentences import describe_networks, describe_place
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.services import Reach, Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface
from dockerfw.simulation.trace import TraceStep, Verdict

State = Literal["holds", "fails", "unknown"]

ALL: Final = "all of these sources get through"
NONE: Final = "none of these sources gets through"
_NAMED: Final = 3
# Nobody outside sends from these: unspecified, loopback, multicast, reserved.
_NEVER: Final[Mapping[Family, tuple[str, ...]]] = {
    4: ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"),
    6: ("::/127", "ff00::/8"),
}
_ICMPV6: Final = 58
# The name that fail2ban gives its ipsets, as a rule names it.
_BAN_SET: Final = "--match-set f2b-"
_SAME_LINK: Final = AddressSet.of(6, ("fe80::/10",))


@dataclass(frozen=True, slots=True)
class ExpectationContext:
    """What expectations are asked of: the rules of each family, the ways in, and who listens.

    `outside` are the external interfaces, `rules` those of the document, which name what lets somebody in.
    """

    prepared: Mapping[Family, Prepared]
    outside: tuple[HostInterface, ...]
    listening: Listening
    rules: tuple[DocumentRule, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """What became of one expectation; `reason` is a sentence without its full stop.

    `sources` are some of the networks that are on the wrong side or not known, `step` what decides for them.
    """

    expectation: Expectation
    state: State
    reason: str
    sources: tuple[str, ...] = ()
    step: TraceStep | None = None

    def __str__(self) -> str:
        words = {"holds": "holds", "fails": "fails", "unknown": "cannot be told"}
        return f"{describe_expectation(self.expectation)}: {words[self.state]}, {self.reason}"


@dataclass(frozen=True, slots=True)
class _Way:
    """A port as somebody outside dials it, and the one inside the container that it leads to.

    `address` None is the host's own on each external interface.
    """

    address: Address | None
    port: int | None
    inner: int | None = None


class _EarlyAnswer(Exception):  # noqa: N818 - an early answer, not an error
    def __init__(self, state: State, reason: str) -> None:
        super().__init__(state, reason)
        self.state: State = state
        self.reason = reason


def check_expectations(
    expectations: Sequence[Expectation], sight: ExpectationContext
) -> tuple[ExpectationResult, ...]:
    """Ask of each expectation whether it holds, in the order given."""
    asking = _Asking(sight)
    return tuple(asking.finding(each) for each in expectations)


def find_failures(findings: Sequence[ExpectationResult]) -> tuple[ExpectationResult, ...]:
    """Return those that fail; what cannot be told does not count."""
    return tuple(each for each in findings if each.state == "fails")


def some_networks(addresses: AddressSet) -> tuple[str, ...]:
    """Return the first few networks of a set as text, an address alone without its length."""
    full = f"/{32 if addresses.family == 4 else 128}"
    return tuple(str(network).removesuffix(full) for network in addresses.networks(_NAMED))


def describe_sources(addresses: AddressSet) -> str:
    """Return a set in a few words: `anywhere by IPv4`, `198.51.100.0/24, 203.0.113.7 and 5 more`."""
    if covers_the_internet(addresses.family, addresses):
        return f"anywhere by {FAMILY_NAMES[addresses.family]}"
    return describe_networks(addresses)


class _Asking:
    """The questions of one check; expectations that share a service share its answer."""

    def __init__(self, sight: ExpectationContext) -> None:
        self.sight = sight
        self.answers: dict[Service, Reach] = {}
        self.known = {rule.id: rule for rule in sight.rules}
        self.allowances: dict[Family, AllowingRules] = {}
        own = [address.ip for each in sight.outside for address in each.addresses]
        self.never = {
            family: AddressSet.of(
                family, [*_NEVER[family], *(str(address) for address in own if address.version == family)]
            )
            for family in FAMILY_NAMES
        }

    def finding(self, expectation: Expectation) -> ExpectationResult:
        """Ask for one expectation."""
        try:
            ways = tuple(dict.fromkeys(self._ways(expectation)))
            return self._judge(expectation, ways)
        except _EarlyAnswer as told:
            return ExpectationResult(expectation, told.state, told.reason)

    def _ways(self, expectation: Expectation) -> Iterator[_Way]:
        if self._unseen(expectation):
            raise _EarlyAnswer("unknown", RULES_IN_NFTABLES)
        if expectation.to == "host":
            yield _Way(None, expectation.port)
            return
        containers = self._containers(expectation)
        for container in containers:
            if container.on_host_network:
                yield _Way(None, expectation.port)
        found = [*self._dialled(expectation, containers)]
        yield from found
        if not expectation.passes or expectation.port is None:
            # Who is refused must not find another way: straight to the container.
            port = expectation.port
            yield from (_Way(each, port, port) for one in containers for each in one.addresses)
            yield from self._targets(expectation, containers)

    def _unseen(self, expectation: Expectation) -> bool:
        """Say whether Docker's rules on the way are where nobody sees them."""
        listening = self.sight.listening
        if not listening.by_nftables:
            return False
        dialled = (expectation.protocol, expectation.port)
        return expectation.to == "container" or any(
            (each.protocol, each.port) == dialled
            for container in listening.containers or ()
            for each in container.publications
        )

    def _containers(self, expectation: Expectation) -> tuple[Container, ...]:
        known, name = self.sight.listening.containers, expectation.container
        if not name:
            return known or ()
        if known is None:
            raise _EarlyAnswer(
                "unknown", f"Docker is not asked on this host, so nobody knows which container {name} is"
            )
        found = find_containers(known, name)
        if not found:
            raise _EarlyAnswer("unknown", f"no container {name} is running")
        return found

    def _dialled(self, expectation: Expectation, containers: Sequence[Container]) -> Iterator[_Way]:
        """Yield the published ports that lead there, by the port that clients dial."""
        port, protocol = expectation.port, expectation.protocol
        ports = [
            (each.address, each.port, each.to_port)
            for container in containers
            for each in container.publications
            if each.protocol == protocol
        ]
        addresses = {address for container in containers for address in container.addresses}
        ports += [
            (each.address, each.port, each.to_port)
            for each in self.sight.listening.published
            if each.protocol == protocol and (not expectation.container or each.to_address in addresses)
        ]
        if not expectation.container and (protocol, port) in self.sight.listening.ingress:
            yield _Way(None, port)
        outer = [_Way(address, dialled, inside) for address, dialled, inside in ports if dialled == port]
        # A name with the port inside means the same service, by whatever port it is published.
        inner = [_Way(address, dialled, inside) for address, dialled, inside in ports if inside == port]
        if expectation.passes:
            yield from outer or (inner if expectation.container else ())
        else:
            yield from (*outer, *(inner if expectation.container else ()))

    def _targets(self, expectation: Expectation, containers: Sequence[Container]) -> Iterator[_Way]:
        """Yield the containers' own addresses that only Docker's rules tell of."""
        if not expectation.container:
            for each in self.sight.listening.published:
                if each.protocol == expectation.protocol and each.to_port == expectation.port:
                    yield _Way(each.to_address, each.to_port, each.to_port)

    def _judge(self, expectation: Expectation, ways: Sequence[_Way]) -> ExpectationResult:
        if not ways:
            return self._no_way(expectation)
        if not self.sight.outside:
            raise _EarlyAnswer("unknown", "the host has no external interface")
        doubt: ExpectationResult | None = None
        asked = False
        for family in self._families(expectation):
            sources = self._sources(expectation, family)
            if not sources:
                raise _EarlyAnswer("unknown", f"nobody outside has the address {expectation.source}")
            for service, inner in self._services(expectation, ways, family):
                asked = True
                if family not in self.sight.prepared:
                    raise _EarlyAnswer("unknown", f"the rules of {FAMILY_NAMES[family]} could not be read")
                finding = self._one(expectation, service, inner, sources)
                if finding is not None and finding.state == "fails":
                    return finding
                doubt = doubt or finding
        if not asked:
            return self._not_asked(expectation, ways)
        if doubt is None and expectation.passes and self.sight.listening.foreign_tables:
            beside = describe_tables(self.sight.listening.foreign_tables).removesuffix(".")
            return ExpectationResult(expectation, "unknown", f"iptables lets them through, but {beside}")
        return doubt or ExpectationResult(expectation, "holds", ALL if expectation.passes else NONE)

    def _no_way(self, expectation: Expectation) -> ExpectationResult:
        what = f"port {expectation.port}" if expectation.port else "address"
        who = expectation.container or "no container"
        if expectation.passes:
            verb = "does not publish" if expectation.container else "publishes"
            return ExpectationResult(expectation, "fails", f"{who} {verb} {what}")
        verb = "has no" if expectation.container else "has a"
        return ExpectationResult(expectation, "holds", f"{who} {verb} {what} to reach")

    def _not_asked(self, expectation: Expectation, ways: Sequence[_Way]) -> ExpectationResult:
        if all(way.address is not None and way.address.is_loopback for way in ways):
            here = "only the host itself can dial it"
            return ExpectationResult(expectation, "fails" if expectation.passes else "holds", here)
        names = ", ".join(each.name for each in self.sight.outside)
        return ExpectationResult(expectation, "unknown", f"{names} has no address that could be dialled")

    def _families(self, expectation: Expectation) -> tuple[Family, ...]:
        if expectation.protocol == "ipv6-icmp":
            return (6,)
        if expectation.source == "any":
            return (4, 6)
        return (6,) if ":" in expectation.source else (4,)

    def _sources(self, expectation: Expectation, family: Family) -> AddressSet:
        if expectation.source != "any":
            return AddressSet.of(family, (expectation.source,)).difference(self.never[family])
        everybody = self.never[family].complement()
        # A neighbour's link-local address does not reach everything that others do.
        return everybody.difference(_SAME_LINK) if family == 6 and expectation.passes else everybody

    def _services(
        self, expectation: Expectation, ways: Sequence[_Way], family: Family
    ) -> Iterator[tuple[Service, int | None]]:
        """Yield what to ask of the simulator, with the port inside the container that it leads to."""
        protocol = protocol_number(expectation.protocol) or 0
        if family == 6 and expectation.protocol == "icmp":
            protocol = _ICMPV6
        for way in ways:
            if way.address is not None and (way.address.version != family or way.address.is_loopback):
                continue
            for interface in self.sight.outside:
                own = [each.ip for each in interface.addresses if each.version == family]
                wide = [address for address in own if not address.is_link_local]
                for address in [way.address] if way.address is not None else wide:
                    yield Service(family, protocol, address, way.port, interface.name), way.inner

    def _one(
        self, expectation: Expectation, service: Service, inner: int | None, sources: AddressSet
    ) -> ExpectationResult | None:
        """Ask for one service; None means that it is as expected."""
        if service not in self.answers:
            self.answers[service] = simulate_service(self.sight.prepared[service.family], service)
        found = self.answers[service]
        wrong = sources.intersection(found.refused if expectation.passes else found.passes)
        if expectation.passes and wrong:
            wrong = wrong.difference(_banned(found))
        if wrong:
            verdict = _verdict_for(found, wrong)
            by = self._by(service, inner, wrong, verdict)
            verb = "refused" if expectation.passes else "let through"
            reason = f"from {_whom(expectation, sources, wrong)} it is {verb} by {by}"
            return ExpectationResult(expectation, "fails", reason, some_networks(wrong), verdict.step)
        doubt = sources.intersection(found.unknown)
        if doubt:
            verdict = _verdict_for(found, doubt)
            whom = _whom(expectation, sources, doubt)
            reason = f"from {whom}: {verdict.reason or 'the simulator cannot decide it'}"
            return ExpectationResult(expectation, "unknown", reason, some_networks(doubt), verdict.step)
        return None

    def _allowances(self, family: Family) -> AllowingRules:
        if family not in self.allowances:
            self.allowances[family] = AllowingRules(self.sight.prepared[family].ruleset, family)
        return self.allowances[family]

    def _by(self, service: Service, inner: int | None, wrong: AddressSet, verdict: Verdict) -> str:
        """Name who decides: for what gets through the document's rule, which only hands the packet back."""
        if verdict.passes and service.port is not None:
            allowed = self._allowances(service.family).find_allowing(
                wrong, service.protocol, service.port, inner
            )
            named = [
                f'the rule "{describe_rule(self.known[each])}"' for each in allowed if each in self.known
            ]
            if named:
                return named[0]
        return describe_place(verdict.step) if verdict.step else "the rules"


def _whom(expectation: Expectation, asked: AddressSet, found: AddressSet) -> str:
    """Return whom a finding is about; all that were asked are the source as it was written.

    The host's own addresses are never asked. Without them a network of theirs falls into many pieces.
    """
    whole = expectation.source != "any" and not asked.difference(found)
    return expectation.source if whole else describe_sources(found)


def _verdict_for(found: Reach, addresses: AddressSet) -> Verdict:
    """Return the verdict that meets (some of) the addresses."""
    return next(verdict for part, verdict in found.parts if part.intersection(addresses))


def _banned(found: Reach) -> AddressSet:
    """Return whom fail2ban keeps out for a while: a ban is no reason to stop an apply."""
    banned = AddressSet.nothing(found.passes.family)
    for part, verdict in found.parts:
        step = verdict.step
        if verdict.passes is False and step is not None and step.rule is not None:
            by_chain = chain_owner(step.table, step.chain) == "fail2ban"
            if by_chain or (_BAN_SET in step.rule.text):
                banned = banned.union(part)
    return banned
