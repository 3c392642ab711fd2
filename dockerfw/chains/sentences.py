"""The sentences of this package: plan warnings, refused loads, interfaces, other tables.

drift_sentences.py has those about drift and its causes, import_sentences.py those about imports.

Each sentence is a constant or a function, so that tests check the meaning by name and the words can change.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from dockerfw.chains.names import DOCKER_USER, FILTERS, INPUT
from dockerfw.document.words import describe_count, join_words
from dockerfw.iptables.model import FAMILY_NAMES, Family

# Tables of nftables that iptables does not show

_TABLE_OWNERS: Final = {"firewalld": "firewalld", "f2b-table": "fail2ban"}
_NAMED_TABLES: Final = 5
_NAMED: Final = 4


def describe_tables(tables: Sequence[str]) -> str:
    """Return a sentence about the tables of other software; empty without any."""
    clause = describe_tables_inline(tables)
    return f"{clause[0].upper() if clause.startswith('other') else clause[0]}{clause[1:]}." if clause else ""


def describe_tables_inline(tables: Sequence[str]) -> str:
    """Return the same for the middle of a sentence, without its full stop."""
    if not tables:
        return ""
    owners = tuple(
        dict.fromkeys(_TABLE_OWNERS.get(each.partition(" ")[2], "other software") for each in tables)
    )
    verb = "filters" if len(owners) == 1 else "filter"
    where = "an nftables table" if len(tables) == 1 else "nftables tables"
    names = ", ".join(tables[:_NAMED_TABLES])
    more = f" and {len(tables) - _NAMED_TABLES} more" if len(tables) > _NAMED_TABLES else ""
    return (
        f"{' and '.join(owners)} {verb} in {where} that iptables does not show ({names}{more}): "
        "dockerfw cannot see what is refused there"
    )


def describe_redirecting_tables(tables: Sequence[str]) -> str:
    """Return a sentence about tables of other software that change destinations; empty without any."""
    return f"{text[0].upper()}{text[1:]}." if (text := describe_redirecting_inline(tables)) else ""


def describe_redirecting_inline(tables: Sequence[str]) -> str:
    """Return the same for the middle of a sentence, without its full stop."""
    if not tables:
        return ""
    return (
        "other software redirects packets in nftables tables that iptables does not show "
        f"({', '.join(tables)}): dockerfw cannot see at which port they arrive"
    )


# Interfaces that packets from outside arrive on

_PAST_RULES: Final = "packets that arrive on it reach containers without dockerfw's rules"
INTERFACES_UNREAD: Final = (
    "The interfaces and routes of this host could not be read, so it is unknown whether the rules for "
    "containers see every packet from outside."
)


def interface_missing(name: str) -> str:
    """Say that an external interface is not on the host."""
    return f"The external interface {name} does not exist on this host now."


def nothing_arrives(names: Sequence[str]) -> str:
    """Say that no external interface has an address."""
    interface = "interface" if len(names) == 1 else "interfaces"
    return (
        f"No packet arrives on the external {interface} {' and '.join(names)}: only other interfaces are up "
        "and have an address."
    )


def is_port_of(name: str, master: str) -> str:
    """Say that an external interface belongs to a bridge, bond or VRF, which its packets arrive on."""
    return (
        f"No packet arrives on the external interface {name}: it belongs to {master}, and its packets "
        f"arrive on {master}."
    )


def addresses_on_top(name: str, inner: str) -> str:
    """Say that the addresses are those of a VLAN or macvlan on an external interface."""
    return (
        f"No packet to this host arrives on the external interface {name}: the addresses are those of "
        f"{inner}, which uses {name}."
    )


def default_route(name: str, families: Sequence[Family], table: str = "") -> str:
    """Say that an interface with a default route, of a routing table or of `main`, is not external."""
    return f"{name} has {_default_route(families, table)} and is not an external interface: {_PAST_RULES}."


def trusted_default_route(name: str, families: Sequence[Family], table: str = "") -> str:
    """Say that an interface with a default route, of a routing table or of `main`, is trusted."""
    return f"{name} has {_default_route(families, table)} and is trusted: all packets on it are allowed."


def _default_route(families: Sequence[Family], table: str) -> str:
    versions = " and ".join(FAMILY_NAMES[family] for family in families)
    return f"the {versions} default route{f' of the routing table {table}' if table else ''}"


def static_route(name: str, network: str) -> str:
    """Say that an interface with a route to another network is neither external nor trusted."""
    return f"{name} has a route to {network} and is neither external nor trusted: {_PAST_RULES}."


def public_address(name: str, address: str) -> str:
    """Say that an interface with a public address is neither external nor trusted."""
    return f"{name} has the public address {address} and is neither external nor trusted: {_PAST_RULES}."


def same_network(name: str, network: str, external: str) -> str:
    """Say that an interface is in the network of an external one."""
    return (
        f"{name} is in the network {network} of the external interface {external}, and is neither external "
        f"nor trusted: {_PAST_RULES}."
    )


def takes_packets_of(name: str, external: str) -> str:
    """Say that packets of an external interface arrive on another one."""
    return (
        f"Packets of the external interface {external} arrive on {name}, which is neither external nor "
        f"trusted: {_PAST_RULES}."
    )


def way_in_help(code: str) -> str:
    """Say what to do about an interface, or nothing where that is open."""
    if code == "interfaces-unread":
        return ""
    if code == "interface-missing":
        return "It was probably renamed or removed. Choose the external interfaces in the settings and apply."
    return "Choose the external interfaces in the settings and apply."


# Plan warnings

NO_EXTERNAL_INTERFACE: Final = (
    "No external interface is set. Only the host's own ports are filtered, not those of containers."
)
EMPTY_DOCUMENT: Final = (
    "No rule allows anything. Everything except the built-in basics will be refused, including SSH."
)
DOCKER_USES_NFTABLES: Final = (
    "Docker on this host uses nftables itself and has no DOCKER-USER chain. "
    "What its own rules refuse is unknown."
)


LOOPBACK_NOT_TRUSTED: Final = (
    "The loopback interface lo is not trusted. Programs on the host cannot connect to each other any more, "
    "for example to a local database or DNS server, unless a rule allows it. Add lo to the trusted "
    "interfaces."
)


def bridge_is_external(name: str) -> str:
    """Warn that a bridge of Docker's is among the external interfaces."""
    return (
        f"The external interface {name} is or includes a bridge of Docker's. New connections that its "
        "containers open, to the internet, DNS servers and other networks, are refused unless a rule allows "
        "them."
    )


def other_tables_filter(tables: Sequence[str]) -> str:
    """Warn that other software filters too."""
    return f"{describe_tables(tables)} Traffic that dockerfw allows must also be allowed there."


def filters_chain_replaced(family: Family, rules: int) -> str:
    """Warn that FILTERS holds only rules of others."""
    return of_family(
        family,
        f"the chain FILTERS holds {describe_count(rules, 'rule')} that dockerfw did not write. "
        "This load replaces them. Import them first to keep what they allow.",
    )


def input_policy(family: Family, policy: str | None) -> str:
    """Warn that INPUT's policy refuses."""
    return of_family(
        family,
        f"the policy of INPUT is {policy}. Traffic to the host that dockerfw allows "
        "also needs an ACCEPT of another rule.",
    )


def rule_before_anchor(family: Family, chain: str, rule: str) -> str:
    """Warn that a rule of others comes before dockerfw's jump."""
    return of_family(
        family,
        f"in {chain} another rule comes before dockerfw's: {rule}. This load moves dockerfw's to the top.",
    )


def accepted_before(family: Family, packet: str, rule: str) -> str:
    """Warn that a rule of others accepts packets before dockerfw's chains see them."""
    return of_family(
        family,
        f"another rule accepts packets before dockerfw's rules see them ({rule}), so they bypass the rules "
        f"for containers: {packet}.",
    )


def untracked(family: Family, rule: str) -> str:
    """Warn that a rule of others keeps packets from connection tracking."""
    return of_family(
        family,
        f"another rule stops connection tracking ({rule}). For its packets, answers to the host are refused "
        "unless a rule allows them, and rules for published ports do not match.",
    )


def ipsec(family: Family, rule: str) -> str:
    """Warn that a rule of others tells the packets of IPsec tunnels apart."""
    return of_family(
        family,
        f"another rule is about IPsec ({rule}), and dockerfw cannot tell which packets come out of a tunnel. "
        "For its rules they arrive on the external interface: allow the networks behind it as sources.",
    )


def multicast_refused(services: Sequence[str], groups: Sequence[str]) -> str:
    """Warn that packets to groups of the host are refused: `mDNS (5353/udp)`, `224.0.0.251 on ens33`."""
    number, named = "group" if len(groups) == 1 else "groups", join_words(groups, most=_NAMED)
    allowed = join_words(services, most=_NAMED, word="or")
    return (
        f"This host is in the multicast {number} {named}, and no rule for the host allows "
        f"{allowed}: these packets are refused. Add a rule for the host if a program needs them."
    )


def igmp_refused(groups: Sequence[str]) -> str:
    """Warn that the host does not answer which groups it is in: `239.1.2.3 on ens33`."""
    number, named = "group" if len(groups) == 1 else "groups", join_words(groups, most=_NAMED)
    return (
        f"This host is in the multicast {number} {named}, and no rule for the host allows "
        "protocol igmp. IGMP queries are refused unanswered, and switches that need the answers stop sending "
        "after some minutes."
    )


def port_redirected(family: Family, dialled: str, arrives: str, rule: str) -> str:
    """Warn that a rule for the host does not match, because another rule changes the port before."""
    return of_family(
        family,
        f"another rule sends {dialled} to {arrives} ({rule}), so a rule for the host with that port does not "
        'match. A rule for "host and containers" matches the port that the client dials.',
    )


def port_opens_another(
    family: Family, dialled: str, port: int, rule: str, address: IPv4Address | IPv6Address | None = None
) -> str:
    """Warn that a rule for a port of the host also allows a port that is redirected to it.

    `address` is the destination where it is unknown whether the host has it.
    """
    sends = f"another rule sends {dialled} to port {port}"
    if address is not None:
        text = f"{sends} of {address} ({rule}). If that is the host, the rule for port {port} allows both."
    else:
        text = f"{sends} ({rule}), so the rule for port {port} allows both."
    return of_family(family, text)


def docker_user_missing(family: Family) -> str:
    """Warn that there is no DOCKER-USER chain."""
    return of_family(
        family,
        "there is no DOCKER-USER chain, so Docker does not filter here now. "
        "This load creates it, and it takes effect when Docker filters.",
    )


def own_forward_jump(family: Family) -> str:
    """Warn that FORWARD gets jumps of dockerfw's own because it does not call DOCKER-USER."""
    return of_family(
        family,
        "FORWARD does not call DOCKER-USER, so dockerfw's own jump there calls the rules for containers. "
        "They also filter other traffic forwarded from external interfaces, such as to virtual machines.",
    )


def docker_not_filtering(family: Family) -> str:
    """Warn that Docker does not filter in a family."""
    name = FAMILY_NAMES[family]
    return of_family(
        family,
        f"Docker does not filter here now. A container with its own {name} address is reachable "
        "whatever the rules for containers say.",
    )


def of_family(family: Family, sentence: str) -> str:
    """Put the IP version before a sentence."""
    return f"{FAMILY_NAMES[family]}: {sentence}"


# Reasons not to load

POLICY_OF_INPUT: Final = "the policy of INPUT"


def rules_not_printed(family: Family, sentence: str) -> str:
    """Refuse to load over rules that nobody can read."""
    return of_family(family, f"{sentence}. Nothing is loaded over rules that dockerfw cannot read.")


def foreign_jump(family: Family, rule: str) -> str:
    """Refuse to load while a rule of others calls one of dockerfw's chains."""
    return of_family(
        family,
        f"another rule jumps to a dockerfw chain, which would refuse other packets after this load: {rule}. "
        f"Remove it, or let it jump without conditions from {INPUT} or {DOCKER_USER}.",
    )


def containers_unfiltered(family: Family, interface: str) -> str:
    """Refuse to take away what filters containers on an interface, empty for all."""
    where = f" on {interface}" if interface else ""
    choose = f"Add {interface} to the external interfaces." if interface else "Choose an external interface."
    return of_family(
        family,
        f"the jump from {DOCKER_USER} to {FILTERS} filters containers{where}, and this load would remove it "
        f"without a jump in its place. {choose}",
    )


def nothing_accepts(family: Family, refused_by: str, *, loopback: bool) -> str:
    """Refuse to remove the lines that accept packets where others would refuse what dockerfw allows."""
    what = "the host's own packets on lo" if loopback else "packets that dockerfw allows"
    program = "iptables" if family == 4 else "ip6tables"
    remedy = (
        f"Set it to ACCEPT ({program} -P INPUT ACCEPT): dockerfw's last rule refuses what no rule allows."
        if refused_by == POLICY_OF_INPUT
        else "Remove that rule, or accept the packets before it."
    )
    return of_family(
        family,
        f"this load removes the lines that accept packets to the host, and {refused_by} would then refuse "
        f"{what}. {remedy}",
    )


def not_replayed(family: Family, error: str) -> str:
    """Refuse to load over rules whose change cannot be calculated."""
    return of_family(family, f"what this load would leave behind cannot be calculated: {error}")


# Hosts that cannot have ipsets

CONTAINERS_REACH_HOST: Final = "The setting that lets containers reach the host"
DOCKER_PROXY_WITHOUT_IP_SET: Final = (
    "This host has no ipsets, so packets that docker-proxy takes for a container are refused: IPv6 packets "
    "for a container without IPv6, and those of other containers to a published port. Install the package "
    "ipset, or use a kernel with ip_set."
)


def rule_named(rule: str) -> str:
    """Begin a sentence about a rule, which is described."""
    return f"The rule “{rule}”"


def needs_ip_set(what: str) -> str:
    """Say that something cannot be loaded without ipsets."""
    return (
        f"{what} needs ipsets, which this host does not have. "
        "Install the package ipset, or use a kernel with ip_set."
    )


def too_long_without_ip_set(family: Family, named: Sequence[str], lines: int, most: int) -> str:
    """Say that the sources of rules or groups would take too many lines."""
    return (
        f"{FAMILY_NAMES[family]}: this host has no ipsets, and the sources of these would take {lines:,} "
        f"lines of at most {most:,}: {join_words(named, most=_NAMED)}. Install the package ipset, or use a "
        "kernel with ip_set."
    )
