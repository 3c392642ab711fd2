"""The canonical spelling of addresses and networks: `10.1`, octal parts, host bits, other masks."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from dockerfw.iptables.model import Family
from dockerfw.iptables.numbers import integer

_BITS = {4: 32, 6: 128}


def family_of(address: IPv4Address | IPv6Address) -> Family:
    """Return the IP version of an address."""
    return 4 if address.version == 4 else 6


def canonical_address(text: str, family: Family) -> str:
    """Return the canonical spelling of an address, or the text itself if it is not an address."""
    value = _address_value(text, family)
    return text if value is None else _address_text(value, family)


@lru_cache(maxsize=8192)
def canonical_network(text: str, family: Family) -> str:
    """Return `address/prefix` without host bits, or `address/mask` if the mask is no prefix."""
    address, slash, mask = text.partition("/")
    bits = _BITS[family]
    value = _address_value(address, family)
    netmask = _mask_value(mask, family) if slash else (1 << bits) - 1
    if value is None or netmask is None:
        return text
    shown = _address_text(value & netmask, family)
    inverted = netmask ^ ((1 << bits) - 1)
    if inverted & (inverted + 1):
        return f"{shown}/{_address_text(netmask, family)}"
    return f"{shown}/{bits - inverted.bit_length()}"


def _address_text(value: int, family: Family) -> str:
    return str(IPv4Address(value) if family == 4 else IPv6Address(value))


def _address_value(text: str, family: Family) -> int | None:
    try:
        if family == 6:
            return None if "%" in text else int(IPv6Address(text))
        # iptables reads "10.1" as 10.1.0.0, unlike inet_aton.
        parts = [integer(part) for part in [*text.split("."), "0", "0", "0"][: max(4, text.count(".") + 1)]]
        return int(IPv4Address(".".join(map(str, parts))))
    except ValueError:
        return None


def _mask_value(text: str, family: Family) -> int | None:
    bits = _BITS[family]
    prefix = integer(text)
    if prefix is not None:
        return None if prefix > bits else ((1 << prefix) - 1) << (bits - prefix)
    return _address_value(text, family)
