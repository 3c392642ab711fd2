"""The spellings of option values that are numbers: networks, ports, ranges, marks, rates, times.

Each function takes the words of an option and returns the same words for all spellings of the same value.
Words that it does not recognise are returned unchanged. Values that have names are in name_spellings.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dockerfw.iptables.model import Family
from dockerfw.iptables.networks import canonical_address, canonical_network
from dockerfw.iptables.numbers import decimal, integer
from dockerfw.iptables.protocols import protocol_number
from dockerfw.iptables.services import SERVICE_PORTS

Words = tuple[str, ...]
Spelling = Callable[[Words, Family], Words]

_DIGITS = re.compile(r"[0-9]{1,20}")
_RATE_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_NAMES_OF_UNITS = {seconds: name for name, seconds in _RATE_UNITS.items()}
_RATE_SCALE = 10000
HASH_RATE_SCALE = 1_000_000
"""The units of time in which the kernel stores the time between packets of a hashlimit (xt_hashlimit.c)."""
_BYTE_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20}
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2})(?:T([0-9]{1,2})(?::([0-9]{1,2})(?::([0-9]{1,2}))?)?)?)?)?"
)
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2}))?")
_BIT_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(?:([kmgt])(i)?)?(bit|bps)?")
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def plain(words: Words, family: Family) -> Words:
    """Return an option unchanged."""
    return words


def one(words: Words, spell: Callable[[str], str]) -> Words:
    """Spell the only word of an option; several words, or none, stay unchanged."""
    return (spell(words[0]),) if len(words) == 1 else words


def each(spelling: Spelling, *, ordered: bool = False) -> Spelling:
    """Return the spelling of a list between commas, sorted and without duplicates unless `ordered`."""

    def spell(words: Words, family: Family) -> Words:
        if len(words) != 1:
            return words
        spelt = [spelling((part,), family)[0] for part in words[0].split(",")]
        return (",".join(spelt if ordered else sorted(set(spelt), key=_number_key)),)

    return spell


def network(words: Words, family: Family) -> Words:
    """address [ "/" ( prefix | mask ) ]"""
    return one(words, lambda text: canonical_network(text, family))


def address(words: Words, family: Family) -> Words:
    """An address without a mask."""
    return one(words, lambda text: canonical_address(text, family))


def address_range(words: Words, family: Family) -> Words:
    """address [ "-" address ]"""

    def spell(text: str) -> str:
        first, _, last = text.partition("-")
        return f"{canonical_address(first, family)}-{canonical_address(last or first, family)}"

    return one(words, spell)


def nat_range(words: Words, family: Family) -> Words:
    """[ address [ "-" address ] ] [ ":" ports ]; in IPv6 the addresses are in brackets if ports follow."""

    def spell(text: str) -> str:
        if family == 6:
            bracketed = re.fullmatch(r"\[([^]]*)](?::(.*))?", text)
            addresses, ports = (bracketed[1], bracketed[2] or "") if bracketed else (text, "")
        else:
            addresses, _, ports = text.partition(":")
        first, last = (canonical_address(part, family) for part in f"{addresses}-".split("-")[:2])
        shown = first if last in {"", first} else f"{first}-{last}"
        if not ports:
            return shown
        return f"[{shown}]:{_nat_ports(ports)}" if family == 6 else f"{shown}:{_nat_ports(ports)}"

    return one(words, spell)


def nat_ports(words: Words, family: Family) -> Words:
    """port [ "-" port [ "/" port ] ]"""
    return one(words, _nat_ports)


def protocol(words: Words, family: Family) -> Words:
    """The number of a protocol, by name or number."""

    def spell(text: str) -> str:
        found = protocol_number(decimal(text))
        return {"all": "0"}.get(text.lower(), decimal(text).lower()) if found is None else str(found)

    return one(words, spell)


def port_range(words: Words, family: Family) -> Words:
    """port | [ port ] ":" [ port ]"""
    return one(words, lambda text: _port_range(text, decimal))


def decimal_port_range(words: Words, family: Family) -> Words:
    """A range of ports in which a leading 0 means nothing, as `-m conntrack` reads it."""
    return one(words, lambda text: _port_range(text, _without_zeros))


def port_list(words: Words, family: Family) -> Words:
    """The ports of multiport, sorted because their order does not matter."""
    return each(port_range)(words, family)


def range_to(highest: int, value: Callable[[str], str] | None = None) -> Spelling:
    """Return the spelling of `value [ ":" [ value ] ]`, where an open end means 0 or `highest`."""
    read = value or decimal

    def spell(text: str) -> str:
        first, colon, last = text.partition(":")
        first = read(first or "0")
        last = read(last or str(highest)) if colon else first
        return first if first == last else f"{first}:{last}"

    return lambda words, family: one(words, spell)


def queue_range(words: Words, family: Family) -> Words:
    """The range of NFQUEUE's queues; `:` is 0:65534, because their number has 16 bits."""
    return ("0:65534",) if words == (":",) else range_to(65535)(words, family)


def count_range(words: Words, family: Family) -> Words:
    """The range of connbytes: number [ ":" [ number ] ], where a missing end is no limit."""

    def spell(text: str) -> str:
        first, colon, last = text.partition(":")
        first, last = decimal(first or "0"), decimal(last)
        return first if not colon or last in {"", str(2**64 - 1)} else f"{first}:{last}"

    return one(words, spell)


def number(words: Words, family: Family) -> Words:
    """A number in the notations of C: decimal, hexadecimal after 0x, octal after 0."""
    return one(words, decimal)


def numbers(words: Words, family: Family) -> Words:
    """Text in which blanks mean nothing and each number may be octal or hexadecimal (u32, headers)."""

    def spell(text: str) -> str:
        return re.sub(r"[0-9]\w*", lambda found: decimal(found[0]), "".join(text.split()))

    return one(words, spell)


def class_id(words: Words, family: Family) -> Words:
    """major ":" minor, both hexadecimal with or without 0x."""

    def spell(text: str) -> str:
        found = re.fullmatch(r"(?:0[xX])?([0-9a-fA-F]{1,4}):(?:0[xX])?([0-9a-fA-F]{1,4})", text)
        return f"{int(found[1], 16):x}:{int(found[2], 16):x}" if found else text

    return one(words, spell)


def mark(words: Words, family: Family) -> Words:
    """value [ "/" mask ]; the default mask has all bits."""
    return one(words, lambda text: masked(text, 0xFFFFFFFF))


def mark_to_set(words: Words, family: Family) -> Words:
    """The value of --set-mark as --set-xmark prints it: the mask also has the bits of the value."""

    def spell(text: str) -> str:
        value, mask = _value_and_mask(text, 0xFFFFFFFF)
        return text if value is None or mask is None else f"{value:#x}/{value | mask:#x}"

    return one(words, spell)


def computed_bits(how: str, all_bits: int) -> Spelling:
    """Return the value/mask of `and`, `or` or `xor` with a number of up to `all_bits`."""

    def spell(text: str) -> str:
        value = integer(text)
        if value is None:
            return text
        shown = {"and": (0, ~value & all_bits), "or": (value, value), "xor": (value, 0)}[how]
        return f"{shown[0]:#x}/{shown[1]:#x}"

    return lambda words, family: one(words, spell)


def rate(words: Words, family: Family) -> Words:
    """number "/" unit, in the shortest unit with the same time between packets, as the kernel stores it."""
    return one(words, lambda text: _rate(text, _RATE_SCALE))


def hash_rate(words: Words, family: Family) -> Words:
    """The rate of hashlimit, which the kernel stores with more digits, or in units of 16 bytes (`4kb/s`)."""

    def spell(text: str) -> str:
        size = _byte_count(text.partition("/")[0])
        return _rate(text, HASH_RATE_SCALE) if size is None else f"{_bytes_text(size // 16 * 16)}/s"

    return one(words, spell)


def _rate(text: str, scale: int) -> str:
    count, _, _ = text.partition("/")
    seconds = seconds_of_rate(text)
    if seconds is None or not count.isascii() or not count.isdigit() or int(count[:9]) == 0:
        return text
    wanted = int(count[:9])
    between = scale * seconds // wanted
    return _rate_text(between, scale) if between else f"{wanted}/{_NAMES_OF_UNITS[seconds]}"


def seconds_of_rate(text: str) -> int | None:
    """Return the seconds of the unit of a rate, by its name or the beginning of it; without one a second."""
    _, _, unit = text.partition("/")
    if not unit:
        return 1
    name = next((name for name in _RATE_UNITS if name.startswith(unit.lower())), None)
    return None if name is None else _RATE_UNITS[name]


def burst(words: Words, family: Family) -> Words:
    """A number of packets, or of bytes with the unit b, kb or mb."""

    def spell(text: str) -> str:
        size = _byte_count(text)
        return decimal(text) if size is None else _bytes_text(size)

    return one(words, spell)


def bit_rate(words: Words, family: Family) -> Words:
    """A number of bits or bytes (`bps`) a second with an SI or IEC prefix, as rounded by iptables-save."""

    def spell(text: str) -> str:
        found = _BIT_RATE.fullmatch(text.lower())
        if found is None:
            return text
        amount = float(found[1]) * (1024 if found[3] else 1000) ** " kmgt".index(found[2] or " ")
        bits = int(amount) * 8 if found[4] == "bps" else int(amount) // 8 * 8
        scale = next((scale for scale in (10**6, 10**3) if bits >= 1000 * scale), 1)
        return f"{round(bits / scale) * scale}bit"

    return one(words, spell)


def clock_time(words: Words, family: Family) -> Words:
    """hour ":" minute [ ":" second ]"""

    def spell(text: str) -> str:
        found = _CLOCK.fullmatch(text)
        return ":".join(f"{int(part or 0):02}" for part in found.groups()) if found else text

    return one(words, spell)


def date_time(words: Words, family: Family) -> Words:
    """year [ "-" month [ "-" day [ "T" hour [ ":" minute [ ":" second ] ] ] ] ]"""

    def spell(text: str) -> str:
        found = _DATE.fullmatch(text)
        if found is None:
            return text
        year, month, day, *clock = (int(part or 0) for part in found.groups())
        return f"{year}-{month or 1:02}-{day or 1:02}T" + ":".join(f"{part:02}" for part in clock)

    return one(words, spell)


def duration(words: Words, family: Family) -> Words:
    """A number of seconds, with or without the unit s, ms or us."""

    def spell(text: str) -> str:
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|ms|us)?", text)
        return f"{round(float(found[1]) * _SECONDS[found[2] or 's'] * 1e6)}us" if found else text

    return one(words, spell)


def probability(words: Words, family: Family) -> Words:
    """A fraction; the kernel stores 31 bits of it."""

    def spell(text: str) -> str:
        if not re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}", text):
            return text
        return f"{round(float(text) * 0x80000000) / 0x80000000:.11f}".rstrip("0").rstrip(".")

    return one(words, spell)


def ethernet_address(words: Words, family: Family) -> Words:
    """Six bytes in hexadecimal between colons."""

    def spell(text: str) -> str:
        parts = text.lower().split(":")
        if len(parts) != 6 or not all(re.fullmatch("[0-9a-f]{1,2}", part) for part in parts):
            return text
        return ":".join(part.zfill(2) for part in parts)

    return one(words, spell)


def masked(text: str, default: int) -> str:
    """Return `value "/" mask` in hexadecimal, with `default` for a missing mask."""
    value, mask = _value_and_mask(text, default)
    return text if value is None or mask is None else f"{value:#x}/{mask:#x}"


def _value_and_mask(text: str, default: int) -> tuple[int | None, int | None]:
    value, slash, mask = text.partition("/")
    return integer(value), integer(mask) if slash else default


def _rate_text(between: int, scale: int) -> str:
    """Return the rate for a time between packets, in the shortest unit that gives it exactly."""
    ticks = ((name, scale * seconds) for name, seconds in _RATE_UNITS.items())
    return next(
        f"{count}/{name}" for name, unit in ticks if (count := unit // between) and unit // count == between
    )


def _byte_count(text: str) -> int | None:
    """number ( "b" | "kb" | "mb" )"""
    found = re.fullmatch(r"([0-9]{1,15})(b|kb|mb)", text)
    return int(found[1]) * _BYTE_UNITS[found[2]] if found else None


def _bytes_text(count: int) -> str:
    unit = next(
        unit for unit in ("mb", "kb", "b") if count % _BYTE_UNITS[unit] == 0 and (count or unit == "b")
    )
    return f"{count // _BYTE_UNITS[unit]}{unit}"


def _port_range(text: str, read: Callable[[str], str]) -> str:
    first, colon, last = text.partition(":")
    if not colon:
        return _port(first, read)
    first, last = _port(first or "0", read), _port(last or "65535", read)
    return first if first == last else f"{first}:{last}"


def _port(text: str, read: Callable[[str], str]) -> str:
    return str(SERVICE_PORTS[text]) if text in SERVICE_PORTS else read(text)


def _nat_ports(text: str) -> str:
    if text in SERVICE_PORTS:
        return str(SERVICE_PORTS[text])
    ports, slash, base = text.partition("/")
    first, _, last = (_port(part, decimal) for part in ports.partition("-"))
    shown = first if last in {"", first} else f"{first}-{last}"
    return f"{shown}{slash}{_port(base, decimal)}"


def _without_zeros(text: str) -> str:
    return str(int(text)) if _DIGITS.fullmatch(text) else text


def _number_key(text: str) -> tuple[int, str]:
    first = integer(text.partition(":")[0])
    return (-1 if first is None else first, text)
