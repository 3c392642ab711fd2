"""The spellings of option values: ports, marks, states, rates, ICMP types.

Each function takes the words of an option and returns the same words for all spellings of the same value, or
None if the option has no effect. Words that it does not recognise are returned unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dockerfw.iptables.icmp_types import ICMP_TYPES, ICMPV6_TYPES
from dockerfw.iptables.model import Family
from dockerfw.iptables.networks import canonical_address, canonical_network
from dockerfw.iptables.protocols import protocol_number

Words = tuple[str, ...]
Spelling = Callable[[Words, Family], Words | None]

_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")

# Names from /etc/services in hand-written files; iptables-save always prints the number.
_SERVICES = {
    "ftp": 21,
    "ssh": 22,
    "telnet": 23,
    "smtp": 25,
    "domain": 53,
    "http": 80,
    "pop3": 110,
    "ntp": 123,
    "imap2": 143,
    "snmp": 161,
    "ldap": 389,
    "https": 443,
    "submission": 587,
    "imaps": 993,
    "pop3s": 995,
}
_LOG_LEVELS = {
    "emerg": 0,
    "panic": 0,
    "alert": 1,
    "crit": 2,
    "err": 3,
    "error": 3,
    "warning": 4,
    "warn": 4,
    "notice": 5,
    "info": 6,
    "debug": 7,
}
_REJECT_WITH = {
    4: {
        "net-unreach": "icmp-net-unreachable",
        "host-unreach": "icmp-host-unreachable",
        "proto-unreach": "icmp-proto-unreachable",
        "port-unreach": "icmp-port-unreachable",
        "net-prohib": "icmp-net-prohibited",
        "host-prohib": "icmp-host-prohibited",
        "tcp-rst": "tcp-reset",
        "admin-prohib": "icmp-admin-prohibited",
    },
    6: {
        "no-route": "icmp6-no-route",
        "adm-prohibited": "icmp6-adm-prohibited",
        "addr-unreach": "icmp6-addr-unreachable",
        "port-unreach": "icmp6-port-unreachable",
        "policy-fail": "icmp6-policy-fail",
        "reject-route": "icmp6-reject-route",
    },
}
_RATE_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE_SCALE = 10000


def source_or_destination(words: Words, family: Family) -> Words | None:
    """The network of -s and -d; the network of all addresses has no effect."""
    network = _one(words, lambda text: canonical_network(text, family))
    return None if network in {("0.0.0.0/0",), ("::/0",)} else network


def network(words: Words, family: Family) -> Words:
    """A network, where even all addresses have an effect (the packet may have no such address)."""
    return _one(words, lambda text: canonical_network(text, family))


def address_range(words: Words, family: Family) -> Words:
    """address [ "-" address ]"""

    def spell(text: str) -> str:
        first, _, last = text.partition("-")
        return f"{canonical_address(first, family)}-{canonical_address(last or first, family)}"

    return _one(words, spell)


def protocol(words: Words, family: Family) -> Words | None:
    """The number of a protocol; 0 and `all` have no effect."""
    spelt = protocol_value(words, family)
    return None if spelt in {("0",), ("all",)} else spelt


def protocol_value(words: Words, family: Family) -> Words:
    """The number of any protocol."""

    def spell(text: str) -> str:
        number = protocol_number(text)
        return text.lower() if number is None else str(number)

    return _one(words, spell)


def interface(words: Words, family: Family) -> Words | None:
    """The name of an interface; `+`, every name, has no effect."""
    return None if words == ("+",) else words


def port_range(words: Words, family: Family) -> Words:
    """port | [ port ] ":" [ port ]"""
    return _one(words, _port_range)


def port_range_or_all(words: Words, family: Family) -> Words | None:
    """A range of ports for tcp, udp and similar; the range of all ports has no effect."""
    spelt = port_range(words, family)
    return None if spelt == ("0:65535",) else spelt


def port_list(words: Words, family: Family) -> Words:
    """The ports of multiport, sorted because their order does not matter."""

    def spell(text: str) -> str:
        ports = {_port_range(port) for port in text.split(",")}
        return ",".join(sorted(ports, key=_port_key))

    return _one(words, spell)


def number_range(words: Words, family: Family) -> Words:
    """number [ ":" [ number ] ], for lengths and times; open ranges stay open."""

    def spell(text: str) -> str:
        first, colon, last = text.partition(":")
        first, last = _decimal(first), _decimal(last)
        return first if not colon or first == last else f"{first}:{last}"

    return _one(words, spell)


def length_range(words: Words, family: Family) -> Words:
    """A range of lengths; an open end means 65535."""
    return number_range(tuple(f"{word}65535" if word.endswith(":") else word for word in words), family)


def word_set(words: Words, family: Family) -> Words:
    """Names between commas, in any order and case (connection states, address types)."""
    return _one(words, lambda text: ",".join(sorted({name.upper() for name in text.split(",")})))


def upper(words: Words, family: Family) -> Words:
    """A name in any case."""
    return _one(words, str.upper)


def lower(words: Words, family: Family) -> Words:
    """A name or an Ethernet address in any case."""
    return _one(words, str.lower)


def number(words: Words, family: Family) -> Words:
    """A number, decimal or hexadecimal."""
    return _one(words, _decimal)


def mark(words: Words, family: Family) -> Words:
    """value [ "/" mask ]; the default mask has all bits."""
    return _one(words, lambda text: _masked(text, 0xFFFFFFFF))


def mark_to_set(words: Words, family: Family) -> Words:
    """The value of --set-mark as --set-xmark prints it: the mask also has the bits of the value."""

    def spell(text: str) -> str:
        value, mask = _value_and_mask(text, 0xFFFFFFFF)
        return text if value is None or mask is None else f"{value:#x}/{value | mask:#x}"

    return _one(words, spell)


def type_of_service(words: Words, family: Family) -> Words:
    """value [ "/" mask ]; the default mask is 0xff."""
    return _one(words, lambda text: _masked(text, 0xFF))


def dscp_class(words: Words, family: Family) -> Words:
    """A class of differentiated services by name (RFC 2474, 2597, 3246): BE, EF, CS0-7, AF11-43."""

    def spell(text: str) -> str:
        name = text.upper()
        if re.fullmatch(r"CS[0-7]", name):
            return str(8 * int(name[2]))
        if re.fullmatch(r"AF[1-4][1-3]", name):
            return str(8 * int(name[2]) + 2 * int(name[3]))
        return {"BE": "0", "EF": "46"}.get(name, text)

    return _one(words, spell)


def packet_type(words: Words, family: Family) -> Words:
    """The packet type; `host` is another name of `unicast`."""
    return _one(words, lambda text: {"host": "unicast"}.get(text.lower(), text.lower()))


def tcp_flags(words: Words, family: Family) -> Words | None:
    """mask flags; each a list of flags, ALL or NONE."""
    if len(words) != 2:
        return words
    mask, flags = (_flag_list(word) for word in words)
    return None if mask == flags == "NONE" else (mask, flags)


def icmp_type(words: Words, family: Family) -> Words:
    """type [ "/" code ] | name; 255 is `any` in IPv4."""
    return _one(words, lambda text: _icmp_type(text, ICMP_TYPES))


def icmpv6_type(words: Words, family: Family) -> Words:
    """type [ "/" code ] | name"""
    return _one(words, lambda text: _icmp_type(text, ICMPV6_TYPES))


def rate(words: Words, family: Family) -> Words:
    """number "/" unit, in the shortest unit with the same time between packets, as the kernel stores it."""

    def spell(text: str) -> str:
        count, _, unit = text.partition("/")
        name = next((name for name in _RATE_UNITS if unit and name.startswith(unit.lower())), None)
        if not unit:
            name = "second"
        if name is None or not count.isascii() or not count.isdigit() or int(count[:9]) == 0:
            return text
        wanted = int(count[:9])
        between = _RATE_SCALE * _RATE_UNITS[name] // wanted
        return _rate_text(between) if between else f"{wanted}/{name}"

    return _one(words, spell)


def _rate_text(between: int) -> str:
    """Return the rate for a time between packets, in the shortest unit that gives it exactly."""
    ticks = ((name, _RATE_SCALE * seconds) for name, seconds in _RATE_UNITS.items())
    return next(
        f"{count}/{name}" for name, unit in ticks if (count := unit // between) and unit // count == between
    )


def comment(words: Words, family: Family) -> Words:
    """A comment; the kernel stores 255 bytes of it."""
    return _one(words, lambda text: _cut(text, 255))


def log_prefix(words: Words, family: Family) -> Words:
    """The prefix of LOG; the kernel stores 29 bytes of it."""
    return _one(words, lambda text: _cut(text, 29))


def log_level(words: Words, family: Family) -> Words | None:
    """The level of LOG by number or name; 4, warning, is the default."""
    spelt = _one(words, lambda text: str(_LOG_LEVELS.get(text.lower(), text)))
    return None if spelt == ("4",) else spelt


def reject_with(words: Words, family: Family) -> Words:
    """The answer of REJECT, by its long or short name."""
    return _one(words, lambda text: _REJECT_WITH[family].get(text, text))


def user_range(words: Words, family: Family) -> Words:
    """id [ "-" id ]; root is always 0, other names depend on the host."""

    def spell(text: str) -> str:
        first, _, last = text.partition("-")
        first = {"root": "0"}.get(first, first)
        return first if last in {"", first} else f"{first}-{last}"

    return _one(words, spell)


def probability(words: Words, family: Family) -> Words:
    """A fraction; the kernel stores 31 bits of it."""

    def spell(text: str) -> str:
        if not re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}", text):
            return text
        return f"{round(float(text) * 0x80000000) / 0x80000000:.11f}".rstrip("0").rstrip(".")

    return _one(words, spell)


def _one(words: Words, spell: Callable[[str], str]) -> Words:
    return (spell(words[0]),) if len(words) == 1 else words


def _port_range(text: str) -> str:
    first, colon, last = text.partition(":")
    if not colon:
        return _port(first)
    first, last = _port(first or "0"), _port(last or "65535")
    return first if first == last else f"{first}:{last}"


def _port(text: str) -> str:
    return str(_SERVICES[text]) if text in _SERVICES else _decimal(text)


def _port_key(text: str) -> tuple[int, str]:
    first = _integer(text.partition(":")[0])
    return (-1 if first is None else first, text)


def _decimal(text: str) -> str:
    value = _integer(text)
    return text if value is None else str(value)


def _integer(text: str) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    return int(text, 16) if text[:2].lower() == "0x" else int(text)


def _value_and_mask(text: str, default: int) -> tuple[int | None, int | None]:
    value, slash, mask = text.partition("/")
    return _integer(value), _integer(mask) if slash else default


def _masked(text: str, default: int) -> str:
    value, mask = _value_and_mask(text, default)
    return text if value is None or mask is None else f"{value:#x}/{mask:#x}"


def _flag_list(text: str) -> str:
    flags = set(text.upper().split(","))
    if flags == {"ALL"}:
        return ",".join(_TCP_FLAGS)
    known = [flag for flag in _TCP_FLAGS if flag in flags]
    return ",".join(known) if len(known) == len(flags) else text.upper()


def _icmp_type(text: str, names: dict[str, str]) -> str:
    spelt = names.get(text.lower(), text)
    kind, slash, code = spelt.partition("/")
    return f"{_decimal(kind)}{slash}{_decimal(code)}"


def _cut(text: str, size: int) -> str:
    return text.encode("utf-8", "surrogateescape")[:size].decode("utf-8", "surrogateescape")
