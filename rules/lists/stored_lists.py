"""Networks as the table of versions stores them: canonical text, compressed, in base64."""

from __future__ import annotations

import base64
import zlib

from dockerfw.chains.list_entries import MOST_BYTES, NetworkList, parse_list
from dockerfw.chains.list_entries import NO_NETWORKS as NOTHING
from rules.models import ListVersion


def pack_networks(text: str) -> str:
    """Return the stored form of a list's canonical text."""
    return base64.b64encode(zlib.compress(text.encode("ascii"))).decode("ascii")


def networks_text(version: ListVersion) -> str:
    """Return the canonical text of a version, one network in each line."""
    stream = zlib.decompressobj()
    return stream.decompress(base64.b64decode(version.networks), MOST_BYTES).decode("ascii")


def version_networks(version: ListVersion | None) -> NetworkList | None:
    """Return the networks of a version, None without one. It may take seconds for a long list."""
    if version is None:
        return None
    text = networks_text(version)
    if not text:
        return NOTHING
    found = parse_list(text.encode("ascii"))
    return NetworkList(found.v4, found.v6, version.widest4, version.widest6)
