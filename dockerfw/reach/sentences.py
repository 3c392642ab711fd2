"""The sentences of this package: packets, exposure, expectations, lock-out and warnings about rules.

Each sentence is a constant or a function, so that tests check the meaning by name and the words can change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from dockerfw.chains.sentences import describe_tables_inline
from dockerfw.document.words import describe_count
from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.iptables.protocols import ICMP, IPV6_ICMP, protocol_name
from dockerfw.iptables.tokens import printable
from dockerfw.reach.internet import UNROUTED, WORLD, covers_the_internet
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.packet import Address, Packet
from dockerfw.simulation.trace import Trace, TraceStep, Verdict

if TYPE_CHECKING:
    from dockerfw.reach.exposure import Access, ExposureLevel, ExposureRow

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


def describe_networks(addresses: AddressSet, most: int = FEW) -> str:
    """Return the networks of a set: `192.0.2.0/24, 198.51.100.7 and 5 more`; `none` for an empty set."""
    shown = [_network(each) for each in islice(addresses.networks(), most + 1)]
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


def describe_exposure(
    rows: Iterable[ExposureRow], unread: Collection[Family] = (), past_host: Sequence[str] = ()
) -> str:
    """Return the counts as a sentence: `3 ports are reachable from anywhere, 2 from some networks.`

    `unread` are the families whose rules, and so the ports that Docker publishes there, are not all known.
    `past_host` are the names of containers that clients reach past this host.
    """
    levels = Counter(row.level for row in rows)
    said = []
    if levels or not unread:
        said.append(_describe_counts(levels, certain=not unread and not past_host))
    if unread:
        names = " and ".join(FAMILY_NAMES[family] for family in sorted(unread))
        said.append(f"Ports may be missing: the {names} rules could not be read.")
    if past_host:
        said.append(_reached_past_host(past_host))
    return " ".join(said)


def _reached_past_host(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    which = f"{describe_count(len(names), 'container')} ({', '.join(names[:FEW])}{more})"
    return f"Cannot tell who reaches {which}: no bridge of this host leads there, as with macvlan or ipvlan."


def _describe_counts(levels: Mapping[ExposureLevel, int], *, certain: bool) -> str:
    if not levels:
        return "Nothing listens and nothing is published."
    wide, some, unknown = (levels.get(level, 0) for level in ("anywhere", "networks", "unknown"))
    if certain and not wide and not some and not unknown:
        return "No port is reachable from outside."
    parts = [f"{describe_count(wide, 'port')} {_are(wide)} reachable from anywhere" if wide else ""]
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


def only_on(interface: str) -> str:
    """Note that a socket is bound to an interface."""
    return f"Accepts traffic only on the interface {interface}."


def belongs_to_inner(address: Address, interface: str) -> str:
    """Note that an address belongs to an interface that is not external."""
    return f"{address} belongs to {interface}: outside clients reach it only with a route to it."


def addresses_checked(checked: int, total: int, interface: str) -> str:
    """Note that an interface has too many addresses."""
    return f"Only {checked} of {total} addresses of {interface} were checked."


def forwarded_from_neighbours(address: Address) -> str:
    """Say that Docker forwards packets of neighbours to a loopback address."""
    return (
        f"Docker on this host forwards packets to {address} that arrive from the local network. "
        "The next apply that changes a rule or a setting closes that."
    )


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


# Changes by a load


def opened(what: str, place: str, sources: str, *, many: bool) -> str:
    """Say that ports become reachable: `22/tcp (sshd) of the host becomes reachable from anywhere`."""
    return f"{what} {place} {'become' if many else 'becomes'} reachable {sources}"


def closed(what: str, place: str, sources: str, remaining: str, *, many: bool) -> str:
    """Say that ports are no longer reachable; `remaining` are the sources that still reach them."""
    verb = "are" if many else "is"
    if remaining:
        return f"{what} {place} {verb} reachable {remaining} only, no longer {sources}"
    return f"{what} {place} {verb} no longer reachable {sources}"


def change_unknown(what: str, place: str, sources: str, reason: str, *, many: bool) -> str:
    """Say that the change is unknown for some sources."""
    text = f"cannot tell whether {what} {place} {'are' if many else 'is'} reachable {sources}"
    return f"{text}: {reason}" if reason else text


def class_words(names: Sequence[str], places: Sequence[str], *, closed: bool) -> tuple[str, str]:
    """Return `every TCP and UDP port` and `of the host and of all containers`; others if some stay open."""
    of = {"host": "of the host", "containers": "of all containers"}
    place = " and ".join(of[each] for each in places)
    every = "every other" if closed else "every"
    ports = " and ".join(each.upper() for each in names if each != "other")
    parts = [f"{every} {ports} port"] if ports else []
    if "other" in names:
        parts.append("every other protocol")
    return " and ".join(parts), place


def ping_changes(kind: str, sources: str, more: str) -> str:
    """Say that ping to the host starts or stops working; `more` as in `closed`, or the reason."""
    where = "" if sources == "from anywhere" else f" {sources}"
    if kind == "opened":
        return f"Ping to the host starts working{where}"
    if kind == "closed":
        return f"Ping to the host stops working{where}{f', except {more}' if more else ''}"
    return f"cannot tell whether ping to the host works{where}{f': {more}' if more else ''}"


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


def wide_database(name: str, source: str) -> str:
    """Warn that a rule opens a database to many addresses."""
    who = "anyone" if source == "any" else source
    return f"{name} is a database that {who} may reach here. Allow only the addresses that need it."


# What a question leaves open


def several_containers(text: str, chosen: str, others: Sequence[str]) -> str:
    """Say which of several containers is meant."""
    return f"{text} stands for {chosen}. It also matches {', '.join(others)}."


def sent_by_host(source: Address) -> str:
    """Say that the host sends the packet."""
    kind = "a loopback address" if source.is_loopback else "the host's own address"
    return f"{source} is {kind}, so the host itself sends the packet."


def arrives_from_network(interface: str, source: Address) -> str:
    """Say that the source is in the network of an interface."""
    return f"Incoming interface: {interface}, because {source} is in its network."


def arrives_from_default_route(interface: str, family: Family, others: Sequence[str]) -> str:
    """Say that the packet arrives from the default route."""
    more = f" (also {', '.join(others)})" if others else ""
    return (
        f"Incoming interface: {interface}, the interface of the {FAMILY_NAMES[family]} default route{more}."
    )


def destination_is_host(address: Address, reason: str = "") -> str:
    """Say that the destination is the host's own address."""
    return f"Destination: the host's own address {address}{f', because {reason}' if reason else ''}."


def publishes(container: str, port: int | None) -> str:
    """Return the reason that a container publishes a port."""
    return f"{container} publishes {port}"


def uses_host_network(container: str) -> str:
    """Return the reason that a container has no network of its own."""
    return f"{container} uses the host's network"


def destination_is_published(address: Address, container: str, port: int | None) -> str:
    """Say that the destination is the address where a container publishes a port."""
    return f"Destination: {address}, where {container} publishes {port}."


def destination_is_container(address: Address, container: str, port: int) -> str:
    """Say that the destination is a container's own address."""
    return f"Destination: {container}'s own address {address}, because it does not publish {port}."


# Errors in a question

ENTER_END: Final = "enter an address or the name of a container"
ENTER_PORT: Final = "enter the destination port"
ONE_PROTOCOL: Final = "a packet has one protocol, such as tcp"


def host_address_unknown(family: Family) -> str:
    """Say that the host has no known address of a family."""
    return f"the host has no known {FAMILY_NAMES[family]} address"


def no_way_in(source: Address, family: Family) -> str:
    """Say that no interface follows from the source."""
    return (
        f"{source} is in no network of the host and there is no {FAMILY_NAMES[family]} default route: "
        "choose the incoming interface"
    )


def no_such_interface(name: str, hint: str) -> str:
    """Say that the host has no such interface."""
    return f"the host has no interface {name}{hint}"


def zone_not_allowed(text: str, zone: str) -> str:
    """Say that an address must not have a zone."""
    return f"{text} has a zone: leave out %{zone}"


def not_one_address(text: str) -> str:
    """Say that a network is not an address."""
    return f"{text} is not a single address: a packet has one address, not a network"


def names_unknown(text: str) -> str:
    """Say that container names cannot be used."""
    return (
        f"{text} is not an address. Container names are unknown here: "
        "the root worker has no access to Docker's socket"
    )


def not_an_end(text: str, hint: str) -> str:
    """Say that a text is neither an address nor a container."""
    return f"{text} is neither an address nor a running container{hint}"


def other_family(own: Family, packet: Family) -> str:
    """Say that an end is of another family than the packet."""
    return f"this address is {FAMILY_NAMES[own]} and the packet is {FAMILY_NAMES[packet]}"


def one_port(text: str) -> str:
    """Say that a range is not a port."""
    return f"{text} is a range: a packet has one port"


def not_an_icmp_type(text: str, family: Family, hint: str) -> str:
    """Say that a text is no ICMP type."""
    return f"{text} is not an ICMP type of {FAMILY_NAMES[family]} (a name or 0 to 255){hint}"


def _more(number: int, where: str, *, first: bool) -> str:
    if not number:
        return ""
    return (
        f"{describe_count(number, 'port')} {_are(number)} reachable {where}" if first else f"{number} {where}"
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _port(port: int | None) -> str:
    return "" if port is None else f" port {port}"


def _network(network: object) -> str:
    text = str(network)
    return text.removesuffix("/128" if ":" in text else "/32")


# What a load changes for packets

NOT_COMPARED: Final = "The rules cannot be compared completely: check them line by line."
_SSH_RANGE: Final = (22, 22)
_SHOWN_PORTS: Final = 5
_VERBS: Final = {
    "closes": "pass today and would be refused",
    "opens": "are refused today and would pass",
}
_SIDES: Final = {"": "", "published": "published port ", "inside": "port inside "}


def describe_difference(
    kind: str,
    *,
    sources: AddressSet,
    what: Sequence[str],
    place: str,
    interfaces: Sequence[str],
    others: bool,
    reason: str,
) -> str:
    """Return `Packets from 10.0.0.5 to 3306/tcp of the host pass today and would be refused.`

    `interfaces` are those on which the packets arrive, `others` those that no rule names; neither means all.
    """
    names = [*interfaces, *(["any interface that no rule names"] if others else [])]
    arriving = f", arriving on {' or '.join(names)}," if names else ""
    where = "the host" if place == "host" else "containers"
    ports = what[0] if len(what) == 1 else f"{', '.join(what[:-1])} and {what[-1]}"
    packets = f"ackets from {_describe_all_but(sources)} to {ports} of {where}{arriving}"
    if kind == "unknown":
        return f"Cannot tell whether p{packets} pass before and after: {reason}."
    return f"P{packets} {_VERBS[kind]}."


def _describe_all_but(sources: AddressSet) -> str:
    if not covers_the_internet(sources.family, sources):
        return describe_networks(sources)
    left = WORLD[sources.family].difference(sources).difference(UNROUTED[sources.family])
    return f"anywhere but {describe_networks(left)}" if left else "anywhere"


def describe_ports(protocol: int, icmp_type: int | None, ranges: Sequence[tuple[int, int]], side: str) -> str:
    """Return `22/tcp (SSH)`, `every other tcp port`, `ping`, `every other protocol`."""
    name = protocol_name(protocol)
    if icmp_type is not None:
        return "ping" if icmp_type in (8, 128) else "other ICMP types"
    if not ranges:
        return "every other protocol" if name.isdigit() or protocol in _UNNAMED else name
    with_ssh = protocol == 6 and any(first <= 22 <= last for first, last in ranges)
    if ranges[0] == (0, 65_535):
        return f"every {name} port{' (SSH too)' if with_ssh else ''}"
    if sum(last - first + 1 for first, last in ranges) > _MANY_PORTS:
        return f"every other {name} port{' (SSH too)' if with_ssh else ''}"
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:_SHOWN_PORTS]]
    more = f" and {len(ranges) - _SHOWN_PORTS} more" if len(ranges) > _SHOWN_PORTS else ""
    ssh = " (SSH)" if with_ssh else ""
    return f"{_SIDES[side]}{', '.join(shown)}{more}/{name}{ssh}"


_MANY_PORTS: Final = 32_768
# GRE stands for every protocol that no rule names.
_UNNAMED: Final = (47,)


def of_families(families: Sequence[Family], sentence: str, *, all_families: bool) -> str:
    """Put the IP version before a sentence that does not hold for all that were compared."""
    return sentence if all_families else f"{FAMILY_NAMES[families[0]]}: {sentence}"
