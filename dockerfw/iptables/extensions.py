"""The match and target extensions that dockerfw knows: their options, other names, and default values.

An extension or option that is not here is not an error: it is compared word by word. The facts are from
iptables-extensions(8) and from the output of iptables 1.8.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dockerfw.iptables import spellings
from dockerfw.iptables.model import Family
from dockerfw.iptables.spellings import Spelling, Words


@dataclass(frozen=True, slots=True)
class Extension:
    """One match or target: how its options are spelt, and their other names.

    `stateless` matches can be sorted among each other. Two `joins` matches in a row mean the same as one
    match with the options of both.
    """

    options: Mapping[str, Spelling]
    aliases: Mapping[str, tuple[str, Spelling]] = field(default_factory=dict)
    stateless: bool = True
    joins: bool = False

    def spell(self, name: str, words: Words, family: Family) -> tuple[str, Words | None]:
        """Return the printed name and the words of an option; the words are None if it has no effect."""
        if name in self.aliases:
            name, spelling = self.aliases[name]
            words = spelling(words, family) or words
        spelling = self.options.get(name, plain)
        return name, spelling(words, family)

    def has_option(self, name: str) -> bool:
        """Return True if the option belongs to this extension."""
        return name in self.options or name in self.aliases


def plain(words: Words, family: Family) -> Words:
    """Return an option unchanged."""
    return words


def _without_default(spelling: Spelling, *defaults: Words) -> Spelling:
    """Return a spelling like `spelling` that leaves out the default values of iptables."""

    def spell(words: Words, family: Family) -> Words | None:
        spelt = spelling(words, family)
        return None if spelt in defaults else spelt

    return spell


def _syn(words: Words, family: Family) -> Words:
    return ("FIN,SYN,RST,ACK", "SYN")


def _computed_mark(words: Words, family: Family, how: str) -> Words:
    value, slash, mask = spellings.mark(words, family)[0].partition("/")
    if len(words) != 1 or not slash or mask != "0xffffffff":
        return words
    bits = int(value, 16)
    spelt = {"and": f"0x0/{~bits & 0xFFFFFFFF:#x}", "or": f"{value}/{value}", "xor": f"{value}/0x0"}
    return (spelt[how],)


_PORTS = {"--sport": spellings.port_range_or_all, "--dport": spellings.port_range_or_all}
_LONG_PORTS = {"--source-port": ("--sport", plain), "--destination-port": ("--dport", plain)}
_ALL_ONES = (("255.255.255.255",), ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",))
_SET_MARK: Mapping[str, tuple[str, Spelling]] = {
    "--set-mark": ("--set-xmark", spellings.mark_to_set),
    "--and-mark": ("--set-xmark", lambda words, family: _computed_mark(words, family, "and")),
    "--or-mark": ("--set-xmark", lambda words, family: _computed_mark(words, family, "or")),
    "--xor-mark": ("--set-xmark", lambda words, family: _computed_mark(words, family, "xor")),
}

GENERAL = Extension(
    {
        "-s": spellings.source_or_destination,
        "-d": spellings.source_or_destination,
        "-p": spellings.protocol,
        "-i": spellings.interface,
        "-o": spellings.interface,
        "-f": plain,
    }
)

MODULE_ALIASES: Mapping[str, str] = {"state": "conntrack", "icmpv6": "icmp6"}
"""Old names of modules; iptables loads the code of the new name for them."""

MATCHES: Mapping[str, Extension] = {
    "tcp": Extension(
        {**_PORTS, "--tcp-flags": spellings.tcp_flags, "--tcp-option": spellings.number},
        {**_LONG_PORTS, "--syn": ("--tcp-flags", _syn)},
        joins=True,
    ),
    "udp": Extension(_PORTS, _LONG_PORTS, joins=True),
    "sctp": Extension({**_PORTS, "--chunk-types": plain}, _LONG_PORTS, joins=True),
    "dccp": Extension({**_PORTS, "--dccp-types": plain, "--dccp-option": plain}, _LONG_PORTS, joins=True),
    "icmp": Extension({"--icmp-type": spellings.icmp_type}),
    "icmp6": Extension({"--icmpv6-type": spellings.icmpv6_type}),
    "esp": Extension({"--espspi": plain}),
    "ah": Extension({"--ahspi": plain, "--ahlen": plain, "--ahres": plain}),
    "multiport": Extension(
        dict.fromkeys(("--sports", "--dports", "--ports"), spellings.port_list),
        {
            "--source-ports": ("--sports", plain),
            "--destination-ports": ("--dports", plain),
            "--sport": ("--sports", plain),
            "--dport": ("--dports", plain),
            "--port": ("--ports", plain),
        },
    ),
    "comment": Extension({"--comment": spellings.comment}),
    "conntrack": Extension(
        {
            "--ctstate": spellings.word_set,
            "--ctstatus": spellings.word_set,
            "--ctproto": spellings.protocol_value,
            "--ctexpire": spellings.number_range,
            "--ctdir": spellings.upper,
            **dict.fromkeys(("--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst"), spellings.network),
            **dict.fromkeys(("--ctorigsrcport", "--ctorigdstport"), spellings.port_range),
            **dict.fromkeys(("--ctreplsrcport", "--ctrepldstport"), spellings.port_range),
        },
        {"--state": ("--ctstate", plain)},
    ),
    "mark": Extension({"--mark": spellings.mark}),
    "connmark": Extension({"--mark": spellings.mark}),
    "addrtype": Extension(
        {
            "--src-type": spellings.word_set,
            "--dst-type": spellings.word_set,
            "--limit-iface-in": plain,
            "--limit-iface-out": plain,
        }
    ),
    "iprange": Extension({"--src-range": spellings.address_range, "--dst-range": spellings.address_range}),
    "mac": Extension({"--mac-source": spellings.lower}),
    "pkttype": Extension({"--pkt-type": spellings.packet_type}),
    "length": Extension({"--length": spellings.length_range}),
    "ttl": Extension(
        dict.fromkeys(("--ttl-eq", "--ttl-lt", "--ttl-gt"), spellings.number), {"--ttl": ("--ttl-eq", plain)}
    ),
    "hl": Extension(
        dict.fromkeys(("--hl-eq", "--hl-lt", "--hl-gt"), spellings.number), {"--hl": ("--hl-eq", plain)}
    ),
    "tos": Extension({"--tos": spellings.type_of_service}),
    "dscp": Extension({"--dscp": spellings.number}, {"--dscp-class": ("--dscp", spellings.dscp_class)}),
    "realm": Extension({"--realm": spellings.mark}),
    "devgroup": Extension({"--src-group": spellings.mark, "--dst-group": spellings.mark}),
    "connbytes": Extension(
        {"--connbytes": plain, "--connbytes-mode": plain, "--connbytes-dir": plain}, stateless=False
    ),
    "owner": Extension(
        {"--uid-owner": spellings.user_range, "--gid-owner": spellings.user_range, "--socket-exists": plain}
    ),
    "physdev": Extension(
        dict.fromkeys(
            (
                *("--physdev-in", "--physdev-out"),
                *("--physdev-is-in", "--physdev-is-out", "--physdev-is-bridged"),
            ),
            plain,
        )
    ),
    "set": Extension({"--match-set": plain, "--return-nomatch": plain}, stateless=False),
    "limit": Extension(
        {
            "--limit": _without_default(spellings.rate, spellings.rate(("3/hour",), 4)),
            "--limit-burst": _without_default(spellings.number, ("5",)),
        },
        stateless=False,
    ),
    "hashlimit": Extension(
        {
            **dict.fromkeys(("--hashlimit-upto", "--hashlimit-above"), spellings.rate),
            "--hashlimit-burst": _without_default(spellings.number, ("5",)),
            **dict.fromkeys(("--hashlimit-mode", "--hashlimit-name"), plain),
            **dict.fromkeys(("--hashlimit-srcmask", "--hashlimit-dstmask"), plain),
            **dict.fromkeys(("--hashlimit-htable-size", "--hashlimit-htable-max"), spellings.number),
            **dict.fromkeys(("--hashlimit-htable-expire", "--hashlimit-htable-gcinterval"), spellings.number),
        },
        {"--hashlimit": ("--hashlimit-upto", plain)},
        stateless=False,
    ),
    "connlimit": Extension(
        {
            **dict.fromkeys(("--connlimit-upto", "--connlimit-above"), spellings.number),
            "--connlimit-mask": lambda words, family: (
                None if words == (("32", "128")[family == 6],) else words
            ),
            "--connlimit-saddr": _without_default(plain, ()),
            "--connlimit-daddr": plain,
        },
        stateless=False,
    ),
    "recent": Extension(
        {
            "--name": _without_default(plain, ("DEFAULT",)),
            "--mask": _without_default(plain, *_ALL_ONES),
            "--rsource": _without_default(plain, ()),
            "--seconds": spellings.number,
            "--hitcount": spellings.number,
            **dict.fromkeys(("--rdest", "--reap", "--rttl"), plain),
            **dict.fromkeys(("--set", "--rcheck", "--update", "--remove"), plain),
        },
        stateless=False,
    ),
    "statistic": Extension(
        {
            "--mode": plain,
            "--every": spellings.number,
            "--packet": _without_default(spellings.number, ("0",)),
            "--probability": spellings.probability,
        },
        stateless=False,
    ),
}

_NAT = dict.fromkeys(("--random", "--random-fully", "--persistent"), plain)

TARGETS: Mapping[str, Extension] = {
    **dict.fromkeys(("ACCEPT", "DROP", "RETURN", "QUEUE"), Extension({})),
    "REJECT": Extension(
        {
            "--reject-with": _without_default(
                spellings.reject_with, ("icmp-port-unreachable",), ("icmp6-port-unreachable",)
            )
        }
    ),
    "LOG": Extension(
        {
            "--log-level": spellings.log_level,
            "--log-prefix": spellings.log_prefix,
            **dict.fromkeys(("--log-tcp-sequence", "--log-tcp-options", "--log-ip-options"), plain),
            **dict.fromkeys(("--log-uid", "--log-macdecode"), plain),
        }
    ),
    "NFLOG": Extension(
        {"--nflog-group": _without_default(spellings.number, ("0",)), "--nflog-prefix": plain}
    ),
    "NFQUEUE": Extension(
        {"--queue-num": _without_default(spellings.number, ("0",)), "--queue-bypass": plain}
    ),
    "MARK": Extension({"--set-xmark": spellings.mark}, _SET_MARK),
    "CONNMARK": Extension(
        {
            "--set-xmark": spellings.mark,
            **dict.fromkeys(("--nfmask", "--ctmask"), _without_default(spellings.number, ("4294967295",))),
        },
        _SET_MARK,
    ),
    "TOS": Extension({"--set-tos": spellings.type_of_service}),
    "DSCP": Extension(
        {"--set-dscp": spellings.number}, {"--set-dscp-class": ("--set-dscp", spellings.dscp_class)}
    ),
    "DNAT": Extension({"--to-destination": plain, **_NAT}, {"--to": ("--to-destination", plain)}),
    "SNAT": Extension({"--to-source": plain, **_NAT}, {"--to": ("--to-source", plain)}),
    "MASQUERADE": Extension({"--to-ports": plain, **_NAT}),
    "REDIRECT": Extension({"--to-ports": plain, **_NAT}, {"--to-port": ("--to-ports", plain)}),
}
