"""What one field of a dockerfw/1 document may hold, and how it is spelt canonically.

Owns the grammar of a source, a protocol, a port, an interface, a comment and a rule id. Each function takes
the value as it came (out of JSON or a form), records what is wrong or worth saying under its path in
`Findings`, and returns the canonical value, or None on an error. It knows nothing of whole documents.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from dockerfw.iptables.errors import FieldError
from dockerfw.iptables.protocols import protocol_name, protocol_number

MAX_COMMENT: Final = 200
MAX_PORTS: Final = 100
MAX_INTERFACES: Final = 32

_ID = re.compile(r"[a-z0-9]{4,12}", re.ASCII)
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]*\+?", re.ASCII)
_PORT = re.compile(r"([0-9]{1,20})(?:\s*[-:]\s*([0-9]{1,20}))?", re.ASCII)
_PREFIX = re.compile(r"[0-9]{1,3}", re.ASCII)
# Explicit embeddings, overrides and isolates can make a comment read as another one (CVE-2021-42574); the
# plain direction marks that right-to-left languages need stay allowed.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was accepted in another form than it was written; `path` names the field."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(slots=True)
class Findings:
    """Collect the errors and notes of one validation."""

    errors: list[FieldError] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def error(self, path: str, message: str) -> None:
        """Record that the value at `path` cannot be taken."""
        self.errors.append(FieldError(path, message))

    def note(self, path: str, message: str) -> None:
        """Record that the value at `path` was taken in another form."""
        self.notes.append(Note(path, message))


def join(path: str, key: str) -> str:
    """Return the path of `key` inside the object at `path`."""
    return f"{path}.{key}" if path else key


def shown(value: object) -> str:
    """Return a value as an error message quotes it: short, on one line, in JSON's words."""
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
    """Return `; did you mean X?` where an allowed word is close to the given one, else nothing."""
    close = difflib.get_close_matches(word[:60].lower(), list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def known_keys(
    value: Mapping[object, object], allowed: tuple[str, ...], path: str, findings: Findings
) -> None:
    """Record an error for each key of an object that is not one of the allowed ones."""
    for key in value:
        if key not in allowed:
            text = shown(key)
            hint = suggestion(text, allowed)
            findings.error(join(path, text), f"unknown key (known are {', '.join(allowed)}){hint}")


def choice(value: object, allowed: tuple[str, ...], path: str, findings: Findings) -> str | None:
    """One of the allowed words."""
    if isinstance(value, str) and value in allowed:
        return value
    words = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
    findings.error(path, f"{shown(value)} is not {words}")
    return None


def boolean(value: object, path: str, findings: Findings) -> bool | None:
    """`true` or `false`."""
    if isinstance(value, bool):
        return value
    findings.error(path, f"{shown(value)} is not true or false")
    return None


def rule_id(value: object, path: str, findings: Findings) -> str | None:
    """4 to 12 lower-case letters and digits."""
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    findings.error(path, f"{shown(value)} is not an id (4 to 12 of a-z and 0-9)")
    return None


def comment(value: object, path: str, findings: Findings) -> str | None:
    """Text in any language on one line, at most 200 characters; outer blanks are dropped."""
    if not isinstance(value, str):
        findings.error(path, f"{shown(value)} is not text")
        return None
    for position, char in enumerate(value, start=1):
        if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _BIDI_CONTROLS:
            name = unicodedata.name(char, "") or "a control character"
            findings.error(
                path, f"character {position} (U+{ord(char):04X}, {name.lower()}) is not allowed in a comment"
            )
            return None
    text = value.strip()
    if len(text) > MAX_COMMENT:
        findings.error(path, f"the comment has {len(text)} characters (at most {MAX_COMMENT})")
        return None
    return text


def interface(value: object, path: str, findings: Findings) -> str | None:
    """Letter, digit or _, then those and . : @ -, at most 15 in all; a last + means "begins with"."""
    if not isinstance(value, str):
        findings.error(path, f"{shown(value)} is not the name of an interface")
        return None
    name = value.strip()
    if len(name) > 15:
        findings.error(path, f"{shown(name)} is too long for an interface (at most 15 characters)")
        return None
    if not _INTERFACE.fullmatch(name):
        findings.error(path, f"{shown(name)} is not the name of an interface, such as eth0 or wg+")
        return None
    return name


def interfaces_overlap(one: str, other: str) -> bool:
    """Say whether some interface is meant by both names, `+` at the end standing for any rest."""
    if one.endswith("+") and other.endswith("+"):
        return one[:-1].startswith(other[:-1]) or other[:-1].startswith(one[:-1])
    if one.endswith("+"):
        return other.startswith(one[:-1])
    if other.endswith("+"):
        return one.startswith(other[:-1])
    return one == other


def source(value: object, path: str, findings: Findings) -> str | None:
    """`any`, an IPv4 or IPv6 address, or one with /PREFIX; canonical is `any` or network/prefix."""
    if not isinstance(value, str):
        findings.error(path, f"{shown(value)} is not an address")
        return None
    text = value.strip()
    if text.lower() == "any":
        return "any"
    address_text, slash, prefix = text.partition("/")
    try:
        address = ipaddress.ip_address(address_text)
    except ValueError:
        findings.error(
            path, f"{shown(value)} is not an IPv4 or IPv6 address or network, such as 192.0.2.0/24"
        )
        return None
    problem = _address_problem(address, prefix if slash else None)
    if problem:
        findings.error(path, f"{shown(value)} {problem}")
        return None
    network = ipaddress.ip_network((address, int(prefix) if slash else address.max_prefixlen), strict=False)
    if network.network_address != address:
        findings.note(path, f"{text} has host bits: it is the network {network}")
    return str(network)


def _address_problem(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: str | None
) -> str | None:
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "has a zone: iptables matches addresses, not %interfaces"
        if address.ipv4_mapped is not None:
            return f"is an IPv4 address written as IPv6: write {address.ipv4_mapped}"
    if prefix is None or (_PREFIX.fullmatch(prefix) and int(prefix) <= address.max_prefixlen):
        return None
    if "." in prefix:
        return "has a netmask: write the number of its bits, such as /24"
    return f"has no valid prefix length (0 to {address.max_prefixlen})"


def protocol(value: object, path: str, findings: Findings) -> str | None:
    """`any`, a name, or a number from 1 to 255; canonical is the name where dockerfw knows one."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if value.bit_length() < 64 else "that number"
    if not isinstance(value, str):
        findings.error(path, f"{shown(value)} is not a protocol")
        return None
    text = value.strip().lower()
    if text in ("any", "all"):
        return "any"
    if text in ("0", "ip", "hopopt"):
        findings.error(path, f'{shown(value)} means every protocol to iptables: write "any"')
        return None
    number = protocol_number(text)
    if number is None:
        hint = suggestion(text, ("any", "tcp", "udp", "icmp", "sctp", "dccp", "gre", "esp"))
        findings.error(path, f"{shown(value)} is not a protocol (any, a name such as tcp, or 1 to 255){hint}")
        return None
    return protocol_name(number)


def port(value: object, path: str, findings: Findings) -> str | None:
    """A port or a range: 1 to 65535, `8000-8010` or `8000:8010`; canonical has a dash."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if value.bit_length() < 64 else "that number"
    if not isinstance(value, str):
        findings.error(path, f"{shown(value)} is not a port (1 to 65535) or a range such as 8000-8010")
        return None
    match = _PORT.fullmatch(value.strip())
    if match is None:
        findings.error(path, f"{shown(value)} is not a port (1 to 65535) or a range such as 8000-8010")
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    for number in (first, last):
        if not 1 <= number <= 65535:
            findings.error(path, f"{number} is not a port (1 to 65535)")
            return None
    if first > last:
        findings.error(path, f"the range {first}-{last} ends before it starts: write {last}-{first}")
        return None
    return str(first) if first == last else f"{first}-{last}"


def port_range(text: str) -> tuple[int, int]:
    """Return the first and last port of a canonical port or range."""
    first, _, last = text.partition("-")
    return int(first), int(last or first)
