"""IP protocol names and numbers, and which protocols have ports, independent of the host.

The table is Debian's /etc/protocols (from IANA). The /etc/protocols of a host may be missing or differ, so
the kernel gets a number wherever iptables has no name of its own.
"""

from __future__ import annotations

from typing import Final

PROTOCOL_NAMES: Final[dict[int, str]] = {
    1: "icmp",
    2: "igmp",
    3: "ggp",
    4: "ipencap",
    5: "st",
    6: "tcp",
    8: "egp",
    9: "igp",
    12: "pup",
    17: "udp",
    20: "hmp",
    22: "xns-idp",
    27: "rdp",
    29: "iso-tp4",
    33: "dccp",
    36: "xtp",
    37: "ddp",
    38: "idpr-cmtp",
    41: "ipv6",
    43: "ipv6-route",
    44: "ipv6-frag",
    45: "idrp",
    46: "rsvp",
    47: "gre",
    50: "esp",
    51: "ah",
    57: "skip",
    58: "ipv6-icmp",
    59: "ipv6-nonxt",
    60: "ipv6-opts",
    73: "rspf",
    81: "vmtp",
    88: "eigrp",
    89: "ospf",
    93: "ax.25",
    94: "ipip",
    97: "etherip",
    98: "encap",
    103: "pim",
    108: "ipcomp",
    112: "vrrp",
    115: "l2tp",
    124: "isis",
    132: "sctp",
    133: "fc",
    135: "mobility-header",
    136: "udplite",
    137: "mpls-in-ip",
    138: "manet",
    139: "hip",
    140: "shim6",
    141: "wesp",
    142: "rohc",
    143: "ethernet",
}

PROTOCOL_ALIASES: Final[dict[str, int]] = {
    "icmpv6": 58,
    "icmp6": 58,
    "ipv6-mh": 135,
    "mh": 135,
    "ospfigp": 89,
    "ipsec-esp": 50,
    "ipsec-ah": 51,
}

PROTOCOL_NUMBERS: Final[dict[str, int]] = {
    **{name: number for number, name in PROTOCOL_NAMES.items()},
    **PROTOCOL_ALIASES,
}

ICMP: Final = 1
IPV6_ICMP: Final = 58

# The protocols whose ports `-m multiport` and `-m conntrack --ctorigdstport` match.
PROTOCOLS_WITH_PORTS: Final[tuple[str, ...]] = ("tcp", "udp", "sctp", "dccp", "udplite")

# libxtables looks in its own table (xtables_chain_protos) before /etc/protocols. Every release has these
# names there, so they load on a host without the netbase package.
NAMES_IPTABLES_KNOWS: Final[frozenset[str]] = frozenset(
    {"tcp", "udp", "udplite", "sctp", "icmp", "ipv6-icmp", "esp", "ah"}
)

# Protocols that have an iptables match of the same name with its own --dport (udplite has none).
PROTOCOLS_WITH_OWN_MATCH: Final[frozenset[str]] = frozenset({"tcp", "udp", "sctp"})


def protocol_number(protocol: str) -> int | None:
    """Return the number of a protocol name or decimal text, or None for "any" and other text."""
    if (known := PROTOCOL_NUMBERS.get(protocol)) is not None:
        return known
    if protocol.isascii() and protocol.isdigit():
        number = int(protocol) if len(protocol) <= 4 else 256
        return number if 1 <= number <= 255 else None
    return PROTOCOL_NUMBERS.get(protocol.lower())


def protocol_name(number: int) -> str:
    """Return the canonical text of a protocol number: its name if known, else the decimal number."""
    return PROTOCOL_NAMES.get(number, str(number))


def protocol_for_iptables(protocol: str) -> str:
    """Return the text to write after `-p`: a name that every iptables knows, else the number."""
    if protocol in NAMES_IPTABLES_KNOWS:
        return protocol
    number = protocol_number(protocol)
    return protocol if number is None else str(number)
