"""Well-known lists as a catalogue of names and addresses. None is fetched unless it is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Preset:
    """One list of others: the name of its group, its address, its period in hours, and its use."""

    name: str
    title: str
    url: str
    refresh_hours: int
    action: Literal["allow", "block"]
    hint: str


PRESETS: Final = (
    Preset(
        "cloudflare-ipv4",
        "Cloudflare, IPv4",
        "https://www.cloudflare.com/ips-v4",
        24,
        "allow",
        "The addresses from which Cloudflare's proxies connect to your web servers.",
    ),
    Preset(
        "cloudflare-ipv6",
        "Cloudflare, IPv6",
        "https://www.cloudflare.com/ips-v6",
        24,
        "allow",
        "The addresses from which Cloudflare's proxies connect to your web servers.",
    ),
    Preset(
        "spamhaus-drop",
        "Spamhaus DROP",
        "https://www.spamhaus.org/drop/drop.txt",
        24,
        "block",
        "Networks that are stolen or run by criminals. Few networks, almost no mistakes.",
    ),
    Preset(
        "firehol-level1",
        "FireHOL level 1",
        "https://iplists.firehol.org/files/firehol_level1.netset",
        24,
        "block",
        "Attackers, stolen networks and addresses that nobody uses. Private addresses are left out here.",
    ),
    Preset(
        "tor-exits",
        "Tor exits",
        "https://check.torproject.org/torbulkexitlist",
        1,
        "block",
        "The addresses from which users of the Tor network connect.",
    ),
)
