"""The check of expectations: whether each one holds, fails or is unknown, by the simulator's verdicts.

An expectation is unknown, with the reason, if the simulator cannot tell. Nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from dockerfw.chains.owners import chain_owner
from dockerfw.chains.sentences import describe_redirecting_inline
from dockerfw.document.values import DocumentRule, Expectation
from dockerfw.document.words import describe_expectation, describe_rule
from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach import sentences
from dockerfw.reach.allowing_rules import ENTRIES, AllowingRules, find_blocking
from dockerfw.reach.arrivals import inner_arrivals
from dockerfw.reach.as_if_published import publish
from dockerfw.reach.elsewhere import why_past_host
from dockerfw.reach.exposure import BROADCAST
from dockerfw.reach.listening import DOCKER_PROXY, Address, Listening, RunningContainer, find_containers
from dockerfw.reach.sentences import describe_place, describe_sources
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.services import Reach, Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface
from dockerfw.simulation.trace import TraceStep, Verdict

ExpectationState = Literal["holds", "fails", "unknown"]

_NAMED: Final = 3
# No outside client has these source addresses: unspecified, loopback, multicast, reserved.
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
    """The rules, interfaces and listeners that expectations are checked against.

    `outside` are the interfaces that packets from outside arrive on; `rules` are those of the document, to
    name the rule that allows.
    """

    prepared: Mapping[Family, Prepared]
    outside: tuple[HostInterface, ...]
    listening: Listening
    rules: tuple[DocumentRule, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """The result for one expectation; `reason` is a sentence without its full stop.

    `sources` are some of the networks that fail or are unknown, `step` is the step that decides for them.
    """

    expectation: Expectation
    state: ExpectationState
    reason: str
    sources: tuple[str, ...] = ()
    step: TraceStep | None = None

    def __str__(self) -> str:
        state = sentences.EXPECTATION_STATES[self.state]
        return f"{describe_expectation(self.expectation)}: {state}, {self.reason}"


@dataclass(frozen=True, slots=True)
class _Target:
    """The address and port that outside clients connect to.

    `address` None is the host's own address on each external interface.
    """

    address: Address | None
    port: int | None


class _EarlyAnswer(Exception):  # noqa: N818 - an early answer, not an error
    def __init__(self, state: ExpectationState, reason: str) -> None:
        super().__init__(state, reason)
        self.state: ExpectationState = state
        self.reason = reason


def check_expectations(
    expectations: Sequence[Expectation], context: ExpectationContext
) -> tuple[ExpectationResult, ...]:
    """Return the result for each expectation, in the order given."""
    check = _Check(context)
    found = tuple(check.result(each) for each in expectations)
    idle = [each.expectation for each in found if each.state != "fails" and check.is_idle(each.expectation)]
    if not idle:
        return found
    ports = [(each.protocol, each.port) for each in idle if each.port is not None]
    published = {family: publish(each, ports) for family, each in context.prepared.items()}
    would_be = _Check(replace(context, prepared=published))
    return tuple(
        would_be.result_as_if_published(each) if each.expectation in idle else each for each in found
    )


def find_failures(findings: Sequence[ExpectationResult]) -> tuple[ExpectationResult, ...]:
    """Return the results that fail; unknown ones do not count."""
    return tuple(each for each in findings if each.state == "fails")


def some_networks(addresses: AddressSet) -> tuple[str, ...]:
    """Return the first few networks of a set as text, an address alone without its length."""
    full = f"/{32 if addresses.family == 4 else 128}"
    return tuple(str(network).removesuffix(full) for network in addresses.networks(_NAMED))


class _Check:
    """One check; expectations that share a service share the simulator's answer."""

    def __init__(self, context: ExpectationContext) -> None:
        self.context = context
        self.answers: dict[Service, Reach] = {}
        self.known = {rule.id: rule for rule in context.rules}
        self.allowances: dict[Family, AllowingRules] = {}
        interfaces = {each for one in context.prepared.values() for each in one.surroundings.interfaces}
        inner = (address.ip for each in interfaces for address in each.addresses)
        own = [address.ip for each in context.outside for address in each.addresses]
        own += [address for address in inner if not address.is_link_local]
        self.never = {
            family: AddressSet.of(
                family, [*_NEVER[family], *(str(address) for address in own if address.version == family)]
            )
            for family in FAMILY_NAMES
        }
        names = {each.name for each in context.outside}
        self.inner = {
            family: inner_arrivals(each.surroundings, family, names)
            for family, each in context.prepared.items()
        }

    def result(self, expectation: Expectation) -> ExpectationResult:
        """Return the result for one expectation."""
        try:
            targets = tuple(dict.fromkeys(self._targets_of(expectation)))
            return self._judge(expectation, targets)
        except _EarlyAnswer as told:
            return ExpectationResult(expectation, told.state, told.reason)

    def is_idle(self, expectation: Expectation) -> bool:
        """Return True if an expectation refuses a port of containers that none publishes."""
        if expectation.to == "host" or expectation.passes or expectation.port is None:
            return False
        try:
            containers = self._containers(expectation)
        except _EarlyAnswer:
            return False
        return (
            not self._hidden_by_nftables(expectation)
            and not any(each.on_host_network for each in containers)
            and not any(True for _ in self._dialled(expectation, containers))
        )

    def result_as_if_published(self, found: ExpectationResult) -> ExpectationResult:
        """Return the result for an idle expectation if a container published its port."""
        expectation = found.expectation
        port = expectation.port
        try:
            result = self._judge(expectation, (_Target(None, port),))
        except _EarlyAnswer as told:
            result = ExpectationResult(expectation, told.state, told.reason)
        if found.state == "unknown" and result.state == "holds":
            return found
        nothing = sentences.nothing_published(expectation.container, port)
        return replace(result, reason=sentences.as_if_published(nothing, result.reason))

    def _targets_of(self, expectation: Expectation) -> Iterator[_Target]:
        if self._hidden_by_nftables(expectation):
            raise _EarlyAnswer("unknown", sentences.RULES_IN_NFTABLES)
        if expectation.to == "host":
            yield _Target(None, expectation.port)
            return
        containers = self._containers(expectation)
        for container in containers:
            if container.on_host_network:
                yield _Target(None, expectation.port)
        found = [*self._dialled(expectation, containers)]
        yield from found
        if not expectation.passes or expectation.port is None:
            # Clients that should be refused must not reach the container directly either.
            port = expectation.port
            yield from (_Target(each, port) for one in containers for each in one.addresses)
            yield from self._container_targets(expectation, containers)

    def _hidden_by_nftables(self, expectation: Expectation) -> bool:
        """Return True if Docker's rules for the service are in nftables, which iptables does not show."""
        listening = self.context.listening
        if not listening.by_nftables:
            return False
        dialled = (expectation.protocol, expectation.port)
        return expectation.to == "container" or any(
            (each.protocol, each.port) == dialled
            for container in listening.containers or ()
            for each in container.publications
        )

    def _containers(self, expectation: Expectation) -> tuple[RunningContainer, ...]:
        known, name = self.context.listening.containers, expectation.container
        if not name:
            return known or ()
        if known is None:
            raise _EarlyAnswer("unknown", sentences.container_unknown(name))
        found = find_containers(known, name)
        if not found:
            raise _EarlyAnswer("unknown", sentences.container_not_running(name))
        return found

    def _dialled(self, expectation: Expectation, containers: Sequence[RunningContainer]) -> Iterator[_Target]:
        """Yield the published ports that lead there, by the port that clients connect to."""
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
            for each in self.context.listening.published
            if each.protocol == protocol and (not expectation.container or each.to_address in addresses)
        ]
        ports += [
            (each.address, each.port, each.port)
            for each in self.context.listening.routed
            if each.protocol == protocol and (not expectation.container or each.address in addresses)
        ]
        if not expectation.container and (protocol, port) in self.context.listening.ingress:
            yield _Target(None, port)
        outer = [_Target(address, dialled) for address, dialled, inside in ports if dialled == port]
        # A container's name with the port inside means the same service, whatever port it is published at.
        inner = [_Target(address, dialled) for address, dialled, inside in ports if inside == port]
        if expectation.passes:
            yield from outer or (inner if expectation.container else ())
        else:
            yield from (*outer, *(inner if expectation.container else ()))

    def _container_targets(
        self, expectation: Expectation, containers: Sequence[RunningContainer]
    ) -> Iterator[_Target]:
        """Yield the containers' own addresses that only Docker's rules name."""
        if not expectation.container:
            for each in self.context.listening.published:
                if each.protocol == expectation.protocol and each.to_port == expectation.port:
                    yield _Target(each.to_address, each.to_port)

    def _judge(self, expectation: Expectation, targets: Sequence[_Target]) -> ExpectationResult:
        if not targets:
            return self._without_target(expectation)
        unclear: ExpectationResult | None = None
        asked = False
        for family in self._families(expectation):
            sources = self._sources(expectation, family)
            if not sources:
                raise _EarlyAnswer("unknown", sentences.not_an_outside_address(expectation.source))
            for interface, arriving in self._arrivals(expectation, family, sources):
                for service in self._services(expectation, targets, family, interface):
                    asked = True
                    if family not in self.context.prepared:
                        raise _EarlyAnswer("unknown", sentences.rules_unread(family))
                    finding = self._one(expectation, service, arriving)
                    if finding is not None and finding.state == "fails":
                        return finding
                    unclear = unclear or finding
        if not asked:
            return self._without_service(expectation, targets)
        if unclear is None and (redirecting := self.context.listening.redirecting_tables):
            return ExpectationResult(expectation, "unknown", describe_redirecting_inline(redirecting))
        if unclear is None and expectation.passes and self.context.listening.foreign_tables:
            reason = sentences.refused_elsewhere(self.context.listening.foreign_tables)
            return ExpectationResult(expectation, "unknown", reason)
        return unclear or ExpectationResult(
            expectation, "holds", sentences.ALL_ALLOWED if expectation.passes else sentences.ALL_REFUSED
        )

    def _without_target(self, expectation: Expectation) -> ExpectationResult:
        name, port = expectation.container, expectation.port
        if expectation.passes:
            return ExpectationResult(expectation, "fails", sentences.nothing_published(name, port))
        return ExpectationResult(expectation, "holds", sentences.nothing_to_reach(name, port))

    def _without_service(self, expectation: Expectation, targets: Sequence[_Target]) -> ExpectationResult:
        if all(target.address is not None and target.address.is_loopback for target in targets):
            state: ExpectationState = "fails" if expectation.passes else "holds"
            return ExpectationResult(expectation, state, sentences.ONLY_THE_HOST)
        names = ", ".join(each.name for each in self.context.outside)
        return ExpectationResult(expectation, "unknown", sentences.no_address_to_reach(names))

    def _families(self, expectation: Expectation) -> tuple[Family, ...]:
        if expectation.protocol == "ipv6-icmp":
            return (6,)
        if expectation.source == "any":
            return (4, 6)
        return (6,) if ":" in expectation.source else (4,)

    def _sources(self, expectation: Expectation, family: Family) -> AddressSet:
        if expectation.source != "any":
            return AddressSet.of(family, (expectation.source,)).difference(self.never[family])
        every_source = self.never[family].complement()
        # A neighbour's link-local address does not reach everything that others do.
        return every_source.difference(_SAME_LINK) if family == 6 and expectation.passes else every_source

    def _arrivals(
        self, expectation: Expectation, family: Family, sources: AddressSet
    ) -> Iterator[tuple[HostInterface, AddressSet]]:
        """Yield the interfaces that packets of the sources arrive on, each with its sources."""
        if expectation.source != "any":
            for interface, network in self.inner.get(family, ()):
                if arriving := sources.intersection(network):
                    sources = sources.difference(arriving)
                    yield interface, arriving
        if sources and not self.context.outside:
            raise _EarlyAnswer("unknown", sentences.NO_EXTERNAL_INTERFACE)
        yield from ((each, sources) for each in self.context.outside if sources)

    def _services(
        self,
        expectation: Expectation,
        targets: Sequence[_Target],
        family: Family,
        interface: HostInterface,
    ) -> Iterator[Service]:
        """Yield the services to simulate."""
        protocol = protocol_number(expectation.protocol) or 0
        if family == 6 and expectation.protocol == "icmp":
            protocol = _ICMPV6
        for target in targets:
            if target.address is not None and (
                target.address.version != family
                or (target.address.is_loopback and not self._forwarded(expectation, target))
            ):
                continue
            addresses = [target.address] if target.address is not None else _own(family, interface)
            if target.address is None and not expectation.passes and interface not in self.context.outside:
                # Clients inside reach the host's outer addresses too.
                addresses += [address for each in self.context.outside for address in _own(family, each)]
            for address in addresses:
                yield Service(family, protocol, address, target.port, interface.name)
            if family == 4 and self._takes_broadcast(expectation, target):
                yield Service(family, protocol, BROADCAST, target.port, interface.name)

    def _takes_broadcast(self, expectation: Expectation, target: _Target) -> bool:
        """Return True if docker-proxy hands broadcast packets, which stay on the host, to a container."""
        if expectation.passes or expectation.to == "host" or expectation.protocol != "udp":
            return False
        return target.address is None and any(
            (each.process, each.protocol, each.address, each.port) == (DOCKER_PROXY, "udp", None, target.port)
            and 4 in each.families
            for each in self.context.listening.listeners
        )

    def _forwarded(self, expectation: Expectation, target: _Target) -> bool:
        """Return True if a port of a loopback address has to be refused: Docker before 28 forwards it."""
        dialled = (expectation.protocol, target.address, target.port)
        return not expectation.passes and any(
            (each.protocol, each.address, each.port) == dialled for each in self.context.listening.published
        )

    def _one(
        self, expectation: Expectation, service: Service, sources: AddressSet
    ) -> ExpectationResult | None:
        """Return the result for one service, None if it is as expected."""
        past = self._why_past_host(service)
        if past:
            return ExpectationResult(expectation, "unknown", past)
        if service.destination == BROADCAST:
            sources = sources.intersection(self._near(service))
        if service not in self.answers:
            self.answers[service] = simulate_service(self.context.prepared[service.family], service, ENTRIES)
        found = self.answers[service]
        wrong = sources.intersection(found.refused if expectation.passes else found.passes)
        if expectation.passes and wrong:
            wrong = wrong.difference(_banned_sources(found))
        if wrong:
            verdict = _verdict_for(found, wrong)
            by = self._by(service, found, wrong, verdict)
            words = sentences.refused_by if expectation.passes else sentences.allowed_by
            asked = self._sources(expectation, service.family)
            reason = words(_sources_in_words(expectation, asked, wrong), by)
            return ExpectationResult(expectation, "fails", reason, some_networks(wrong), verdict.step)
        unclear = sources.intersection(found.unknown)
        if unclear:
            verdict = _verdict_for(found, unclear)
            words_for = _sources_in_words(expectation, self._sources(expectation, service.family), unclear)
            reason = sentences.undecided_for(words_for, verdict.reason)
            return ExpectationResult(expectation, "unknown", reason, some_networks(unclear), verdict.step)
        return None

    def _near(self, service: Service) -> AddressSet:
        """Return the sources on the link of a service's interface, from where broadcast packets come."""
        around = self.context.prepared[service.family].surroundings
        networks = [each.network for _, each in around.addresses(service.family, service.in_interface)]
        return AddressSet.of(service.family, networks)

    def _why_past_host(self, service: Service) -> str:
        """Return why clients reach a container past this host; empty if its rules see their packets."""
        around = self.context.prepared[service.family].surroundings
        return why_past_host(
            service.family, service.destination, service.in_interface, around, container=True
        )

    def _allowances(self, family: Family) -> AllowingRules:
        if family not in self.allowances:
            self.allowances[family] = AllowingRules(self.context.prepared[family])
        return self.allowances[family]

    def _by(self, service: Service, found: Reach, wrong: AddressSet, verdict: Verdict) -> str:
        """Return what decides; for allowed packets the document's rule, which only returns them."""
        if verdict.passes:
            ids = self._allowances(service.family).find_allowing(found, wrong)
        else:
            ids = find_blocking(self.context.prepared[service.family], verdict.step, wrong)
        for rule in (self.known[each] for each in ids if each in self.known):
            return f'the rule "{describe_rule(rule)}"'
        return describe_place(verdict.step) if verdict.step else sentences.THE_RULES


def _own(family: Family, interface: HostInterface) -> list[Address]:
    return [each.ip for each in interface.addresses if each.version == family and not each.ip.is_link_local]


def _sources_in_words(expectation: Expectation, asked: AddressSet, found: AddressSet) -> str:
    """Return the sources of a result; if it is all of them, as the expectation names them.

    The host's own addresses are never among them. Without them their network falls into many pieces.
    """
    whole = expectation.source != "any" and not asked.difference(found)
    return expectation.source if whole else describe_sources(found)


def _verdict_for(found: Reach, addresses: AddressSet) -> Verdict:
    """Return the verdict for (some of) the addresses."""
    return next(verdict for part, verdict in found.parts if part.intersection(addresses))


def _banned_sources(found: Reach) -> AddressSet:
    """Return the sources that fail2ban bans for a while: a ban must not stop an apply."""
    banned = AddressSet.nothing(found.passes.family)
    for part, verdict in found.parts:
        step = verdict.step
        if verdict.passes is False and step is not None and step.rule is not None:
            by_chain = chain_owner(step.table, step.chain) == "fail2ban"
            if by_chain or (_BAN_SET in step.rule.text):
                banned = banned.union(part)
    return banned
