"""The fields of a document: source, protocol, port, interface, comment and rule id.

Each function reads a value from JSON or a form, records errors and notes under its path in `Problems`, and
returns the canonical value, or None on an error.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dockerfw.document import sentences
from dockerfw.iptables.errors import FieldError
from dockerfw.iptables.protocols import PROTOCOL_NAMES, protocol_name, protocol_number

MAX_COMMENT: Final = 200
MAX_PORTS: Final = 100
MAX_INTERFACES: Final = 32
_MAX_INTERFACE_NAME: Final = 15

_ID = re.compile(r"[a-z0-9]{4,12}", re.ASCII)
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]*\+?", re.ASCII)
_PLAIN_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_PORT = re.compile(r"([0-9]{1,20})(?:\s*[-:]\s*([0-9]{1,20}))?", re.ASCII)
_MAX_SEVERAL: Final = 2000
_SEVERAL = re.compile(r"[\s,;]+", re.ASCII)
_CANONICAL_PROTOCOLS: Final = frozenset({"any", *PROTOCOL_NAMES.values()})
_PART = "(0|[1-9][0-9]{0,2})"
_PLAIN_IPV4 = re.compile(rf"{_PART}\.{_PART}\.{_PART}\.{_PART}(?:/(0|[1-9][0-9]?))?", re.ASCII)
_PREFIX = re.compile(r"[0-9]{1,3}", re.ASCII)
# Explicit embeddings, overrides and isolates can make a comment look like another one (CVE-2021-42574). The
# plain direction marks that right-to-left languages need are allowed.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Note:
    """A value that was accepted in another form than it was written; `path` names the field."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(slots=True)
class Problems:
    """The errors and notes of one validation."""

    errors: list[FieldError] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def error(self, path: str, message: str) -> None:
        """Record that the value at `path` is not valid."""
        self.errors.append(FieldError(path, message))

    def note(self, path: str, message: str) -> None:
        """Record that the value at `path` was accepted in another form."""
        self.notes.append(Note(path, message))


def join(path: str, key: str) -> str:
    """Return the path of `key` inside the object at `path`."""
    return f"{path}.{key}" if path else key


def shown(value: object) -> str:
    """Return a value as an error message quotes it: short, on one line, in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and value.bit_length() > 128:
        return "that number"
    text = value if isinstance(value, str) else str(value)
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:61])
    text = text if len(text) <= 60 else text[:60] + "..."
    return text if text.strip() else f'"{text}"'


def suggestion(word: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean X?` if an allowed word is close to the given one, else an empty text."""
    close = difflib.get_close_matches(word[:60].lower(), list(allowed), n=1, cutoff=0.6)
    return sentences.did_you_mean(close[0]) if close else ""


def check_keys(
    value: Mapping[object, object],
    allowed: tuple[str, ...],
    path: str,
    problems: Problems,
    *,
    newer: tuple[str, ...] = (),
) -> None:
    """Record an error for each key of an object that is not one of the allowed ones.

    `newer` are keys that only the newest format has.
    """
    for key in value:
        if key in newer:
            problems.error(join(path, str(key)), sentences.NEWER_KEY)
        elif key not in allowed:
            text = shown(key)
            hint = suggestion(text, allowed)
            problems.error(join(path, text), sentences.unknown_key(allowed, hint))


def without_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of an object whose values are not their defaults."""
    return {key: value for key, value in values.items() if key not in defaults or value != defaults[key]}


def read_choice(value: object, allowed: tuple[str, ...], path: str, problems: Problems) -> str | None:
    """Read one of the allowed words."""
    if isinstance(value, str) and value in allowed:
        return value
    problems.error(path, sentences.not_one_of(shown(value), allowed))
    return None


def read_boolean(value: object, path: str, problems: Problems) -> bool | None:
    """Read `true` or `false`."""
    if isinstance(value, bool):
        return value
    problems.error(path, sentences.not_a_boolean(shown(value)))
    return None


def read_rule_id(value: object, path: str, problems: Problems) -> str | None:
    """Read an id: 4 to 12 lower-case letters and digits."""
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    problems.error(path, sentences.not_an_id(shown(value)))
    return None


def read_comment(value: object, path: str, problems: Problems) -> str | None:
    """Read a comment: one line of text, at most 200 characters; outer blanks are dropped."""
    if not isinstance(value, str):
        problems.error(path, sentences.not_text(shown(value)))
        return None
    # Printable ASCII has none of the characters that are not allowed.
    for position, char in enumerate("" if value.isascii() and value.isprintable() else value, start=1):
        if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _BIDI_CONTROLS:
            name = unicodedata.name(char, "") or "a control character"
            problems.error(path, sentences.character_not_allowed(position, ord(char), name.lower()))
            return None
    text = value.strip()
    if len(text) > MAX_COMMENT:
        problems.error(path, sentences.text_too_long(len(text), MAX_COMMENT))
        return None
    return text


def read_interface(value: object, path: str, problems: Problems) -> str | None:
    """Read an interface: letter, digit or _, then also . : @ -, at most 15 in all; eth+ is a prefix."""
    if not isinstance(value, str):
        problems.error(path, sentences.not_an_interface(shown(value)))
        return None
    name = value.strip()
    if len(name) > _MAX_INTERFACE_NAME:
        problems.error(path, sentences.interface_too_long(shown(name), _MAX_INTERFACE_NAME))
        return None
    if not _INTERFACE.fullmatch(name):
        problems.error(path, sentences.not_an_interface(shown(name)))
        return None
    return name


def interface_covers(wide: str, name: str) -> bool:
    """Return True if every interface that `name` can mean is one that `wide` means."""
    return wide == name or (wide.endswith("+") and name.startswith(wide[:-1]))


def interfaces_overlap(one: str, other: str) -> bool:
    """Return True if both names can mean the same interface; `+` at the end matches any rest."""
    if one.endswith("+") and other.endswith("+"):
        return one[:-1].startswith(other[:-1]) or other[:-1].startswith(one[:-1])
    if one.endswith("+"):
        return other.startswith(one[:-1])
    if other.endswith("+"):
        return one.startswith(other[:-1])
    return one == other


def read_source(value: object, path: str, problems: Problems) -> str | None:
    """Read `any`, an IPv4 or IPv6 address, or a network; canonical is `any` or network/prefix."""
    if isinstance(value, str) and (plain := _plain_network(value)):
        return plain
    # To count them takes as long as to read one.
    several = count_addresses(value) if not isinstance(value, str) or _SEVERAL.search(value) else 1
    if several > 1:
        problems.error(path, sentences.several_sources(several))
        return None
    if not isinstance(value, str):
        problems.error(path, sentences.not_an_address(shown(value)))
        return None
    text = value.strip()
    if text.lower() == "any":
        return "any"
    address_text, slash, prefix = text.partition("/")
    try:
        address = ipaddress.ip_address(address_text)
    except ValueError:
        problems.error(path, sentences.not_an_address(shown(value)))
        return None
    problem = _address_problem(address, prefix if slash else None)
    if problem:
        problems.error(path, sentences.bad_address(shown(value), problem))
        return None
    if not slash:
        return f"{address}/{address.max_prefixlen}"
    network = ipaddress.ip_network((address, int(prefix)), strict=False)
    if network.network_address != address:
        problems.note(path, sentences.has_host_bits(text, str(network)))
    return str(network)


def _plain_network(text: str) -> str:
    """Return an IPv4 address or network as it is mostly written; empty for any other text.

    Of 100,000 sources nearly all are read here, many times as fast as with ipaddress.
    """
    found = _PLAIN_IPV4.fullmatch(text)
    if found is None:
        return ""
    first, second, third, fourth, prefix = found.groups()
    parts, length = (int(first), int(second), int(third), int(fourth)), int(prefix or 32)
    number = (parts[0] << 24) + (parts[1] << 16) + (parts[2] << 8) + parts[3]
    if max(parts) > 255 or length > 32 or number & (0xFFFFFFFF >> length):
        return ""
    return text if found[5] else f"{text}/32"


def count_addresses(value: object) -> int:
    """Return how many addresses and networks a list, or a text with blanks, commas or semicolons, has."""
    parts = value if isinstance(value, list | tuple) else _SEVERAL.split(str(value)[:_MAX_SEVERAL])
    return sum(1 for part in parts[:_MAX_SEVERAL] if isinstance(part, str) and _is_address(part))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_interface(text.strip())
    except ValueError:
        return False
    return True


def _address_problem(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: str | None
) -> str | None:
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return sentences.HAS_ZONE
        if address.ipv4_mapped is not None:
            return sentences.ipv4_in_ipv6(str(address.ipv4_mapped))
    if prefix is None or (_PREFIX.fullmatch(prefix) and int(prefix) <= address.max_prefixlen):
        return None
    if "." in prefix:
        return sentences.HAS_NETMASK
    return sentences.bad_prefix(address.max_prefixlen)


def read_protocol(value: object, path: str, problems: Problems) -> str | None:
    """Read `any`, a name, or a number from 1 to 255; canonical is the name if dockerfw knows one."""
    if isinstance(value, str) and value in _CANONICAL_PROTOCOLS:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if value.bit_length() < 64 else "that number"
    if not isinstance(value, str):
        problems.error(path, sentences.not_a_protocol(shown(value), ""))
        return None
    text = value.strip().lower()
    if text in ("any", "all"):
        return "any"
    if text in ("0", "ip", "hopopt"):
        problems.error(path, sentences.means_every_protocol(shown(value)))
        return None
    number = protocol_number(text)
    if number is None:
        hint = suggestion(text, ("any", "tcp", "udp", "icmp", "sctp", "dccp", "gre", "esp"))
        problems.error(path, sentences.not_a_protocol(shown(value), hint))
        return None
    return protocol_name(number)


def read_port(value: object, path: str, problems: Problems) -> str | None:
    """Read a port (1 to 65535) or a range (`8000-8010` or `8000:8010`); canonical has a dash."""
    if isinstance(value, str) and _PLAIN_PORT.fullmatch(value) and int(value) <= 65535:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if value.bit_length() < 64 else "that number"
    if not isinstance(value, str):
        problems.error(path, sentences.not_a_port_or_range(shown(value)))
        return None
    match = _PORT.fullmatch(value.strip())
    if match is None:
        problems.error(path, sentences.not_a_port_or_range(shown(value)))
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    for number in (first, last):
        if not 1 <= number <= 65535:
            problems.error(path, sentences.not_a_port(str(number)))
            return None
    if first > last:
        problems.error(path, sentences.reversed_range(first, last))
        return None
    return port_text(first, last)


def port_text(first: int, last: int) -> str:
    """Return a canonical port or range: `22`, `8000-8010`."""
    return str(first) if first == last else f"{first}-{last}"


def port_range(text: str) -> tuple[int, int]:
    """Return the first and last port of a canonical port or range."""
    first, _, last = text.partition("-")
    return int(first), int(last or first)
