"""The sentences of this package: packets, exposure, expectations, lock-out and warnings about rules.

change_sentences.py has those about what a load changes, question_sentences.py those about a question.

Each sentence is a constant or a function, so that tests check the meaning by name and the words can change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from dockerfw.chains.sentences import describe_tables_inline
from dockerfw.document.words import describe_count, describe_network, is_or_are, join_words
from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.iptables.protocols import ICMP, IPV6_ICMP, protocol_name
from dockerfw.iptables.tokens import printable
from dockerfw.reach.internet import WORLD, covers_the_internet
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.packet import Address, Packet
from dockerfw.simulation.trace import Trace, TraceStep, Verdict

if TYPE_CHECKING:
    from dockerfw.reach.exposure import Access, ExposureLevel, ExposureRow
    from dockerfw.reach.forwarded_reach import ForwardedRow

FEW: Final = 3

# Packets and verdicts


def describe_packet(packet: Packet) -> str:
    """Return a packet in one line: `tcp from 203.0.113.5 to 192.0.2.10 port 22, arriving on ens33`."""
    what = protocol_name(packet.protocol)
    if packet.protocol in (ICMP, IPV6_ICMP) and packet.icmp_type is not None:
        code = f"/{packet.icmp_code}" if packet.icmp_code else ""
        what += f" type {packet.icmp_type}{code}"
    source = f"{packet.source}{_port(packet.source_port)}"
    origin = f"arriving on {packet.in_interface}" if packet.in_interface else "sent by the host itself"
    return f"{what} from {source} to {packet.destination}{_port(packet.destination_port)}, {origin}"


def describe_verdict(verdict: Verdict) -> str:
    """Return the verdict on a packet as a sentence."""
    if verdict.kind == "ACCEPT":
        return "Allowed."
    if verdict.kind == "DROP":
        return "Dropped without a reply."
    if verdict.kind == "REJECT":
        return f"Rejected{f' with {verdict.reject_with}' if verdict.reject_with else ''}."
    return "Cannot tell."


def describe_place(step: TraceStep) -> str:
    """Return the place of a step: `rule 3 of filter INPUT`, `the policy of filter INPUT`."""
    chain = f"{step.table} {step.chain}".strip()
    return f"rule {step.number} of {chain}" if step.number else f"the policy of {chain}"


def describe_path(trace: Trace) -> str:
    """Return a sentence about DNAT and the outgoing interface; empty without either."""
    if trace.hook is None:
        return "The packet may be redirected: dockerfw cannot tell whether a rule matches."
    packet = trace.packet
    parts = []
    if (trace.destination, trace.destination_port) != (packet.destination, packet.destination_port):
        parts.append(f"is redirected to {format_endpoint(trace.destination, trace.destination_port)}")
    if trace.out_interface:
        parts.append(f"leaves through {trace.out_interface}")
    return f"The packet {' and '.join(parts)}." if parts else ""


def format_endpoint(address: Address | None, port: int | None) -> str:
    """Return an address with its port: `172.17.0.2:80`, `[2001:db8::2]:80`."""
    if address is None:
        return "an unknown address"
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


# Exposure

LEVEL_WORDS: Final[dict[ExposureLevel, str]] = {
    "anywhere": "anywhere",
    "unknown": "cannot tell",
    "networks": "some networks",
    "nobody": "nowhere",
}
NO_EXTERNAL_INTERFACE: Final = "it is unknown which interfaces packets from outside arrive on"
NOT_THIS_HOSTS_ADDRESS: Final = "the host does not have this address now"
RULES_IN_NFTABLES: Final = "Docker keeps its rules in its own nftables tables, which iptables does not show"
INGRESS_SERVICE: Final = "the service that publishes it"
INGRESS_ON_EVERY_NODE: Final = "Swarm's ingress network answers on every node, wherever the service runs."
ON_HOST_NETWORK: Final = "Uses the host's network, so its ports are the host's ports."
OWN_ADDRESS: Final = "The container's own address: clients with a route to it connect to it directly."
PUBLISHED_AT_OWN_ADDRESS: Final = (
    "Published at the container's own address (gateway mode routed): no port of the host leads there. "
    "Rules name the port inside the container."
)
STANDS_FOR_NETWORK: Final = "Stands for each container of the network: Docker is not asked on this host."
BY_GROUP_PACKETS: Final = "with broadcast or multicast packets, which the host itself takes"
EVERY_PORT: Final = "every port"


def describe_networks(addresses: AddressSet, most: int = FEW) -> str:
    """Return the networks of a set: `192.0.2.0/24, 198.51.100.7 and 5 more`; `none` for an empty set."""
    shown = [describe_network(str(each)) for each in islice(addresses.networks(), most + 1)]
    if not shown:
        return "none"
    if len(shown) <= most:
        return ", ".join(shown)
    more = sum(1 for _ in islice(addresses.networks(), 1000)) - most
    return f"{', '.join(shown[:most])} and {f'{more}' if more < 1000 - most else 'many'} more"


def describe_sources(addresses: AddressSet) -> str:
    """Return a set in a few words: `anywhere over IPv4`, `198.51.100.0/24, 203.0.113.7 and 5 more`."""
    if covers_the_internet(addresses.family, addresses):
        return anywhere_over(addresses.family)
    return describe_networks(addresses)


def anywhere_over(family: Family) -> str:
    """Return `anywhere over IPv4`."""
    return f"anywhere over {FAMILY_NAMES[family]}"


def describe_access(access: Access, most: int = FEW) -> str:
    """Return the sources: `anywhere but 203.0.113.9`, `192.0.2.0/24`, `nowhere`, `cannot tell`."""
    if access.level == "anywhere":
        out = access.refused.union(access.unknown).intersection(WORLD[access.family])
        return f"anywhere but {describe_networks(out, most)}" if out else "anywhere"
    if access.level == "networks":
        return describe_networks(access.passes, most)
    if access.level == "unknown" and access.passes:
        return f"{describe_networks(access.passes, most)}; unknown for other sources"
    return LEVEL_WORDS[access.level]


def unknown_reasons(access: Access) -> tuple[str, ...]:
    """Return the reasons why access is unknown, each once."""
    found = [
        printable(verdict.reason)
        for _, verdict in access.parts
        if verdict.kind == "UNKNOWN" and verdict.reason
    ]
    return tuple(dict.fromkeys(found))


NOT_ALL_LISTED: Final = (
    "Ports may be missing: the list of listening sockets and published ports is not complete."
)


def describe_exposure(
    rows: Iterable[ExposureRow],
    unread: Collection[Family] = (),
    past_host: Sequence[str] = (),
    forwarded: Iterable[ForwardedRow] = (),
    *,
    listed: bool = True,
) -> str:
    """Return the counts as a sentence: `3 ports are reachable from anywhere, 2 from some networks.`

    `unread` are the families whose rules, and so the ports that Docker publishes there, are not all known.
    `past_host` are the names of containers that clients reach past this host; their rows are not counted.
    `forwarded` are the answers for destinations that are no container's.
    `listed` False means that the list of what listens is not complete.
    """
    rows_behind = tuple(forwarded)
    open_destinations = {
        level: {row.destination.text for row in rows_behind if row.level in names}
        for level, names in (("reached", ("anywhere", "networks")), ("unknown", ("unknown",)))
    }
    rows = [row for row in rows if row.offer.kind != "past-host"]
    levels = Counter(row.level for row in rows if not row.offer.ports)
    said = []
    wide = [row for row in rows if row.offer.ports]
    if levels or (listed and not unread):
        certain = listed and not unread and not past_host and not wide and not any(open_destinations.values())
        said.append(_describe_counts(levels, certain=certain))
    if wide:
        said.append(_reached_at_many_ports(wide))
    if reached := len(open_destinations["reached"]):
        destinations = describe_count(reached, "destination")
        said.append(f"Forwarded traffic from outside reaches {destinations} other than containers.")
    if unclear := len(open_destinations["unknown"]):
        destinations = describe_count(unclear, "other destination")
        said.append(f"Cannot tell who reaches {destinations} of forwarded traffic.")
    if unread:
        names = " and ".join(FAMILY_NAMES[family] for family in sorted(unread))
        said.append(f"Ports may be missing: the {names} rules could not be read.")
    if not listed:
        said.append(NOT_ALL_LISTED)
    if past_host:
        said.append(_reached_past_host(past_host))
    return " ".join(said)


def _reached_at_many_ports(rows: Iterable[ExposureRow]) -> str:
    certain: dict[str, bool] = {}
    for row in rows:
        passes = any(each.passes for each in row.access)
        certain[row.offer.name] = passes or certain.get(row.offer.name, False)
    open_ones = [name for name, passes in certain.items() if passes]
    names = join_words(open_ones or list(certain), most=FEW)
    if open_ones:
        return f"Many ports of {names} are reachable at containers' own addresses."
    return f"Cannot tell who reaches many ports of {names} at containers' own addresses."


def _reached_past_host(names: Sequence[str]) -> str:
    which = f"{describe_count(len(names), 'container')} ({join_words(names, most=FEW)})"
    return f"Cannot tell who reaches {which}: no bridge of this host leads there, as with macvlan or ipvlan."


def _describe_counts(levels: Mapping[ExposureLevel, int], *, certain: bool) -> str:
    if not levels:
        return "Nothing listens and nothing is published."
    wide, some, unknown = (levels.get(level, 0) for level in ("anywhere", "networks", "unknown"))
    if certain and not wide and not some and not unknown:
        return "No port is reachable from outside."
    parts = [f"{describe_count(wide, 'port')} {is_or_are(wide)} reachable from anywhere" if wide else ""]
    parts.append(_more(some, "from some networks", first=not wide))
    if not wide and not some:
        parts = ["No port is known to be reachable from outside"]
    sentence = ", ".join(part for part in parts if part)
    unclear = f"; unknown for {describe_count(unknown, 'port')}" if unknown else ""
    return f"{sentence}{unclear}."


def redirected(address: Address | None, port: int) -> str:
    """Note that a rule of others sends the packets to another port or address."""
    where = f"port {port}" if address is None else format_endpoint(address, port)
    return f"Another rule sends packets for this port to {where}."


def every_other_port(protocol: str) -> str:
    """Return the words for the ports of an address that no rule names."""
    return f"every other {protocol} port"


def containers_on(bridge: str) -> str:
    """Return the name for all containers of a network whose containers are unknown."""
    return f"containers on {bridge}"


def ports_left_out(more: int) -> str:
    """Note that rules name more ports than are listed."""
    return f"Rules name {describe_count(more, 'more port')} that this list leaves out."


def also_at(addresses: Sequence[str]) -> str:
    """Note the other addresses of a container."""
    return f"Also at {', '.join(addresses)}."


def only_on(interface: str) -> str:
    """Note that a socket is bound to an interface."""
    return f"Accepts traffic only on the interface {interface}."


def belongs_to_inner(address: Address, interface: str) -> str:
    """Note that an address belongs to an interface that is not external."""
    return f"{address} belongs to {interface}: outside clients reach it only with a route to it."


def addresses_checked(checked: int, total: int, interface: str) -> str:
    """Note that an interface has too many addresses."""
    return f"Only {checked} of {total} addresses of {interface} were checked."


def forwarded_from_neighbours(address: Address, *, closes: bool) -> str:
    """Say that Docker forwards packets of neighbours to a loopback address.

    `closes` if all of them arrive on external interfaces, where an apply loads the line that drops them.
    """
    told = f"Docker on this host forwards packets to {address} that arrive from the local network."
    return f"{told} The next apply closes that." if closes else told


def past_this_host(address: Address, interface: str) -> str:
    """Say that this host's rules do not see packets to an address."""
    return (
        f"packets to {address} would leave by {interface}, on which they arrive: "
        "clients may reach it past this host, as they do a container with macvlan or ipvlan"
    )


def bound_to_loopback(address: Address) -> str:
    """Say why a port of a loopback address is not reachable."""
    return f"bound to {address}: the host itself only"


def bound_to_internal(interface: str) -> str:
    """Say why a port of an internal interface is not reachable."""
    return f"bound to {interface}, which is not external"


def no_address(interfaces: str, family: Family) -> str:
    """Say that interfaces have no address of a family."""
    return f"{interfaces} has no {FAMILY_NAMES[family]} address"


def rules_unread(family: Family) -> str:
    """Say that the rules of a family are unknown."""
    return f"the {FAMILY_NAMES[family]} rules could not be read"


def taken_by_docker_proxy(families: Sequence[Family], *, own_connections: bool) -> str:
    """Note which connections docker-proxy handles on the host."""
    parts = [f"{FAMILY_NAMES[family]} on the host itself" for family in families]
    if own_connections:
        parts.append("the host's own connections")
    return f"docker-proxy handles {', and '.join(parts)}."


def also_listening(processes: Sequence[str]) -> str:
    """Note that processes listen on a port that Docker publishes."""
    return f"{', '.join(processes)} listens here too, but Docker's rule gets the packets first."


# Expectations

EXPECTATION_STATES: Final = {"holds": "holds", "fails": "fails", "unknown": "cannot tell"}
ALL_ALLOWED: Final = "allowed from all of these sources"
ALL_REFUSED: Final = "refused from all of these sources"
ONLY_THE_HOST: Final = "only the host itself can connect to it"
UNDECIDED: Final = "the simulator cannot decide"
THE_RULES: Final = "the rules"


def allowed_by(sources: str, by: str) -> str:
    """Say what allows sources that should be refused."""
    return f"from {sources} it is allowed by {by}"


def refused_by(sources: str, by: str) -> str:
    """Say what refuses sources that should be allowed."""
    return f"from {sources} it is refused by {by}"


def blocking_rule(rule_id: str) -> str:
    """Name a block by its id."""
    return f"the block {rule_id}"


def starts_later(rule_id: str, moment: str) -> str:
    """Say that a rule will allow more later."""
    return f"The rule {rule_id} starts at {moment} and allows more sources from then on."


def undecided_for(sources: str, reason: str) -> str:
    """Say why the simulator cannot tell for some sources."""
    return f"from {sources}: {reason or UNDECIDED}"


def not_an_outside_address(source: str) -> str:
    """Say that no client outside can have this source."""
    return f"no outside client can have the address {source}"


def container_unknown(name: str) -> str:
    """Say that Docker cannot be asked for a container."""
    return f"Docker is not asked on this host, so the container {name} is unknown"


def container_not_running(name: str) -> str:
    """Say that there is no such container."""
    return f"no container {name} is running"


def no_address_to_reach(interfaces: str) -> str:
    """Say that external interfaces have no address."""
    return f"{interfaces} has no address to connect to"


def nothing_published(container: str, port: int | None) -> str:
    """Say that a container, or any, does not publish a port."""
    what = f"port {port}" if port else "address"
    return f"{container} does not publish {what}" if container else f"no container publishes {what}"


def as_if_published(nothing: str, reason: str) -> str:
    """Say that nothing publishes a port, and what would happen if a container did."""
    return f"{nothing} now; if one did, {reason}"


def nothing_to_reach(container: str, port: int | None) -> str:
    """Say that a container, or any, has nothing to reach."""
    what = f"port {port}" if port else "address"
    return f"{container} has no {what} to reach" if container else f"no container has a {what} to reach"


def refused_elsewhere(tables: Sequence[str]) -> str:
    """Say that tables of other software may refuse what iptables allows."""
    return f"iptables allows it, but {describe_tables_inline(tables)}"


# Lock-out

HIDDEN_BY_PROXY: Final = "Docker's proxy forwards this connection and hides your address"
DEPENDS_ON_ADDRESS: Final = "it depends on which address of the host you connect to"


def can_reach(source: Address, port: int | None) -> str:
    """Say that an address reaches a port."""
    return f"{source} can reach {port}/tcp"


def would_be_refused(source: Address, port: int | None, by: str) -> str:
    """Say what refuses an address."""
    return f"{source} would be refused at {port}/tcp by {by}"


def on_the_host(source: Address) -> str:
    """Say that the client is on the host."""
    return f"you are on the host itself ({source})"


def every_address_reaches(port: int) -> str:
    """Say that a port is open to every address."""
    return f"every address can reach {port}/tcp"


def every_address_refused(port: int, family: Family) -> str:
    """Say that a port is open to no address."""
    return f"every {FAMILY_NAMES[family]} address would be refused at {port}/tcp"


def incoming_interface_unknown(source: Address) -> str:
    """Say that no route leads to the client."""
    return f"the incoming interface for {source} is unknown"


def not_connected_to_this_host(destination: Address, *, between: bool) -> str:
    """Say that the client connects to an address of another machine."""
    text = f"you connect to {destination}, which is not an address of this host"
    return f"{text}: another machine is in between" if between else text


# Warnings about rules


def nothing_listening(ports: str, where: str) -> str:
    """Warn that nothing listens on the ports of a rule."""
    return " ".join(part for part in ("Nothing is listening on", ports, where, "now.") if part)


def opens_containers(ports: Sequence[str]) -> str:
    """Warn that the destination of a rule for forwarded traffic includes containers."""
    shown = join_words(ports, most=FEW)
    return f"The destination includes containers: the rule opens the published {shown} too."


def wide_database(name: str, source: str) -> str:
    """Warn that a rule opens a database to many addresses."""
    who = "anyone" if source == "any" else source
    return f"{name} is a database that {who} may reach here. Allow only the addresses that need it."


def _more(number: int, where: str, *, first: bool) -> str:
    if not number:
        return ""
    ports = f"{describe_count(number, 'port')} {is_or_are(number)} reachable"
    return f"{ports} {where}" if first else f"{number} {where}"


def _port(port: int | None) -> str:
    return "" if port is None else f" port {port}"
