"""Sentences about drift and its likely causes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dockerfw.chains.owners import Owner
from dockerfw.document.words import describe_count, is_or_are
from dockerfw.iptables.model import FAMILY_NAMES, Family

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
    "Docker's own rules are missing or not called, so published ports do not work or networks are not kept "
    "apart."
)
DOCKER_RULES_FLUSHED: Final = (
    "They were flushed, as `nft flush ruleset` and `iptables -t nat -F` do. Restart Docker. If Docker was "
    "removed, reboot."
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
        words.append(
            f"{describe_count(missing, 'rule')} of revision {revision} {is_or_are(missing)} not loaded."
        )
    if unwanted:
        words.append(
            f"{describe_count(unwanted, 'loaded rule')} {is_or_are(unwanted)} not in revision {revision}."
        )
    return " ".join(words)


SETS_CHANGED_BY_OTHERS: Final = (
    "Another program or an admin changed them with ipset. Load the revision again to restore them."
)


def sets_changed(revision: int, sets: int, lost: int, added: int) -> str:
    """Say that sets of sources differ, and by how many addresses if that is known."""
    lists = describe_count(sets, "source list")
    words = [f"{lists} {is_or_are(sets)} not as revision {revision} loaded {'it' if sets == 1 else 'them'}."]
    if lost:
        words.append(f"{describe_count(lost, 'network')} {is_or_are(lost)} missing.")
    if added:
        words.append(f"{describe_count(added, 'network')} {is_or_are(added)} not in the revision.")
    return " ".join(words)


def sets_unread(sets: int) -> str:
    """Say that sets of sources could not be read."""
    lists = describe_count(sets, "source list")
    return f"{lists} could not be read, so it is unknown which addresses they contain."


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
