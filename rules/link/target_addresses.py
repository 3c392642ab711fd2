"""Which addresses the dashboard may connect to for a URL that a user typed.

The web and everything that it redirects to are outside. Loopback, private networks and the services of cloud
providers for their machines are not: a URL must not make the dashboard ask them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a name for a port. Raises OSError."""

INTERNAL: Final = (
    "{host} has the address {address}, which is not on the internet. Set DOCKERFW_OUTBOUND_INTERNAL=1 to "
    "allow internal targets."
)
NEVER: Final = "{host} has the address {address}, which dockerfw never connects to."
UNRESOLVED: Final = "The name {host} has no address: {why}."

# Refused with internal targets allowed, too: link-local addresses, among them the metadata service of most
# cloud providers, and those of the others that are not link-local.
_NEVER = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "224.0.0.0/3"),
        *("::/128", "fe80::/10", "fd00:ec2::254/128", "ff00::/8"),
    )
)
_NAT64 = ip_network("64:ff9b::/96")


class TargetRefused(Exception):  # noqa: N818 - it states a fact
    """A host that the dashboard does not connect to; the text says why."""


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the system knows for a name. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def find_targets(host: str, port: int, *, internal: bool, resolve: Resolver) -> tuple[str, ...]:
    """Return the addresses of a host to connect to, in the resolver's order. Raises TargetRefused.

    One address that is refused refuses the host: an answer that mixes both kinds is an attack or a mistake.
    """
    try:
        texts = resolve(host, port)
        addresses = [ip_address(text) for text in texts]
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise TargetRefused(UNRESOLVED.format(host=host, why=why)) from None
    if not addresses:
        raise TargetRefused(UNRESOLVED.format(host=host, why="the answer is empty"))
    for address in addresses:
        check_address(host, address, internal=internal)
    return tuple(map(str, addresses))


def check_address(host: str, address: Address, *, internal: bool) -> None:
    """Raise TargetRefused when the dashboard does not connect to this address of a host."""
    for one in _meanings(address):
        if any(one in network for network in _NEVER if network.version == one.version):
            raise TargetRefused(NEVER.format(host=host, address=address))
        if not internal and not one.is_global:
            raise TargetRefused(INTERNAL.format(host=host, address=address))


def _meanings(address: Address) -> tuple[Address, ...]:
    """Return the address, and the IPv4 address to which translation leads."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    found: list[Address] = [address]
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(found)
