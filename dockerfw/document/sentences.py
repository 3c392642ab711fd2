"""The errors and notes of a document's validation.

Each is the rest of a sentence after the path of the field: `rules[3].ports[0]: 70000 is not a port (1 to
65535)`. Arguments named `given` are texts from `fields.shown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MISSING_SCOPE: Final = "is missing: use host, container or both"
MISSING_PASSES: Final = "is missing: use true for allowed packets, false for refused ones"
ANY_TOO_WIDE: Final = "any is too wide for an expectation: name one protocol, such as tcp"
CONTAINER_PORTS_ON_HOST: Final = (
    "container is for rules about containers, and the scope of this rule is host: use published"
)
CONTAINER_PORTS_MISSING: Final = "container needs ports: it says on which side the ports are counted"
HAS_ZONE: Final = "has a zone: iptables matches addresses, not %interfaces"
HAS_NETMASK: Final = "has a netmask: write a prefix length, such as /24"
TOO_DEEP: Final = "not readable JSON: it is nested too deeply"


def not_a_document(given: str) -> str:
    """The whole document is not a JSON object."""
    return f"{given} is not a document: use an object with format, settings and rules"


def document_too_long(size: int, limit: int) -> str:
    """The text of a document has too many bytes."""
    return f"the document has {size} bytes (at most {limit})"


def wrong_format(given: str, expected: str) -> str:
    """The key `format` has another value or is missing."""
    return f'{given} is not "{expected}"'


def not_a_rule(given: str) -> str:
    """A rule is not a JSON object."""
    return f"{given} is not a rule: use an object with scope, source, protocol and ports"


def not_an_expectation(given: str) -> str:
    """An expectation is not a JSON object."""
    return f"{given} is not an expectation: use an object with source, protocol and port"


def not_settings(given: str) -> str:
    """The settings are not a JSON object."""
    return f"{given} is not an object of settings"


def not_a_list(given: str, items: str) -> str:
    """`5 is not a list of rules`"""
    return f"{given} is not a list of {items}"


def not_a_list_of_ports(given: str) -> str:
    """The ports of a rule are not a list."""
    return f'{given} is not a list of ports: write ["22"] or ["22", "8000-8010"]'


def too_many(count: int, items: str, limit: int) -> str:
    """`20001 rules are too many (at most 20000)`"""
    return f"{count} {items} are too many (at most {limit})"


def unknown_key(known: Sequence[str], hint: str) -> str:
    """A key that an object does not have."""
    return f"unknown key (known are {', '.join(known)}){hint}"


def did_you_mean(word: str) -> str:
    """The end of an error about a word that is close to an allowed one."""
    return f"; did you mean {word}?"


def not_one_of(given: str, allowed: Sequence[str]) -> str:
    """`many is not host, container or both`"""
    return f"{given} is not {', '.join(allowed[:-1])} or {allowed[-1]}"


def not_a_boolean(given: str) -> str:
    """A value is not true or false."""
    return f"{given} is not true or false"


def not_an_id(given: str) -> str:
    """A rule id has the wrong form."""
    return f"{given} is not an id (4 to 12 of a-z and 0-9)"


def duplicate_id(identifier: str, other: str) -> str:
    """Two rules have the same id."""
    return f"{identifier} is also the id of {other}"


def not_text(given: str) -> str:
    """A comment is not a text."""
    return f"{given} is not text"


def character_not_allowed(position: int, code: int, name: str) -> str:
    """A comment has a control character."""
    return f"character {position} (U+{code:04X}, {name}) is not allowed in a comment"


def comment_too_long(length: int, limit: int) -> str:
    """A comment has too many characters."""
    return f"the comment has {length} characters (at most {limit})"


def not_an_interface(given: str) -> str:
    """An interface is not a text, or has characters that are not allowed."""
    return f"{given} is not the name of an interface, such as eth0 or wg+"


def interface_too_long(given: str, limit: int) -> str:
    """The name of an interface has too many characters."""
    return f"{given} is too long for an interface (at most {limit} characters)"


def trusted_and_external(name: str, external: str) -> str:
    """A trusted interface is among the external ones too."""
    how = "is also external" if external == name else f"is also covered by the external {external}"
    return f"{name} {how}: it can only be one of the two"


def not_an_address(given: str) -> str:
    """A source is not an address or network."""
    return f"{given} is not an IPv4 or IPv6 address or network, such as 192.0.2.0/24"


def several_sources(count: int) -> str:
    """A source is a list, or a text with more than one address."""
    return f"{count} sources in one field: use one, and add another entry for each of the others"


def bad_address(given: str, problem: str) -> str:
    """`192.0.2.0/255.255.255.0 has a netmask: ...`"""
    return f"{given} {problem}"


def ipv4_in_ipv6(address: str) -> str:
    """A source is an IPv4 address written as IPv6."""
    return f"is an IPv4 address written as IPv6: write {address}"


def bad_prefix(limit: int) -> str:
    """The prefix length of a source is not a number or too large."""
    return f"has no valid prefix length (0 to {limit})"


def has_host_bits(given: str, network: str) -> str:
    """A note: the address of a network was not its first one."""
    return f"{given} has host bits: read as the network {network}"


def not_a_protocol(given: str, hint: str) -> str:
    """A protocol is neither a known name nor a number."""
    return f"{given} is not a protocol (any, a name such as tcp, or 1 to 255){hint}"


def means_every_protocol(given: str) -> str:
    """A protocol is one that iptables reads as every protocol."""
    return f'{given} means every protocol to iptables: write "any"'


def not_a_port_or_range(given: str) -> str:
    """A port is neither a number nor a range."""
    return f"{given} is not a port (1 to 65535) or a range such as 8000-8010"


def not_a_port(given: str) -> str:
    """A port is out of range, or is not one number."""
    return f"{given} is not a port (1 to 65535)"


def reversed_range(first: int, last: int) -> str:
    """A range of ports ends before it starts."""
    return f"the range {first}-{last} ends before it starts: write {last}-{first}"


def duplicate_port(port: str) -> str:
    """A note: a port is in the list twice."""
    return f"{port} is listed twice: counted once"


def duplicate_rule(other: str) -> str:
    """A note: two rules are equal."""
    return f"the same rule as {other}: counted once"


def duplicate_expectation(other: str) -> str:
    """A note: two expectations are equal."""
    return f"the same expectation as {other}: counted once"


def no_ports(protocol: str) -> str:
    """A port is given for a protocol without ports."""
    return f"{protocol} has no ports"


def ports_not_allowed(protocol: str, allowed: Sequence[str]) -> str:
    """A rule has ports, but its protocol has none."""
    what = "a rule for any protocol has no ports" if protocol == "any" else no_ports(protocol)
    return f"{what}: only {', '.join(allowed[:-1])} and {allowed[-1]} have ports"


def icmpv6_from_ipv4(source: str) -> str:
    """A rule or expectation has IPv6's ICMP and an IPv4 source."""
    return f'ipv6-icmp never comes from an IPv4 source ({source}): write "icmp"'


def missing_port(protocol: str) -> str:
    """An expectation has no port, but its protocol has ports."""
    return f"is missing: an expectation for {protocol} names one port"


def missing_container(protocol: str) -> str:
    """An expectation about containers names neither a container nor a port."""
    return f"is missing: name the container that {protocol} should reach"


def not_a_container(given: str) -> str:
    """The container of an expectation is not a text, or has characters that are not allowed."""
    return f"{given} is not the name of a container (letters, digits, and _ . - after the first)"


def container_too_long(given: str, limit: int) -> str:
    """The name of a container has too many characters."""
    return f"{given} is too long for the name of a container (at most {limit} characters)"


def container_on_host(container: str) -> str:
    """An expectation about the host names a container."""
    return f"{container} is a container, but the expectation is about the host"


def not_utf8(position: int) -> str:
    """Bytes of a JSON text are not UTF-8."""
    return f"not UTF-8 text: byte {position} cannot be read"


def not_json(message: str, line: int, column: int) -> str:
    """A text is not JSON."""
    return f"not JSON: {message} at line {line}, column {column}"


def duplicate_key(key: str) -> str:
    """An object of a JSON text has a key twice."""
    return f"the key {key!r} is given twice in one object"


def not_a_json_value(text: str) -> str:
    """A JSON text has NaN or Infinity."""
    return f"{text} is not a JSON value"


def number_too_long(digits: int, limit: int) -> str:
    """A number of a JSON text has too many digits."""
    return f"a number has {digits} digits (at most {limit})"
