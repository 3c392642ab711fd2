"""Sentences about imports, also of the rules in the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dockerfw.chains.names import FILTERS
from dockerfw.chains.owners import Owner
from dockerfw.document.words import describe_count

# Imports

COMPILED: Final = (
    "the loaded rules have lines that cannot be read back as rules, such as source lists, dispatch chains,"
    " blocks, limits, times and containers by name."
    " Change the draft instead, or load the revision again"
)
UNKNOWN_MEMBERS: Final = (
    "the members of its source list {name} are unknown or were changed, so its rules are unknown too"
)
BOUND_SOURCES: Final = (
    "its source is a feed, DNS names or countries: the kernel holds what they stand for, and not their names"
)
BOUND_CONTAINER: Final = (
    "it is for a container by its name: the kernel holds only the container's address, and not the name"
)
NOT_COMPILED_FROM: Final = "no rule gives exactly the lines that the kernel holds under this id"
ADDED_TO_COMPILED: Final = "it was added to a chain that dockerfw writes as a whole, and was not read"
KEPT_UNREAD: Final = "The kernel's lines of this rule cannot be read back. It stays as the draft has it."
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
SEVERAL_DESTINATIONS: Final = "it has several destinations: write one rule for each"
ESTABLISHED_PASSES: Final = "established connections are always allowed: a rule is for new connections"
ONLY_DOCKER_PROXY: Final = (
    "it allows only packets that docker-proxy takes, and the rule's line for containers is missing"
)
REFUSES: Final = "it refuses packets: everything that no rule allows is refused anyway"
REFUSES_LESS: Final = (
    "it refuses packets, some of which an earlier line may accept. A block would refuse those too"
)
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


def only_some_interfaces(names: Sequence[str]) -> str:
    """Note that a file filters the host's ports on some interfaces only, and what keeps the others open."""
    return (
        f"INPUT calls {FILTERS} only for packets on {' and '.join(names)}. dockerfw filters the host's ports "
        "on every interface that is not trusted. To keep the other interfaces open, add them to the trusted "
        "interfaces."
    )


# The rules in the kernel as a draft

FAMILIES_DIFFER: Final = (
    "IPv4 and IPv6 hold different lines of this rule. The draft allows what either of them allows."
)
ONE_FAMILY_ONLY: Final = "holds no dockerfw rules. This draft has only the rules of the other IP version."
