"""Random rulesets: the tables of the engine with foreign rules in between, and the sets that these match.

The text is a whole iptables-restore file without -n, so each replaces the previous one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from tests.differential.matches import KNOWN, Setting, outside
from tests.differential.pools import NETWORKS, PORTS, Dice, addresses, network_near
from tests.differential.world import BRIDGE, CONTAINER_ADDRESSES
from tests.rig.namespace import FAMILIES, Family

OUTSIDE_SHARE: Final = 0.03

SIZES: Final = (1, 4, 5, 64, 1000)
"""The sizes of sets like dockerfw's static ones: networks beside and inside each other."""

SETS: Final[dict[Family, tuple[tuple[str, int], ...]]] = {
    4: (
        ("hosts4", 1),
        ("nets4", 1),
        ("ipport4", 2),
        ("netport4", 2),
        ("netif4", 2),
        *((f"many4-{size}", 1) for size in SIZES),
        ("ports", 1),
        ("list4", 1),
    ),
    6: (
        ("hosts6", 1),
        ("nets6", 1),
        ("ipport6", 2),
        ("netport6", 2),
        ("netif6", 2),
        *((f"many6-{size}", 1) for size in SIZES),
        ("ports", 1),
        ("list6", 1),
    ),
}
"""The ipsets that exist in every ruleset, and how many directions each takes."""

_CREATED: Final = """
create hosts4 hash:ip family inet
create nets4 hash:net family inet
create ipport4 hash:ip,port family inet
create netport4 hash:net,port family inet
create netif4 hash:net,iface family inet
create hosts6 hash:ip family inet6
create nets6 hash:net family inet6
create ipport6 hash:ip,port family inet6
create netport6 hash:net,port family inet6
create netif6 hash:net,iface family inet6
create ports bitmap:port range 0-65535
create list4 list:set
create dockerfw4-bridges hash:net,iface family inet
create dockerfw4-proxy hash:net,port family inet
create dockerfw6-bridges hash:net,iface family inet6
create dockerfw6-proxy hash:net,port family inet6
create list6 list:set
"""
_REFUSALS: Final[dict[Family, tuple[str, ...]]] = {
    4: (
        *("icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-port-unreachable"),
        *("icmp-net-prohibited", "icmp-host-prohibited", "icmp-admin-prohibited"),
    ),
    6: ("icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "icmp6-port-unreachable"),
}
_MARKINGS: Final = (
    *(
        ("--set-mark", "0x1"),
        ("--set-mark", "0x10"),
        ("--set-xmark", "0x10/0xf0"),
        ("--set-xmark", "0x11/0xff"),
    ),
    *(("--or-mark", "0x1"), ("--and-mark", "0xf0"), ("--xor-mark", "0x11")),
)
_OWN_CHAINS: Final = ("f2b-sshd", "custom", "ufw-before", "last.resort")
_LINE: Final = re.compile(r"-A (\S+) ?(.*)")


@dataclass(slots=True)
class _Text:
    """The tables of a save as lists into which rules can be inserted."""

    tables: dict[str, dict[str, list[str]]]
    policies: dict[tuple[str, str], str]

    def chain(self, table: str, name: str) -> list[str]:
        """Return the rules of a chain, each without `-A CHAIN`; create the chain if it is missing."""
        return self.tables.setdefault(table, {}).setdefault(name, [])

    def write(self) -> str:
        """Return a restore file."""
        return "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for table, chains in self.tables.items():
            yield f"*{table}\n"
            for chain in chains:
                yield f":{chain} {self.policies.get((table, chain), '-')} [0:0]\n"
            for chain, rules in chains.items():
                for rule in rules:
                    yield f"-A {chain} {rule}\n"
            yield "COMMIT\n"


def make_sets(dice: Dice) -> str:
    """Return the input for `ipset -exist restore`: every set with new members."""
    lines = [_CREATED.strip()]
    for family in FAMILIES:
        lines += [_create_many(family, size) for size in SIZES]
    names = re.findall(r"create (\S+)", "\n".join(lines))
    lines += [f"flush {name}" for name in names]
    for family in FAMILIES:
        lines += [f"add hosts{family} {each}" for each in dice.some(addresses(family), 6)]
        nets = [net for net in NETWORKS[family] if not net.endswith("/0")]
        lines += [f"add nets{family} {net}" for net in dice.some(nets, 3)]
        inner = "198.51.100.77" if family == 4 else "2001:db8:1::77"
        if dice.chance(0.5):
            lines.append(f"add nets{family} {inner} nomatch")
        for each in dice.some(addresses(family), 5):
            lines.append(f"add ipport{family} {each},{dice.one(('tcp', 'udp'))}:{dice.one(PORTS)}")
        for net in dice.some(nets, 3):
            lines.append(f"add netport{family} {net},{dice.one(('tcp', 'udp'))}:{dice.one(PORTS)}")
        for net in dice.some(nets, 4):
            lines.append(f"add netif{family} {net},{dice.one(('ens33', 'docker0', BRIDGE))}")
        halves = ("0.0.0.0/1", "128.0.0.0/1") if family == 4 else ("::/1", "8000::/1")
        for port in dice.some(PORTS, 6):
            lines += [
                f"add dockerfw{family}-proxy {half},{dice.one(('tcp', 'udp'))}:{port}" for half in halves
            ]
        for name in ("docker0", BRIDGE):
            lines.append(f"add dockerfw{family}-bridges {dice.one(nets)},{name}")
        for size in SIZES:
            lines += _add_many(dice, family, size)
        lines += [f"add list{family} {name}{family}" for name in dice.some(("hosts", "nets"), 2)]
    lines += [f"add ports {port}" for port in dice.some(PORTS, 5)]
    return "\n".join([*lines, ""])


def _create_many(family: Family, size: int) -> str:
    inet = "inet" if family == 4 else "inet6"
    return f"create many{family}-{size} hash:net family {inet} maxelem 4096 counters comment"


def _add_many(dice: Dice, family: Family, size: int) -> Iterator[str]:
    """Yield members around the addresses that packets come from and go to, many inside each other."""
    bases = [ipaddress.ip_address(each) for each in addresses(family)]
    found: set[str] = set()
    while len(found) < size:
        network = network_near(dice, bases)
        if str(network) not in found:
            found.add(str(network))
            ending = " nomatch" if dice.chance(0.1) else ""
            yield f'add many{family}-{size} {network}{ending} comment "r{len(found)} k3f9"'


def make_foreign(dice: Dice, family: Family, baseline: str) -> str:
    """Return a restore file of the engine's tables (as saved) with foreign rules between them, or none."""
    text = _read(baseline)
    for table in ("raw", "mangle", "nat", "filter"):
        # A table that is missing from the text would keep the rules of the previous ruleset.
        text.tables.setdefault(table, {})
    filters = text.tables.setdefault("filter", {})
    if family == 6 and "DOCKER-USER" not in filters and dice.chance(0.7):
        # This engine never jumps to it for IPv6; newer engines do.
        text.chain("filter", "DOCKER-USER").append("-j RETURN")
        text.chain("filter", "FORWARD").insert(0, "-j DOCKER-USER")
    for chain in ("INPUT", "FORWARD", "OUTPUT"):
        if chain != "OUTPUT" and dice.chance(0.25):
            text.policies["filter", chain] = dice.one(("ACCEPT", "DROP"))
    if dice.chance(0.75):
        # Without any, more packets reach the rules of the document.
        _Foreign(dice, family, text).insert()
    # Answers must get out, or the test cannot see how a packet was rejected.
    text.chain("filter", "OUTPUT").insert(0, "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    return text.write()


def _read(save: str) -> _Text:
    text = _Text({}, {})
    table = ""
    for line in save.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name, policy, _ = line[1:].split(" ")
            text.chain(table, name)
            if policy != "-":
                text.policies[table, name] = policy
        elif found := _LINE.fullmatch(line):
            text.chain(table, found[1]).append(found[2])
    return text


class _Foreign:
    """Foreign rules for one family."""

    def __init__(self, dice: Dice, family: Family, text: _Text) -> None:
        self.dice = dice
        self.family = family
        self.text = text

    def insert(self) -> None:
        """Insert the rules."""
        dice = self.dice
        own = dice.some(_OWN_CHAINS, len(_OWN_CHAINS)) if dice.chance(0.8) else []
        for index, name in enumerate(own):
            # A chain jumps to later chains only, so there are no loops.
            rules = self.text.chain("filter", name)
            rules += self._rules("filter", name, dice.number(0, 5), own[index + 1 :])
        for chain, most in (("INPUT", 6), ("FORWARD", 3), ("DOCKER-USER", 5), ("OUTPUT", 3)):
            if chain not in self.text.tables["filter"]:
                continue
            # The kernel refuses matches on the incoming interface in chains that OUTPUT can reach.
            for rule in self._rules("filter", chain, dice.number(0, most), [] if chain == "OUTPUT" else own):
                rules = self.text.chain("filter", chain)
                rules.insert(dice.number(0, len(rules)), rule)
        if dice.chance(0.6):
            self._dispatch()
        if dice.chance(0.4):
            self._other_table("raw", ("PREROUTING", "OUTPUT"))
        if dice.chance(0.5):
            self._other_table("mangle", ("PREROUTING", "INPUT", "FORWARD", "OUTPUT"))
        if dice.chance(0.5):
            self._other_table("nat", ("PREROUTING", "OUTPUT"))

    def _dispatch(self) -> None:
        """Add a tree of chains by protocol and port, entered by -g, of which some fall off their ends."""
        dice, filters = self.dice, self.text.tables["filter"]
        dialled, protocol = dice.chance(0.5), dice.one(("tcp", "tcp", "udp"))
        last = self.text.chain("filter", "tree-end")
        last += self._rules("filter", "tree-end", dice.number(0, 2), [])
        dials = "-m conntrack --ctorigdstport {}:{} --ctdir ORIGINAL"
        ranges = f"-p {protocol} {dials if dialled else f'-m {protocol} --dport {{}}:{{}}'}"
        root = self._node(ranges, (0, 65_535), dice.number(1, 3))
        for chain in ("INPUT", "FORWARD", "DOCKER-USER"):
            if chain in filters and dice.chance(0.6):
                place = dice.number(0, len(filters[chain]))
                filters[chain].insert(place, f"-p {protocol} {dice.one(('-j', '-g'))} {root}")

    def _node(self, ranges: str, ports: tuple[int, int], depth: int) -> str:
        """Add the chain for a range of ports, and return its name."""
        dice = self.dice
        name = f"tree-{len(self.text.tables['filter'])}"
        rules = self.text.chain("filter", name)
        rules += self._rules("filter", name, dice.number(0, 2) if depth else dice.number(1, 4), [])
        if depth:
            inside = [port for port in PORTS if ports[0] < port <= ports[1]]
            starts = [ports[0], *sorted(set(dice.some(inside, 3) if inside else []))]
            for first, after in zip(starts, [*starts[1:], ports[1] + 1], strict=True):
                inner = self._node(ranges, (first, after - 1), depth - 1)
                rules.append(
                    f"{ranges.format(first, after - 1)} {dice.one(('-g', '-g', '-g', '-j'))} {inner}"
                )
        rules += dice.one((["-g tree-end"], ["-g tree-end"], ["-g tree-end"], ["-j RETURN"], []))
        return name

    def _other_table(self, table: str, chains: tuple[str, ...]) -> None:
        dice = self.dice
        own = [f"{table}-own"] if dice.chance(0.5) else []
        for name in own:
            rules = self.text.chain(table, name)
            rules += self._rules(table, name, dice.number(1, 3), [])
        for chain in chains:
            rules = self.text.chain(table, chain)
            self.text.policies[table, chain] = "ACCEPT"
            for rule in self._rules(table, chain, dice.number(0, 2), [] if chain == "OUTPUT" else own):
                rules.insert(dice.number(0, len(rules)), rule)

    def _rules(self, table: str, chain: str, count: int, chains: list[str]) -> list[str]:
        return [self._rule(table, chain, chains) for _ in range(count)]

    def _rule(self, table: str, chain: str, chains: list[str]) -> str:
        dice, family = self.dice, self.family
        setting = Setting(
            family=family,
            table=table,
            has_in=chain != "OUTPUT",
            has_out=chain not in ("INPUT", "PREROUTING"),
            sets=SETS[family],
            before_routing=chain == "PREROUTING",
        )
        words: list[str] = []
        if dice.chance(0.75):
            names = ("tcp", "tcp", "tcp", "udp", "udp", "icmp" if family == 4 else "ipv6-icmp", "sctp", "47")
            name, negated = dice.one(names), dice.maybe_not(0.12)
            words += [*negated, "-p", name]
            if not negated:
                setting = replace(setting, protocol=name)
        modules: set[str] = set()
        for _ in range(dice.one((0, 1, 1, 1, 2, 2, 3))):
            matchers, weights = zip(*KNOWN, strict=True)
            matcher = outside if dice.chance(OUTSIDE_SHARE) else dice.random.choices(matchers, weights)[0]
            found = matcher(dice, setting)
            # iptables refuses the same option twice in a rule.
            key = (
                found[1]
                if found[:1] == ["-m"]
                else next((word for word in found if word in ("-s", "-d", "-i", "-o")), "")
            )
            if found and key not in modules:
                modules.add(key)
                words = words + found if found[0] == "-m" else found + words
        # A rule that decides about every packet leaves nothing to test.
        target = self._target(setting, chain, chains) if words or dice.chance(0.3) else []
        return " ".join([*words, *target])

    def _target(self, setting: Setting, chain: str, chains: list[str]) -> list[str]:
        dice = self.dice
        if chains and dice.chance(0.35):
            return [dice.one(("-j", "-j", "-g")), dice.one(chains)]
        if dice.chance(0.1):
            return dice.one(([], ["-j", "LOG", "--log-prefix", "foreign "], ["-j", "NFLOG"]))
        match setting.table:
            case "filter":
                return self._filter_target(setting)
            case "nat":
                return self._nat_target(setting, chain)
            case "mangle":
                if dice.chance(0.6):
                    return ["-j", "MARK", *dice.one(_MARKINGS)]
                return ["-j", dice.one(("ACCEPT", "DROP", "RETURN"))]
            case _:
                return (
                    ["-j", dice.one(("ACCEPT", "DROP", "RETURN"))]
                    if dice.chance(0.85)
                    else ["-j", "CT", "--notrack"]
                )

    def _filter_target(self, setting: Setting) -> list[str]:
        dice = self.dice
        name = dice.one(("ACCEPT", "DROP", "REJECT", "RETURN", "RETURN"))
        if name != "REJECT" or not (setting.has_in or setting.table == "filter"):
            return ["-j", name]
        if setting.protocol == "tcp" and dice.chance(0.5):
            return ["-j", "REJECT", "--reject-with", "tcp-reset"]
        if dice.chance(0.3):
            return ["-j", "REJECT"]
        return ["-j", "REJECT", "--reject-with", dice.one(_REFUSALS[self.family])]

    def _nat_target(self, setting: Setting, chain: str) -> list[str]:
        dice = self.dice
        if dice.chance(0.4):
            return ["-j", dice.one(("RETURN", "ACCEPT"))]
        ported = setting.protocol in ("tcp", "udp", "sctp")
        if dice.chance(0.3):
            ports = ["--to-ports", str(dice.one(PORTS))] if ported and dice.chance(0.7) else []
            return ["-j", "REDIRECT", *ports]
        to = dice.one(CONTAINER_ADDRESSES[self.family])
        if ported and dice.chance(0.7):
            to = f"[{to}]" if self.family == 6 else to
            to = f"{to}:{dice.one(PORTS)}"
        return ["-j", "DNAT", "--to-destination", to]


__all__ = ["BRIDGE", "SETS", "make_foreign", "make_sets"]
