"""Random matches: words for each match that the simulator must support, and for some that it need not.

Each function returns the words of one match, sometimes negated. `Setting` describes the place of the rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dockerfw.iptables.name_spellings import DAYS
from tests.differential.pools import (
    INTERFACES,
    MACS,
    MARKS,
    MASKED,
    NETWORKS,
    PORT_RANGES,
    PORTS,
    PORTS_OF_BRIDGES,
    SOURCE_PORTS,
    Dice,
    addresses,
)
from tests.rig.namespace import Family

OUTSIDE: Final = frozenset(
    (
        "string",
        "statistic",
        "recent",
        "length",
        "ttl",
        "hl",
        "dscp",
        "u32",
        "quota",
        "tos",
        "pkttype",
        "connbytes",
    )
)
"""Matches for which the simulator may return UNKNOWN, because it does not need to support them."""

ROUTE_TYPES: Final = frozenset(("ANYCAST", "BLACKHOLE", "PROHIBIT", "UNREACHABLE", "THROW"))
"""Address types that come from routes, which no snapshot contains."""

ICMP_TYPES: Final[dict[Family, tuple[str, ...]]] = {
    4: ("echo-request", "echo-reply", "3", "3/1", "port-unreachable", "any", "13", "8/0", "redirect", "255"),
    6: (
        "echo-request",
        "echo-reply",
        "1",
        "1/4",
        "port-unreachable",
        "135",
        "neighbour-advertisement",
        "128/0",
    ),
}
MOMENTS: Final = (
    ("--datestart", "2021-01-01T12:00:00", "--datestop", "2037-12-31T12:00:00"),
    ("--datestart", "2021-01-01T12:00:00"),
    ("--datestop", "2037-12-31T12:00:00"),
    ("--datestart", "2021-01-01T12:00:00", "--datestop", "2038-01-19T03:14:07"),
    ("--datestart", "2001-02-03T04:05:06", "--datestop", "2021-01-01T12:00:00"),
    ("--datestop", "2021-01-01T12:00:00"),
    ("--datestart", "2037-12-31T12:00:00"),
    ("--datestart", "2037-12-31T12:00:00", "--datestop", "2038-01-19T03:14:07"),
    (),
)
"""Until 2037 four of these ranges contain now, two are over, two are to come; the last has no dates."""

_STATES: Final = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED")
_TYPES: Final[dict[Family, tuple[str, ...]]] = {
    4: ("LOCAL", "LOCAL", "UNICAST", "BROADCAST", "MULTICAST", "UNSPEC", "ANYCAST", "BLACKHOLE"),
    6: ("LOCAL", "LOCAL", "UNICAST", "MULTICAST"),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """The place of a rule: its family and table, and which interfaces a packet has there."""

    family: Family
    table: str
    has_in: bool
    has_out: bool
    sets: tuple[tuple[str, int], ...]
    """The ipsets of this family: name and how many directions they take."""
    before_routing: bool = False
    """True in PREROUTING, the only chain in which the kernel accepts `-m rpfilter`."""
    protocol: str = ""
    """The protocol of `-p` of the rule, or "" if there is none or it is negated."""


def address(dice: Dice, setting: Setting) -> list[str]:
    """[!] -s|-d ADDRESS[/MASK]"""
    family = setting.family
    pool = dice.one((addresses(family), NETWORKS[family], NETWORKS[family], MASKED[family]))
    return [*dice.maybe_not(), dice.one(("-s", "-s", "-d")), dice.one(pool)]


def interface(dice: Dice, setting: Setting) -> list[str]:
    """[!] -i|-o NAME[+]"""
    ways = ["-i"] * setting.has_in + ["-o"] * setting.has_out
    # iptables-legacy-save leaves out -i + even if it is negated, so the simulator cannot know of it.
    name = dice.one(INTERFACES)
    negated = dice.maybe_not() if name != "+" else []
    return [*negated, dice.one(ways), name] if ways else []


def port(dice: Dice, setting: Setting) -> list[str]:
    """-m tcp|udp|sctp [!] --dport|--sport PORT[:PORT]"""
    if setting.protocol not in ("tcp", "udp", "sctp"):
        return []
    if dice.chance(0.25):
        return ["-m", setting.protocol, *_ports(dice, "--sport", SOURCE_PORTS)]
    return ["-m", setting.protocol, *_ports(dice, "--dport", PORTS)]


def flags(dice: Dice, setting: Setting) -> list[str]:
    """-m tcp [!] --syn, or --tcp-flags MASK COMPARED"""
    if setting.protocol != "tcp":
        return []
    which = dice.one(
        ("--syn", "SYN,ACK SYN", "SYN,RST,ACK,FIN SYN", "ALL SYN", "ALL NONE", "FIN,SYN FIN,SYN")
    )
    words = [which] if which == "--syn" else ["--tcp-flags", *which.split()]
    return ["-m", "tcp", *dice.maybe_not(), *words]


def multiport(dice: Dice, setting: Setting) -> list[str]:
    """-m multiport [!] --dports|--sports|--ports LIST"""
    if setting.protocol not in ("tcp", "udp", "sctp"):
        return []
    option = dice.one(("--dports", "--dports", "--sports", "--ports"))
    pool = (*PORTS, *SOURCE_PORTS) if option != "--dports" else PORTS
    ports = [str(each) for each in dice.some(pool, 5)]
    if dice.chance(0.5):
        ports.append(dice.one(("8000:8090", "1:1023", "9100:9101", "1024:65535")))
    return ["-m", "multiport", *dice.maybe_not(), option, ",".join(ports)]


def state(dice: Dice, setting: Setting) -> list[str]:
    """-m conntrack [!] --ctstate LIST, or the old -m state"""
    chosen = ",".join(dice.some(_STATES, 3))
    if dice.chance(0.2):
        return ["-m", "state", *dice.maybe_not(), "--state", chosen]
    if dice.chance(0.2):
        chosen += dice.one((",DNAT", ",SNAT"))
    return ["-m", "conntrack", *dice.maybe_not(), "--ctstate", chosen]


def original(dice: Dice, setting: Setting) -> list[str]:
    """-m conntrack [!] --ctorigdst, --ctorigdstport, --ctorigsrc, --ctorigsrcport, --ctproto, --ctdir"""
    family = setting.family
    parts = [
        [*dice.maybe_not(), "--ctorigdstport", _port(dice, PORTS)],
        [*dice.maybe_not(), "--ctorigdstport", _port(dice, PORTS)],
        [*dice.maybe_not(), "--ctorigdst", dice.one(addresses(family))],
        [*dice.maybe_not(), "--ctorigdst", dice.one(NETWORKS[family])],
        [*dice.maybe_not(), "--ctorigsrc", dice.one(NETWORKS[family])],
        [*dice.maybe_not(), "--ctorigsrcport", _port(dice, SOURCE_PORTS)],
        [*dice.maybe_not(), "--ctproto", dice.one(("6", "17", "tcp", "1", "132"))],
        ["--ctdir", dice.one(("ORIGINAL", "ORIGINAL", "REPLY"))],
    ]
    names: set[str] = set()
    words = ["-m", "conntrack"]
    for part in dice.some(parts, 3):
        if part[-2] not in names:
            names.add(part[-2])
            words += part
    return words


def addrtype(dice: Dice, setting: Setting) -> list[str]:
    """-m addrtype [!] --src-type|--dst-type LIST [--limit-iface-in|--limit-iface-out]"""
    option = dice.one(("--dst-type", "--dst-type", "--src-type"))
    words = [
        "-m",
        "addrtype",
        *dice.maybe_not(),
        option,
        ",".join(sorted(set(dice.some(_TYPES[setting.family], 2)))),
    ]
    limits = ["--limit-iface-in"] * (setting.has_in and not setting.has_out)
    return [*words, *limits] if dice.chance(0.15) else words


def icmp(dice: Dice, setting: Setting) -> list[str]:
    """-m icmp|icmp6 [!] --icmp-type|--icmpv6-type TYPE[/CODE]"""
    if setting.protocol not in ("icmp", "ipv6-icmp"):
        return []
    module, option = ("icmp", "--icmp-type") if setting.family == 4 else ("icmp6", "--icmpv6-type")
    return ["-m", module, *dice.maybe_not(), option, dice.one(ICMP_TYPES[setting.family])]


def mark(dice: Dice, setting: Setting) -> list[str]:
    """-m mark [!] --mark VALUE[/MASK]"""
    return ["-m", "mark", *dice.maybe_not(), "--mark", dice.one(MARKS)]


def comment(dice: Dice, setting: Setting) -> list[str]:
    """-m comment --comment TEXT"""
    return ["-m", "comment", "--comment", dice.one(("plain", '"two words"', '"-j DROP"', '"it\'s"'))]


def ip_set(dice: Dice, setting: Setting) -> list[str]:
    """-m set [!] --match-set NAME DIRECTIONS"""
    if not setting.sets:
        return []
    name, directions = dice.one(setting.sets)
    words = [dice.one(("src", "src", "dst")) for _ in range(directions)]
    return ["-m", "set", *dice.maybe_not(), "--match-set", name, ",".join(words)]


def iprange(dice: Dice, setting: Setting) -> list[str]:
    """-m iprange [!] --src-range|--dst-range FIRST-LAST"""
    first, last = {
        4: dice.one(
            (("198.51.100.70", "198.51.100.80"), ("0.0.0.0", "100.0.0.0"), ("172.17.0.2", "172.17.0.3"))
        ),
        6: dice.one(
            (("2001:db8:1::70", "2001:db8:1::80"), ("::1", "2500::"), ("2001:db8:d0d::2", "2001:db8:d0d::9"))
        ),
    }[setting.family]
    return ["-m", "iprange", *dice.maybe_not(), dice.one(("--src-range", "--dst-range")), f"{first}-{last}"]


def limit(dice: Dice, setting: Setting) -> list[str]:
    """-m limit --limit RATE --limit-burst NUMBER, with a limit that no ruleset reaches"""
    return ["-m", "limit", "--limit", dice.one(("5/minute", "1000/second")), "--limit-burst", "5000"]


def hashlimit(dice: Dice, setting: Setting) -> list[str]:
    """-m hashlimit --hashlimit-upto|--hashlimit-above RATE ..., in a table that has not seen the source"""
    which, mode = (
        dice.one(("--hashlimit-upto", "--hashlimit-above")),
        dice.one(("srcip", "srcip", "dstip", "srcip,dstport", "")),
    )
    words = ["-m", "hashlimit", which]
    if "srcip" in mode and dice.chance(0.7):
        # A packet may meet the rule several times. For the next one the source is forgotten.
        words += [dice.one(("10/minute", "6/minute", "1/hour", "100/second"))]
        words += ["--hashlimit-burst", dice.one(("6", "10", "20")), "--hashlimit-htable-max", "4096"]
        words += ["--hashlimit-htable-expire", "1", "--hashlimit-htable-gcinterval", "5"]
        length = {4: ("8", "24", "32"), 6: ("48", "64", "128")}[setting.family]
        words += ["--hashlimit-srcmask", dice.one(length)] if dice.chance(0.5) else []
    else:
        # (The kernel counts a burst modulo some 37 hours at the rate, so 5,000 an hour would be few.)
        words += [dice.one(("10/minute", "100/second")), "--hashlimit-burst", "5000"]
    words += ["--hashlimit-mode", mode] if mode else []
    return [*words, "--hashlimit-name", f"h{dice.number(0, 10**9)}"]


def moment(dice: Dice, setting: Setting) -> list[str]:
    """-m time with dates that are over, that are now or that are to come; times of day and days"""
    words = list(dice.one(MOMENTS))
    if dice.chance(0.3):
        first, last = (f"{dice.number(0, 23):02}:{dice.number(0, 59):02}" for _ in range(2))
        clock = ["--timestart", first, "--timestop", last]
        words += dice.one((clock, clock[:2], clock[2:]))
        words += ["--contiguous"] if "--timestop" in words and "--timestart" in words and last < first else []
    if dice.chance(0.2):
        words += [*dice.maybe_not(), "--weekdays", ",".join(dice.some(DAYS, 4))]
    if dice.chance(0.1):
        days = dice.some([str(day) for day in range(1, 32)], 20)
        words += [*dice.maybe_not(), "--monthdays", ",".join(days)]
    return ["-m", "time", *words]


def connlimit(dice: Dice, setting: Setting) -> list[str]:
    """-m connlimit --connlimit-upto|--connlimit-above NUMBER, with no connection or many"""
    which = dice.one(("--connlimit-upto", "--connlimit-above"))
    return ["-m", "connlimit", *dice.maybe_not(), which, dice.one(("0", "5000"))]


def recent(dice: Dice, setting: Setting) -> list[str]:
    """-m recent --set|--update|--rcheck, with a limit that no ruleset reaches"""
    check = ["--seconds", "60", "--hitcount", dice.one(("2", "4"))]
    what = dice.one((["--set"], ["--update", *check], ["--rcheck", *check]))
    return ["-m", "recent", *dice.maybe_not(), *what, "--name", f"r{dice.number(0, 10**9)}"]


def rpfilter(dice: Dice, setting: Setting) -> list[str]:
    """-m rpfilter [--loose] [--invert]"""
    if not setting.before_routing or setting.table not in ("raw", "mangle"):
        return []
    return ["-m", "rpfilter", *(word for word in ("--loose", "--invert") if dice.chance(0.4))]


def mac(dice: Dice, setting: Setting) -> list[str]:
    """-m mac [!] --mac-source ADDRESS"""
    if not setting.has_in:
        return []
    return ["-m", "mac", *dice.maybe_not(), "--mac-source", dice.one(MACS)]


def physdev(dice: Dice, setting: Setting) -> list[str]:
    """-m physdev [!] --physdev-in|--physdev-out NAME[+], --physdev-is-in|-is-out|-is-bridged"""
    ways = []
    if setting.has_in:
        ways += [["--physdev-in", dice.one(PORTS_OF_BRIDGES)], ["--physdev-is-in"]]
    if setting.has_in and setting.has_out:
        # The kernel knows the outgoing port of bridged packets only.
        ways += [
            ["--physdev-is-bridged"],
            ["--physdev-is-bridged", "--physdev-out", dice.one(PORTS_OF_BRIDGES)],
        ]
        ways += [["--physdev-is-out", "--physdev-is-bridged"]]
    if not ways:
        return []
    chosen = dice.one(ways)
    negated = dice.maybe_not()
    return ["-m", "physdev", *negated, *chosen]


def outside(dice: Dice, setting: Setting) -> list[str]:
    """A match that the simulator does not need to support"""
    hops = ["-m", "ttl", "--ttl-gt", "100"] if setting.family == 4 else ["-m", "hl", "--hl-gt", "100"]
    return dice.one(
        (
            ["-m", "string", "--string", "dfw!", "--algo", "bm"],
            ["-m", "statistic", "--mode", "random", "--probability", "0.5"],
            ["-m", "recent", "--rcheck", "--name", "seen"],
            ["-m", "length", "--length", "40:60"],
            ["-m", "dscp", "--dscp", "0x00"],
            ["-m", "u32", "--u32", "0&0xF=0"],
            ["-m", "time", "--datestart", "2021-01-01", "--kerneltz"],
            ["-m", "pkttype", "--pkt-type", "unicast"],
            ["-m", "tos", "--tos", "0x00"],
            hops,
        )
    )


Matcher = Callable[[Dice, Setting], list[str]]

KNOWN: Final[tuple[tuple[Matcher, int], ...]] = (
    *((address, 10), (interface, 8), (port, 14), (flags, 2), (multiport, 6), (state, 5), (original, 5)),
    *((addrtype, 4), (icmp, 5), (mark, 3), (comment, 2), (ip_set, 9), (iprange, 3), (limit, 2)),
    *((hashlimit, 5), (moment, 5), (mac, 3), (physdev, 3), (connlimit, 2), (recent, 2), (rpfilter, 6)),
)
"""The matches that the simulator must support, each with its weight."""


def _ports(dice: Dice, option: str, pool: tuple[int, ...]) -> list[str]:
    ports = _port(dice, pool)
    # As with -i +, iptables-legacy-save leaves out the range of all ports even if it is negated.
    return [*(dice.maybe_not() if ports != "0:65535" else []), option, ports]


def _port(dice: Dice, pool: tuple[int, ...]) -> str:
    return dice.one(PORT_RANGES) if dice.chance(0.3) else str(dice.one(pool))
