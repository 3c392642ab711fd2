"""Packets, verdicts and exposure in words for people. Nothing reads these words back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final

from dockerfw.document.words import counted
from dockerfw.iptables.protocols import ICMP, IPV6_ICMP, protocol_name
from dockerfw.iptables.tokens import printable
from dockerfw.reach.exposure import WORLD, Access, ExposureRow, Level
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.packet import Address, Packet
from dockerfw.simulation.trace import Trace, TraceStep, Verdict

FEW: Final = 3
LEVEL_WORDS: Final[dict[Level, str]] = {
    "anywhere": "anywhere",
    "unknown": "cannot tell",
    "networks": "some networks",
    "nobody": "nobody",
}


def describe_packet(packet: Packet) -> str:
    """Return a packet in one line: `tcp from 203.0.113.5 to 192.0.2.10 port 22, in by ens33`."""
    what = protocol_name(packet.protocol)
    if packet.protocol in (ICMP, IPV6_ICMP) and packet.icmp_type is not None:
        code = f"/{packet.icmp_code}" if packet.icmp_code else ""
        what += f" type {packet.icmp_type}{code}"
    source = f"{packet.source}{_port(packet.source_port)}"
    way = f"in by {packet.in_interface}" if packet.in_interface else "sent by the host itself"
    return f"{what} from {source} to {packet.destination}{_port(packet.destination_port)}, {way}"


def describe_verdict(verdict: Verdict) -> str:
    """Return what becomes of a packet as a sentence."""
    if verdict.kind == "ACCEPT":
        return "It passes."
    if verdict.kind == "DROP":
        return "It is dropped, without an answer."
    if verdict.kind == "REJECT":
        return f"It is rejected{f' with {verdict.reject_with}' if verdict.reject_with else ''}."
    return "Cannot tell."


def describe_place(step: TraceStep) -> str:
    """Return where a step stands: `rule 3 of filter INPUT`, `the policy of filter INPUT`."""
    chain = f"{step.table} {step.chain}".strip()
    return f"rule {step.number} of {chain}" if step.number else f"the policy of {chain}"


def describe_path(trace: Trace) -> str:
    """Say where DNAT sends a packet and by which interface it leaves; nothing when neither happens."""
    packet = trace.packet
    said = []
    if (trace.destination, trace.destination_port) != (packet.destination, packet.destination_port):
        said.append(f"goes on to {place(trace.destination, trace.destination_port)}")
    if trace.out_interface:
        said.append(f"leaves by {trace.out_interface}")
    return f"It {' and '.join(said)}." if said else ""


def place(address: Address | None, port: int | None) -> str:
    """Return an address with its port: `172.17.0.2:80`, `[2001:db8::2]:80`."""
    if address is None:
        return "an address that is not known"
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def describe_networks(addresses: AddressSet, most: int = FEW) -> str:
    """Return the networks of a set: `192.0.2.0/24, 198.51.100.7 and 5 more`; `nobody` for none."""
    shown = [_network(each) for each in islice(addresses.networks(), most + 1)]
    if not shown:
        return "nobody"
    if len(shown) <= most:
        return ", ".join(shown)
    more = sum(1 for _ in islice(addresses.networks(), 1000)) - most
    return f"{', '.join(shown[:most])} and {f'{more}' if more < 1000 - most else 'many'} more"


def describe_access(who: Access, most: int = FEW) -> str:
    """Return who gets in: `anywhere`, `anywhere but 203.0.113.9`, `192.0.2.0/24`, `nobody`, `cannot tell`."""
    if who.level == "anywhere":
        out = who.refused.union(who.unknown).intersection(WORLD[who.family])
        return f"anywhere but {describe_networks(out, most)}" if out else "anywhere"
    if who.level == "networks":
        return describe_networks(who.passes, most)
    if who.level == "unknown" and who.passes:
        return f"{describe_networks(who.passes, most)}; of others nobody can tell"
    return LEVEL_WORDS[who.level]


def unknown_reasons(who: Access) -> tuple[str, ...]:
    """Return why nobody can tell, each reason once."""
    found = [
        printable(verdict.reason) for _, verdict in who.parts if verdict.kind == "UNKNOWN" and verdict.reason
    ]
    return tuple(dict.fromkeys(found))


def describe_exposure(rows: Iterable[ExposureRow]) -> str:
    """Return the counts as a sentence: `3 ports are reachable from anywhere, 2 from some networks.`"""
    levels = Counter(row.level for row in rows)
    if not levels:
        return "Nothing listens and nothing is published."
    wide, some, unknown = levels["anywhere"], levels["networks"], levels["unknown"]
    if not wide and not some and not unknown:
        return "No port is reachable from outside."
    parts = [f"{counted(wide, 'port')} {_are(wide)} reachable from anywhere" if wide else ""]
    parts.append(_more(some, "from some networks", first=not wide))
    if not wide and not some:
        parts = ["No port is known to be reachable from outside"]
    sentence = ", ".join(part for part in parts if part)
    return f"{sentence}{f'; of {unknown} nobody can tell' if unknown else ''}."


def _more(number: int, where: str, *, first: bool) -> str:
    if not number:
        return ""
    return f"{counted(number, 'port')} {_are(number)} reachable {where}" if first else f"{number} {where}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _port(port: int | None) -> str:
    return "" if port is None else f" port {port}"


def _network(network: object) -> str:
    text = str(network)
    return text.removesuffix("/128" if ":" in text else "/32")
