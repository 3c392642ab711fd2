"""Read the networks of countries from a file in MaxMind's format, which the admin names by a setting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import maxminddb

from dockerfw.chains.list_entries import NetworkList, list_of
from dockerfw.iptables.model import Family
from rules.lists import sentences


class CountriesFailed(Exception):  # noqa: N818 - it states a fact
    """The file cannot be read or has none of the countries; the text says why."""


def file_mark(path: Path | None) -> str:
    """Return a text that changes with the file. Raises CountriesFailed."""
    if path is None:
        raise CountriesFailed(sentences.NO_COUNTRY_FILE)
    try:
        found = path.stat()
    except OSError as error:
        raise CountriesFailed(_unreadable(path, error.strerror or error)) from None
    return f"{found.st_mtime_ns}-{found.st_size}"


def read_countries(path: Path, codes: Sequence[str]) -> NetworkList:
    """Return the networks of these countries, two-letter codes. Raises CountriesFailed and ListRefused."""
    try:
        with maxminddb.open_database(path) as reader:
            found = list_of(_networks(reader, frozenset(codes)))
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise CountriesFailed(_unreadable(path, error)) from None
    if not found:
        raise CountriesFailed(sentences.NO_COUNTRY.format(codes=", ".join(codes), path=path))
    return found


def _networks(reader: maxminddb.Reader, codes: frozenset[str]) -> Iterator[tuple[Family, int, int]]:
    for network, record in reader:
        if _country(record) in codes and isinstance(network, IPv4Network | IPv6Network):
            first = int(network.network_address)
            yield (4 if network.version == 4 else 6), first, first + network.num_addresses - 1


def _country(record: Any) -> object:
    """Return the code of where a network is, else of where it is registered."""
    for key in ("country", "registered_country"):
        part = record.get(key) if isinstance(record, dict) else None
        if isinstance(part, dict) and part.get("iso_code"):
            return part["iso_code"]
    # Files of others have the code itself.
    return record.get("country_code") if isinstance(record, dict) else None


def _unreadable(path: Path, why: object) -> str:
    return sentences.COUNTRY_FILE_UNREADABLE.format(path=path, why=why)
