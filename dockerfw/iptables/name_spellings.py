"""The spellings of option values that have names: ICMP types, levels, classes, header and day names, texts.

As in spellings.py, words that a function does not recognise are returned unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from dockerfw.iptables.icmp_types import ICMP_TYPES, ICMPV6_TYPES
from dockerfw.iptables.model import Family
from dockerfw.iptables.numbers import decimal, integer
from dockerfw.iptables.spellings import Spelling, Words, each, masked, one, protocol, range_to

Value = TypeVar("Value", str, int)

_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
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
        "icmp-net-unreachable": "net-unreach",
        "icmp-host-unreachable": "host-unreach",
        "icmp-proto-unreachable": "proto-unreach",
        "icmp-port-unreachable": "port-unreach",
        "icmp-net-prohibited": "net-prohib",
        "icmp-host-prohibited": "host-prohib",
        "tcp-reset": "tcp-rst",
        "icmp-admin-prohibited": "admin-prohib",
    },
    6: {
        "icmp6-no-route": "no-route",
        "icmp6-adm-prohibited": "adm-prohibited",
        "icmp6-addr-unreachable": "addr-unreach",
        "icmp6-port-unreachable": "port-unreach",
        "tcp-reset": "tcp-reset",
        "icmp6-policy-fail": "policy-fail",
        "icmp6-reject-route": "reject-route",
    },
}
_TYPES_OF_SERVICE = {
    "minimize-delay": 0x10,
    "maximize-throughput": 0x08,
    "maximize-reliability": 0x04,
    "minimize-cost": 0x02,
    "normal-service": 0x00,
}
_MOBILITY_HEADERS = {
    "binding-refresh-request": 0,
    "home-test-init": 1,
    "careof-test-init": 2,
    "home-test": 3,
    "careof-test": 4,
    "binding-update": 5,
    "binding-acknowledgement": 6,
    "binding-error": 7,
    "brr": 0,
    "hoti": 1,
    "coti": 2,
    "hot": 3,
    "cot": 4,
    "bu": 5,
    "ba": 6,
    "be": 7,
}
_HEADERS = {
    "hop": 0,
    "hop-by-hop": 0,
    "dst": 60,
    "route": 43,
    "frag": 44,
    "auth": 51,
    "none": 59,
    "prot": 255,
    "protocol": 255,
}
_TCP_OPTIONS = {"mss": 2, "wscale": 3, "sack-permitted": 4, "sack": 5, "timestamp": 8, "md5": 19}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def word_set(words: Words, family: Family) -> Words:
    """Names between commas, in any order and case (connection states, address types)."""
    return each(upper)(words, family)


def upper(words: Words, family: Family) -> Words:
    """A name in any case."""
    return one(words, str.upper)


def lower(words: Words, family: Family) -> Words:
    """A name in any case, in lower case."""
    return one(words, str.lower)


def type_of_service(words: Words, family: Family) -> Words:
    """value [ "/" mask ] | name; the default mask is 0xff, that of a name 0x3f."""

    def spell(text: str) -> str:
        named = _TYPES_OF_SERVICE.get(text.lower())
        return masked(text, 0xFF) if named is None else f"{named:#x}/0x3f"

    return one(words, spell)


def dscp_class(words: Words, family: Family) -> Words:
    """A class of differentiated services by name (RFC 2474, 2597, 3246): BE, EF, CS0-7, AF11-43."""

    def spell(text: str) -> str:
        name = text.upper()
        if re.fullmatch(r"CS[0-7]", name):
            return str(8 * int(name[2]))
        if re.fullmatch(r"AF[1-4][1-3]", name):
            return str(8 * int(name[2]) + 2 * int(name[3]))
        return {"BE": "0", "EF": "46"}.get(name, text)

    return one(words, spell)


def packet_type(words: Words, family: Family) -> Words:
    """The packet type by any of its names."""
    names = {"host": "unicast", "bcast": "broadcast", "mcast": "multicast"}
    return one(words, lambda text: names.get(text.lower(), text.lower()))


def tcp_flags(words: Words, family: Family) -> Words:
    """mask flags; each a list of flags, ALL or NONE."""
    return words if len(words) != 2 else (_flag_list(words[0]), _flag_list(words[1]))


def chunk_types(words: Words, family: Family) -> Words:
    """("all" | "any" | "only") type [ ":" flags ] { "," type [ ":" flags ] }; the case of flags counts."""
    if len(words) != 2:
        return words
    chunks = (chunk.partition(":") for chunk in words[1].split(","))
    return words[0].lower(), ",".join(sorted({"".join((name.upper(), *flags)) for name, *flags in chunks}))


def icmp_type(words: Words, family: Family) -> Words:
    """type [ "/" code ] | name; type 255 is `any`, whatever the code."""
    spelt = one(words, lambda text: _icmp_type(text, ICMP_TYPES))
    return ("255",) if len(spelt) == 1 and spelt[0].startswith("255/") else spelt


def icmpv6_type(words: Words, family: Family) -> Words:
    """type [ "/" code ] | name"""
    return one(words, lambda text: _icmp_type(text, ICMPV6_TYPES))


def mobility_header(words: Words, family: Family) -> Words:
    """type [ ":" type ], each a name or a number."""
    return range_to(255, _by_name(_MOBILITY_HEADERS))(words, family)


def extension_headers(words: Words, family: Family) -> Words:
    """The names or numbers of IPv6 headers between commas."""
    read = _by_name(_HEADERS)
    return each(lambda parts, _: protocol((read(parts[0]),), 6))(words, family)


def tcp_options(words: Words, family: Family) -> Words:
    """The names or numbers of TCP options between commas."""
    read = _by_name(_TCP_OPTIONS)
    return each(lambda parts, _: (read(parts[0]),))(words, family)


def weekdays(words: Words, family: Family) -> Words:
    """Days between commas: a number from 1, Monday, to 7, or a name of which two letters are enough."""

    def spell(parts: Words, _: Family) -> Words:
        number = integer(parts[0])
        if number is not None:
            return (DAYS[number - 1],) if 1 <= number <= 7 else parts
        return (next((day for day in DAYS if parts[0][:2] == day[:2]), parts[0]),)

    return each(spell)(words, family)


def log_level(words: Words, family: Family) -> Words:
    """The level of LOG by number or name."""
    return one(words, lambda text: str(_LOG_LEVELS.get(text.lower(), decimal(text))))


def reject_with(words: Words, family: Family) -> Words:
    """The answer of REJECT, by its long or short name or the beginning of one."""

    def spell(text: str) -> str:
        wanted = text.lower()
        answers = _REJECT_WITH[family].items()
        return next((answer for answer, short in answers if _begins(wanted, answer, short)), text)

    return one(words, spell)


def user_range(words: Words, family: Family) -> Words:
    """id [ "-" id ]; root is always 0, other names depend on the host."""

    def spell(text: str) -> str:
        first, _, last = ({"root": "0"}.get(part, decimal(part)) for part in text.partition("-"))
        return first if last in {"", first} else f"{first}-{last}"

    return one(words, spell)


def local_node(words: Words, family: Family) -> Words:
    """The number of a cluster's node, as the mask with its bit."""
    node = integer(words[0]) if len(words) == 1 else None
    return words if node is None or not 1 <= node <= 32 else (str(1 << (node - 1)),)


def searched_text(name: str, words: Words) -> tuple[str, Words]:
    """Return the name and value of `-m string`: --string if the text has no control characters.

    The value of --hex-string is bytes in hexadecimal between bars, and all others as they are.
    """
    parts = words[0].split("|") if name == "--hex-string" and len(words) == 1 else []
    try:
        found = [bytes.fromhex(part) if index % 2 else _bytes(part) for index, part in enumerate(parts)]
    except ValueError:
        return name, words
    text = _text(b"".join(found))
    if len(parts) % 2 == 0:
        return name, words
    if any(character < " " or character == "\x7f" for character in text):
        return name, (f"|{_bytes(text).hex()}|",)
    return "--string", (text,)


def text_up_to(size: int) -> Spelling:
    """Return the spelling of a text of which the kernel stores `size` bytes."""
    return lambda words, family: one(words, lambda text: _text(_bytes(text)[:size]))


def _icmp_type(text: str, names: Mapping[str, str]) -> str:
    """type [ "/" code [ ":" code ] ] | name | the beginning of one name"""
    kind, slash, codes = _named(text, names).partition("/")
    first, colon, last = (decimal(code) for code in codes.partition(":"))
    if (first, last) == ("0", "255"):
        return decimal(kind)
    return f"{decimal(kind)}{slash}{first if first == last else f'{first}{colon}{last}'}"


def _by_name(names: Mapping[str, int]) -> Callable[[str], str]:
    return lambda text: decimal(str(_named(text, names)))


def _named(text: str, names: Mapping[str, Value]) -> Value | str:
    """Return the value of a name, or of the only name that begins with the text, or the text itself."""
    name = text.lower()
    values = [names[name]] if name in names else [names[known] for known in names if known.startswith(name)]
    return values[0] if len(values) == 1 and name else text


def _begins(text: str, *names: str) -> bool:
    return any(name.startswith(text) for name in names)


def _flag_list(text: str) -> str:
    flags = set(text.upper().split(","))
    if flags == {"ALL"}:
        return ",".join(_TCP_FLAGS)
    known = [flag for flag in _TCP_FLAGS if flag in flags]
    return ",".join(known) if len(known) == len(flags) else text.upper()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
