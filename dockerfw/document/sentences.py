"""The errors and notes of a document's validation.

Each is the rest of a sentence after the path of the field: `rules[3].ports[0]: 70000 is not a port (1 to
65535)`. Arguments named `given` are texts from `fields.shown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MISSING_SCOPE: Final = "is missing: use host, container, both or forwarded"
NEWER_KEY: Final = 'this key needs the format "dockerfw/2"'
NEWER_SCOPE: Final = 'the scope forwarded needs the format "dockerfw/2"'
ONE_SOURCE: Final = 'dockerfw/2 has a list instead: write "sources": ["192.0.2.0/24"]'
MISSING_DESTINATION: Final = (
    "is missing: a rule for forwarded traffic names its destination, such as 192.168.122.10 or "
    "192.168.122.0/24"
)
EVERY_DESTINATION: Final = (
    "every address is too wide for a destination: name the networks, or use the scope container, "
    "which allows the port for all forwarded traffic"
)
MISSING_PASSES: Final = "is missing: use true for allowed packets, false for refused ones"
ANY_TOO_WIDE: Final = "any is too wide for an expectation: name one protocol, such as tcp"
CONTAINER_PORTS_ON_HOST: Final = (
    "container is for rules about containers, and the scope of this rule is host: use published"
)
CONTAINER_PORTS_MISSING: Final = "container needs ports: it says on which side the ports are counted"
ANY_AMONG_SOURCES: Final = "any stands for every address: remove it, or all other sources"
GROUP_IN_GROUP: Final = "a group has no other groups in it: name both groups in the rule"
EVERYONE_IN_GROUP: Final = "every address is too wide for a group: a rule without sources is for anyone"
PLAIN_HTTP: Final = (
    "anyone on the way can change a list that comes by http: use https, or allow plain http for this feed"
)
USER_IN_URL: Final = "a user name or password in the URL would be shown to everyone who sees the group"
CONTAINER_OF_OTHER_SCOPE: Final = "only a rule with the scope container names a container"
CONTAINER_ON_BLOCK: Final = "a block names no container: block the port, or remove the allowance"
DESTINATION_AND_CONTAINER: Final = "a rule that names a container has no destination beside it"
PORTS_OF_CONTAINER_MISSING: Final = "name the ports of the container that clients may reach"
LIMIT_ON_BLOCK: Final = "a block has no limit: only allowances do"
BLOCKS_EVERYTHING: Final = "this would block every packet: name sources, ports or a protocol"
HAS_ZONE: Final = "has a zone: iptables matches addresses, not %interfaces"
HAS_NETMASK: Final = "has a netmask: write a prefix length, such as /24"
TOO_DEEP: Final = "not readable JSON: it is nested too deeply"


def not_a_document(given: str) -> str:
    """The whole document is not a JSON object."""
    return f"{given} is not a document: use an object with format, settings and rules"


def document_too_long(size: int, limit: int) -> str:
    """The text of a document has too many bytes."""
    return f"the document has {size} bytes (at most {limit})"


def wrong_format(given: str, known: Sequence[str]) -> str:
    """The key `format` has another value or is missing."""
    return f"{given} is not " + " or ".join(f'"{each}"' for each in known)


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


def not_a_list_of_sources(given: str) -> str:
    """The sources of a rule are not a list."""
    return f'{given} is not a list of sources: write ["192.0.2.0/24"], or [] for anyone'


def too_many(count: int, items: str, limit: int) -> str:
    """`20001 rules are too many (at most 20000)`"""
    return f"{count} {items} are too many (at most {limit})"


def too_many_container_sets(count: int, limit: int) -> str:
    """The enabled rules by container need more ipsets than a host fills."""
    return (
        f"the enabled rules for containers by name need {count} ipsets (at most {limit}): "
        "name several containers by one label, or disable rules"
    )


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
    """A comment, an owner or a ticket has a control character."""
    return f"character {position} (U+{code:04X}, {name}) is not allowed"


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
    """An expectation has IPv6's ICMP and an IPv4 source."""
    return icmpv6_over_ipv4(source, "source")


def icmpv6_over_ipv4(address: str, what: str) -> str:
    """A rule has IPv6's ICMP and an IPv4 address as its source or destination."""
    if what == "source":
        return f'ipv6-icmp never comes from an IPv4 source ({address}): write "icmp"'
    return f'ipv6-icmp never goes to an IPv4 {what} ({address}): write "icmp"'


def families_differ(source: str, to: str) -> str:
    """The source of a rule is IPv4 and its destination IPv6, or the other way round."""
    return f"{to} and the source {source} are of different IP versions: no packet has both"


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


def duplicate_source(source: str) -> str:
    """A note: a source or an entry is in the list twice."""
    return f"{source} is listed twice: counted once"


def not_a_group_name(given: str) -> str:
    """A text cannot be the name of a group."""
    letters = "lower-case letters, digits, and . _ - after the first; at most 40"
    return f"{given} is not the name of a group ({letters})"


def unknown_group(source: str, hint: str) -> str:
    """A rule names a group that the document does not have."""
    return f"there is no group {source}{hint}"


def other_group(name: str) -> str:
    """A document that is added to another one has a group with the same name and other content."""
    return f"the draft has another group @{name}: rename one of them"


def not_a_group(given: str) -> str:
    """A group is not a JSON object."""
    return f"{given} is not a group: use an object with kind and entries"


def not_an_object_of_groups(given: str) -> str:
    """The groups of a document are not a JSON object."""
    return f'{given} is not an object of groups: write {{"office": {{"kind": "static", "entries": []}}}}'


def none_given(items: str) -> str:
    """A list that has to have items has none."""
    return f"is missing: name the {items}"


def not_a_url(given: str) -> str:
    """The address of a feed is not a URL."""
    return f"{given} is not a URL such as https://lists.example.org/networks.txt"


def not_hours(given: str, limit: int) -> str:
    """The period of a feed is not a whole number of hours."""
    return f"{given} is not a number of hours (1 to {limit})"


def not_a_dns_name(given: str) -> str:
    """A text is not a DNS name."""
    return f"{given} is not a DNS name such as home.example.org"


def not_a_country(given: str) -> str:
    """A text is not the code of a country."""
    return f"{given} is not a country's code of two letters, such as SE"


def not_a_limit(given: str) -> str:
    """The limit of a rule cannot be read."""
    return f"{given} is not a limit such as 6/minute (per second, minute or hour)"


def limit_out_of_range(number: int, most: int) -> str:
    """The number of a limit is too small or too large."""
    return f"{number} is out of range for a limit (1 to {most})"


def not_a_time(given: str) -> str:
    """A time cannot be read."""
    return f"{given} is not a time such as 2027-01-31T18:00:00Z"


def time_without_zone(given: str) -> str:
    """A time has no offset from UTC."""
    return f"{given} has no time zone: end it with Z for UTC, or with an offset such as +01:00"


def time_out_of_range(given: str, latest: str) -> str:
    """A time is one that the kernel cannot tell."""
    return f"{given} is out of range: the latest time that the kernel knows is {latest}"


def ends_before_it_starts(starts: str) -> str:
    """A rule expires before it starts."""
    return f"the rule ends before it starts ({starts})"


def text_too_long(length: int, limit: int) -> str:
    """A text has too many characters."""
    return f"{length} characters are too many (at most {limit})"


def not_a_tag(given: str, limit: int) -> str:
    """A text cannot be a tag."""
    return f"{given} is not a tag (lower-case letters, digits, and . _ - after the first; at most {limit})"


def not_a_container_selector(given: str) -> str:
    """The container of a rule is not a name, a service or a label."""
    return f"{given} does not name a container: use its name, project/service, or label:key=value"


def protocol_of_container(protocol: str) -> str:
    """A rule that names a container has a protocol whose ports cannot be followed."""
    return f"{protocol} of a container by name cannot be followed: use tcp, udp or sctp"


def not_external(name: str, known: str) -> str:
    """The interface of a rule for containers is none of the external ones."""
    only = f" (here {known})" if known else ""
    return (
        f"packets for containers pass dockerfw only on external interfaces{only}, and {name} is none of them"
    )
