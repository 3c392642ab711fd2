"""Groups in words: their kind, and what they are made of. Nothing parses these words."""

from __future__ import annotations

from dockerfw.document.values import Group
from dockerfw.document.words import join_words

_MOST = 3
_IPV6_UNITS = (32, 48, 64)


def describe_group(group: Group) -> str:
    """Return a group in one line: `@office, 3 entries`, `@cloud, the feed https://…, fetched each 24 h`."""
    return f"@{group.name}, {_definition(group)}"


def describe_entries(number: int) -> str:
    """Return a number of entries: `1 entry`, `100,000 entries`."""
    return "1 entry" if number == 1 else f"{number:,} entries"


def describe_addresses(ipv4: int, ipv6: int) -> list[str]:
    """Return numbers of addresses: `256 IPv4 addresses`, `3 × IPv6 /48`; of IPv6, large ones by networks."""
    found = [f"{ipv4:,} IPv4 address{'' if ipv4 == 1 else 'es'}"] if ipv4 else []
    unit = next((bits for bits in _IPV6_UNITS if ipv6 and ipv6 % (1 << 128 - bits) == 0), 64)
    number, rest = divmod(ipv6, 1 << 128 - unit)
    if number:
        found.append(f"{'over ' if rest else ''}{number:,} × IPv6 /{unit}")
    elif rest:
        found.append(f"{rest:,} IPv6 address{'' if rest == 1 else 'es'}")
    return found


def _definition(group: Group) -> str:
    if group.kind == "static":
        return describe_entries(len(group.entries))
    if group.kind == "feed":
        return f"the feed {group.url}, fetched each {group.refresh_hours} h"
    if group.kind == "names":
        return f"the addresses of {join_words(group.names, most=_MOST)}"
    return f"the networks of {join_words(group.countries, most=_MOST)}"
