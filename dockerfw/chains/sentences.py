"""The sentences of this package: plan warnings, drift and its likely causes, imports, other tables.

Each sentence is a constant or a function, so that tests check the meaning by name and the words can change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dockerfw.chains.names import DOCKER_USER, FILTERS, INPUT
from dockerfw.chains.owners import Owner
from dockerfw.document.words import describe_count
from dockerfw.iptables.model import FAMILY_NAMES, Family

# Tables of nftables that iptables does not show

_TABLE_OWNERS: Final = {"firewalld": "firewalld", "f2b-table": "fail2ban"}
_NAMED_TABLES: Final = 5


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


def default_route(name: str, families: Sequence[Family]) -> str:
    """Say that an interface with a default route is not external."""
    versions = " and ".join(FAMILY_NAMES[family] for family in families)
    return f"{name} has the {versions} default route and is not an external interface: {_PAST_RULES}."


def trusted_default_route(name: str, families: Sequence[Family]) -> str:
    """Say that an interface with a default route is trusted."""
    versions = " and ".join(FAMILY_NAMES[family] for family in families)
    return f"{name} has the {versions} default route and is trusted: all packets on it are allowed."


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


def port_redirected(family: Family, dialled: str, arrives: str, rule: str) -> str:
    """Warn that a rule for the host does not match, because another rule changes the port before."""
    return of_family(
        family,
        f"another rule sends {dialled} to {arrives} ({rule}), so a rule for the host with that port does not "
        'match. A rule for "host and containers" matches the port that the client dials.',
    )


def port_opens_another(family: Family, dialled: str, port: int, rule: str) -> str:
    """Warn that a rule for a port of the host also allows a port that is redirected to it."""
    text = f"another rule sends {dialled} to port {port} ({rule}), so the rule for port {port} allows both."
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


# Drift

UNREAD: Final = "the rules could not be read."
NOTHING_LOADED: Final = "no dockerfw rules are loaded."
CHAIN_REPLACED: Final = (
    "the last rule of FILTERS is not dockerfw's, so it does not tell which revision is loaded."
)
REORDERED: Final = "the rules are loaded in a different order."
PANIC_ON: Final = "panic mode is on: only the addresses given to the panic command are allowed."
DOCKER_USER_NOT_CALLED: Final = "FORWARD has no jump to DOCKER-USER, so rules for containers have no effect."
DOCKER_RULES_GONE: Final = (
    "Docker's own rules are missing, so published ports do not work and networks are not kept apart."
)
DOCKER_RULES_FLUSHED: Final = (
    "They were flushed, as `nft flush ruleset` does. Restart Docker. If Docker was removed, reboot."
)


def docker_user_not_first(packet: str) -> str:
    """Say that a rule lets packets through that dockerfw's rules would refuse."""
    return f"a rule accepts packets before DOCKER-USER, so they bypass the rules for containers: {packet}."


def docker_user_unclear(packet: str, reason: str) -> str:
    """Say that a rule may let packets through that dockerfw's rules would refuse."""
    return f"it is unknown if a rule accepts packets before DOCKER-USER, such as {packet}: {reason}."


TOO_MANY_PACKETS: Final = "there are too many kinds of packets to check"
THE_HOST: Final = "the host"
A_CONTAINER: Final = "a container"


def describe_packet(service: str, destination: str, interface: str, sources: Sequence[str]) -> str:
    """`8000/tcp to 172.17.0.2 by ens33, from anywhere`"""
    return f"{service} to {destination} by {interface}, from {', '.join(sources) or 'anywhere'}"


def other_backend(docker: str, own: str) -> str:
    """Say that Docker's chains are in another backend than dockerfw's."""
    return (
        f"Docker's chains are in iptables-{docker} now, but dockerfw's rules were loaded into iptables-{own}."
    )


def other_revision(revision: int, digest: str) -> str:
    """Say which revision the kernel's label names."""
    return f"the loaded rules carry the label of revision {revision} ({digest})."


def rules_changed(revision: int, gone: Sequence[str], missing: int, unwanted: int) -> str:
    """Say how many rules differ; `gone` are chains that are not there."""
    words = [f"the chain {chain} is missing." for chain in gone]
    if missing:
        words.append(f"{describe_count(missing, 'rule')} of revision {revision} {_are(missing)} not loaded.")
    if unwanted:
        words.append(
            f"{describe_count(unwanted, 'loaded rule')} {_are(unwanted)} not in revision {revision}."
        )
    return " ".join(words)


def anchor_missing(chain: str, anchor: str) -> str:
    """Say that a jump to dockerfw is missing."""
    return f"{chain} has no jump to dockerfw ({anchor} is missing)."


def anchor_not_first(chain: str, anchor: str) -> str:
    """Say that a rule of others comes before a jump to dockerfw."""
    return f"another rule comes before {anchor} in {chain}."


def own_jump_not_needed(anchor: str) -> str:
    """Say that FORWARD calls DOCKER-USER, and dockerfw's chains as well."""
    return f"FORWARD calls DOCKER-USER, so dockerfw's own jump there ({anchor}) is no longer needed."


def docker_does_not_filter(family: Family) -> str:
    """Say that Docker has no chains in a family."""
    setting = "iptables" if family == 4 else "ip6tables"
    return (
        f"Docker has no chains for {FAMILY_NAMES[family]}: its setting {setting} is off, "
        "or its rules were flushed."
    )


def anchor_stale(interface: str) -> str:
    """Say that DOCKER-USER calls dockerfw for an interface that is not external."""
    return f"DOCKER-USER still jumps to dockerfw for {interface}, which is no longer an external interface."


# Likely causes of drift

CAUSE_UNKNOWN: Final = (
    "Cause unknown. It was probably a manual change, or a tool that leaves no chain of its own."
)
REBOOTED: Final = (
    "The host has booted since the last load. "
    "The boot files were probably not loaded, or the rules were flushed later."
)
TABLE_GONE: Final = "The filter table itself is gone. All tables were removed, as `nft flush ruleset` does."
TABLE_CLEARED: Final = (
    "INPUT and FORWARD are empty and no other chain is left. The whole table was cleared, as firewalld does "
    "when it starts, reloads or stops."
)
TABLE_FLUSHED: Final = "INPUT and FORWARD are empty. The whole table was flushed, as `iptables -F` does."
INPUT_EMPTY: Final = "INPUT is empty. It was flushed, or dockerfw's jump was its only rule and was removed."
RELOADED: Final[dict[Owner, str]] = {
    "firewalld": "firewalld's chains are present. Its reload removes all rules, including those of others.",
    "ufw": "ufw's chains are present. With MANAGE_BUILTINS=yes set, each reload flushes all rules.",
}
FIREWALLD_IN_NFTABLES: Final = (
    "firewalld filters in its own nftables table. When it starts or reloads, it removes all iptables rules, "
    "including those of others."
)
INSERTED_BY: Final[dict[Owner, str]] = {
    "fail2ban": "It jumps to a chain of fail2ban, which inserts its rule at the top with its first ban.",
    "ufw": "It jumps to a chain of ufw, which was probably enabled or reloaded.",
    "firewalld": "It jumps to a chain of firewalld, which was probably reloaded.",
    "docker": "It jumps to a chain of Docker, which was probably restarted.",
    "kubernetes": "It jumps to a chain of Kubernetes, which keeps its rules at the top.",
    "libvirt": "It jumps to a chain of libvirt, which inserts its rules at the top whenever it starts.",
    "tailscale": "It jumps to a chain of Tailscale, which inserts its rules at the top whenever it starts.",
    "crowdsec": "It belongs to CrowdSec's bouncer, which inserts its rule at the top whenever it starts.",
}
UFW_DOCKER: Final = (
    "DOCKER-USER holds ufw-docker's rules. Each `ufw reload` writes this chain anew from "
    "/etc/ufw/after.rules, without dockerfw's jump."
)
BACKEND_SWITCHED: Final = (
    "Docker was probably restarted after the host's iptables was switched to the other backend."
)
DOCKER_FILTERS_ITSELF: Final = "Docker filters with nftables itself and never calls DOCKER-USER."
DOCKER_CREATES_IT: Final = "Docker creates it again when it starts."
DOCKER_USER_RECREATED: Final = (
    "DOCKER-USER is as Docker creates it: it was flushed, or removed and then created again by Docker."
)
OTHER_BOOT_FILES: Final = "The host has booted since. It probably loaded the boot files of another revision."
OTHER_SAVE: Final = "A save from another time was loaded, or another dockerfw also manages this host."
FORWARD_FLUSHED: Final = "FORWARD is empty: it was flushed. Docker writes it again when it restarts."
IPV6_NOT_CALLED: Final = (
    "Docker 20.10 never jumps to DOCKER-USER for IPv6. With any other version, the jump was removed."
)
JUMP_REMOVED: Final = "The jump was removed. Docker adds it again when it restarts."
OWN_JUMP_HELPS: Final = "The next apply or self-repair adds dockerfw's own jump."


def inserted_by_chain(chain: str) -> str:
    """Name the chain to which an earlier rule jumps, where its owner is not known."""
    return f"It jumps to the chain {chain}. The software that made this chain inserted the rule at the top."


def released(command: str) -> str:
    """Say that dockerfw was released from the command line."""
    return f"The host was released on its command line: `{command} release`."


def panic_help(command: str) -> str:
    """Say how to end a panic."""
    return f"Run `{command} panic --off` on the host to end it."


def docker_user_gone(*, docker_present: bool) -> str:
    """Say that DOCKER-USER is missing, and whether Docker's other chains are."""
    others = (
        "but Docker's other chains are present" if docker_present else "and so are all of Docker's chains"
    )
    return f"DOCKER-USER is gone, {others}."


def inserted_into_chains(owner: Owner, rule: str) -> str:
    """Name the software that put a rule into dockerfw's chains."""
    return f"{owner} put a rule into dockerfw's chains: {rule}"


# Imports

NO_COMMENTS: Final = "These are dockerfw's own rules. The kernel does not hold their comments."
IPV6_TOO: Final = "Rules without a source will apply to IPv6 as well as IPv4."

ACCEPTS_LESS: Final = (
    "an earlier line may refuse some of these packets: only what certainly passes was imported"
)
NOT_NARROWED: Final = (
    "The file names too many ports to compare its lines with each other: lines behind one that refuses were "
    "left out."
)
PARTLY_LEFT_OUT: Final = "No rules can express some of what passes today. It was left out."

NO_TARGET: Final = "it has no target: it only counts packets"
GOTO: Final = "it uses -g, so packets never return from the other chain"
SEVERAL_SOURCES: Final = "it has several sources: write one rule for each"
ESTABLISHED_PASSES: Final = "established connections are always allowed: a rule is for new connections"
REFUSES: Final = "it refuses packets: rules only allow, and everything else is refused"
REFUSES_ALL_FORWARDED: Final = "it refuses all forwarded packets, including those that containers send out"
NOT_FOR_DOCKERFW: Final = "dockerfw does not manage it, and it stays as it is"
STAYS: Final[dict[Owner, str]] = {
    "docker": "it belongs to Docker and stays as it is",
    "fail2ban": "it belongs to fail2ban and stays as it is",
    "ufw": "it belongs to ufw and stays as it is",
    "firewalld": "it belongs to firewalld and stays as it is",
    "kubernetes": "it belongs to Kubernetes and stays as it is",
    "libvirt": "it belongs to libvirt and stays as it is",
    "tailscale": "it belongs to Tailscale and stays as it is",
    "crowdsec": "it belongs to CrowdSec and stays as it is",
}


def unknown_target(target: str) -> str:
    """Say that a target has no counterpart."""
    return f"dockerfw has no rule that does what -j {target} does"


def negated(option: str) -> str:
    """Say that a negated match cannot be imported."""
    return f"it names what must not match (! {option}), and rules only say what is allowed"


def unknown_protocol(value: str) -> str:
    """Say that a protocol is not known."""
    return f"-p {value} is not a protocol that dockerfw knows"


def no_counterpart(words: str) -> str:
    """Say that a match has no counterpart in a document."""
    return f"a rule cannot express {words}"


def states_of_new_connections(value: str) -> str:
    """Say that these states cannot be imported."""
    return f"a rule cannot express --ctstate {value}: rules always apply to new connections"


def other_table(table: str, reason: str) -> str:
    """Say that a table other than filter stays."""
    return f"the {table} table: {reason}"


def other_chain(chain: str) -> str:
    """Say that a chain of others stays."""
    return f"dockerfw does not fill the chain {chain}, which stays as it is"


def jumps_to(chain: str) -> str:
    """Say that a jump to a chain of others stays."""
    return f"it jumps to the chain {chain}, which stays as it is"


def only_on_interface(interface: str) -> str:
    """Say that a rule for one interface that is not external cannot be imported."""
    return f"it applies only to the interface {interface}, which is not external"


def limited_on_interface(interface: str) -> str:
    """Say that a limited rule for one interface of the host cannot be imported."""
    return f"it applies only to the interface {interface}: trust that interface, or remove the limit"


def no_ports(protocol: str) -> str:
    """Say that a protocol has no ports."""
    return f"{protocol} has no ports"


def interface_not_trusted(name: str) -> str:
    """Note that an external interface is not trusted."""
    return f"The interface {name} is external, so it is not trusted."


def ports_inside_containers(rules: int) -> str:
    """Note that imported rules count by the port inside the container."""
    return (
        f"In {describe_count(rules, 'rule')} for containers, --dport is the port inside the container and "
        "not the published port. The import keeps that. Check which one was meant."
    )


# The rules in the kernel as a draft

FAMILIES_DIFFER: Final = (
    "IPv4 and IPv6 hold different lines of this rule. The draft allows what either of them allows."
)
ONE_FAMILY_ONLY: Final = "holds no dockerfw rules. This draft has only the rules of the other IP version."


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
