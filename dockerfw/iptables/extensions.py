"""The match extensions that dockerfw knows: their options, other names, and default values.

An extension or option that is not here is not an error: it is compared word by word. The facts are from
iptables-extensions(8) and from the output of iptables 1.8.9. Targets are in target_extensions.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dockerfw.iptables import name_spellings as names
from dockerfw.iptables import spellings
from dockerfw.iptables.matches import Option
from dockerfw.iptables.model import Family
from dockerfw.iptables.spellings import Spelling, Words, plain


@dataclass(frozen=True, slots=True)
class Default:
    """A spelling and the spelt values that iptables uses without the option, which so have no effect."""

    spelling: Spelling
    values: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Extension:
    """One match or target: how its options are spelt, and their other names.

    `aliases` are other names, some with values of their own; an alias for several options sets each.
    `opposites` name the option that means the same as the negated one. `complements` are the lists of names
    that a negated list is taken from. `stateless` matches can be sorted among each other. Two `joins` matches
    in a row mean the same as one match with the options of both. Options stay on their side of `separator`.
    `renamed` returns the printed name and value of an option where the name depends on the value. `completed`
    adds the options that iptables derives from others.
    """

    options: Mapping[str, Spelling | Default]
    aliases: Mapping[str, tuple[str | tuple[str, ...], Spelling]] = field(default_factory=dict)
    opposites: Mapping[str, str] = field(default_factory=dict)
    complements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stateless: bool = True
    joins: bool = False
    separator: str = ""
    renamed: Callable[[str, Words], tuple[str, Words]] = lambda name, words: (name, words)
    completed: Callable[[Sequence[Option]], Sequence[Option]] = lambda options: options

    def spell(self, option: Option, family: Family) -> tuple[Option, ...]:
        """Return an option under its printed name, or nothing if it has no effect."""
        name, values = self.renamed(option.name, option.values)
        targets, spelling = self.aliases.get(name, (name, plain))
        words = spelling(values, family)
        printed = (targets,) if isinstance(targets, str) else targets
        spelt = (self._spell(Option(name, option.negated, words), family) for name in printed)
        return tuple(found for found in spelt if found is not None)

    def has_option(self, name: str) -> bool:
        """Return True if the option belongs to this extension."""
        return name in self.options or name in self.aliases or name == self.separator

    def _spell(self, option: Option, family: Family) -> Option | None:
        known = self.options.get(option.name, plain)
        spelling, defaults = (known.spelling, known.values) if isinstance(known, Default) else (known, ())
        name, negated, words = option.name, option.negated, spelling(option.values, family)
        if negated and name in self.opposites:
            name, negated = self.opposites[name], False
        if negated and name in self.complements and len(words) == 1:
            others = set(self.complements[name]) - set(words[0].split(","))
            words, negated = spelling((",".join(others),), family) if others else (), False
        return None if words in defaults and not negated else Option(name, negated, words)


def default(spelling: Spelling, *values: str) -> Default:
    """Return a spelling with the one-word values that have no effect."""
    return Default(spelling, tuple((value,) for value in values))


def _nothing(words: Words, family: Family) -> Words:
    return ()


def _syn(words: Words, family: Family) -> Words:
    return ("FIN,SYN,RST,ACK", "SYN")


def _masked_bits(words: Words, family: Family) -> Words:
    """The bits of a mask; `all` is every bit of an address."""
    return ("all",) if words == (str(32 if family == 4 else 128),) else spellings.number(words, family)


_FLAG = Default(plain, ((),))
_ALL_PORTS = default(spellings.port_range, "0:65535")
_PORTS: Mapping[str, Spelling | Default] = {"--sport": _ALL_PORTS, "--dport": _ALL_PORTS}
_LONG_PORTS = {"--source-port": ("--sport", plain), "--destination-port": ("--dport", plain)}
ONE_PORT = frozenset(_PORTS.keys() | _LONG_PORTS.keys())
"""The options for one port or range; in `-m multiport` they are short for its lists."""

_HIGHEST = 2**32 - 1
_IDENTIFIERS = default(spellings.range_to(_HIGHEST), f"0:{_HIGHEST}")
_ALL_ONES = ("255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
_MONTH = tuple(str(day) for day in range(1, 32))

GENERAL = Extension(
    {
        "-s": default(spellings.network, "0.0.0.0/0", "::/0"),
        "-d": default(spellings.network, "0.0.0.0/0", "::/0"),
        "-p": default(spellings.protocol, "0"),
        "-i": default(plain, "+"),
        "-o": default(plain, "+"),
        "-f": plain,
        # The counters that a new rule starts with.
        "-c": Default(_nothing, ((),)),
    }
)

MODULE_ALIASES: Mapping[str, str] = {"state": "conntrack", "icmpv6": "icmp6"}
"""Old names of modules; iptables loads the code of the new name for them."""

_PROTOCOL_MATCHES: Mapping[str, Extension] = {
    "tcp": Extension(
        {
            **_PORTS,
            "--tcp-flags": Default(names.tcp_flags, (("NONE", "NONE"),)),
            "--tcp-option": spellings.number,
        },
        {**_LONG_PORTS, "--syn": ("--tcp-flags", _syn)},
        joins=True,
    ),
    "udp": Extension(_PORTS, _LONG_PORTS, joins=True),
    "sctp": Extension({**_PORTS, "--chunk-types": names.chunk_types}, _LONG_PORTS, joins=True),
    "dccp": Extension(
        {**_PORTS, "--dccp-types": names.word_set, "--dccp-option": spellings.number}, _LONG_PORTS, joins=True
    ),
    "icmp": Extension({"--icmp-type": names.icmp_type}),
    "icmp6": Extension({"--icmpv6-type": names.icmpv6_type}),
    "esp": Extension({"--espspi": _IDENTIFIERS}),
    "ah": Extension({"--ahspi": _IDENTIFIERS, "--ahlen": default(spellings.number, "0"), "--ahres": plain}),
    "ipcomp": Extension({"--ipcompspi": _IDENTIFIERS, "--compres": plain}),
    "mh": Extension({"--mh-type": default(names.mobility_header, "0:255")}),
    "tcpmss": Extension({"--mss": spellings.range_to(65535)}),
    "multiport": Extension(
        dict.fromkeys(("--sports", "--dports", "--ports"), spellings.port_list),
        {
            **dict.fromkeys(("--source-ports", "--source-port", "--sport"), ("--sports", plain)),
            **dict.fromkeys(("--destination-ports", "--destination-port", "--dport"), ("--dports", plain)),
            "--port": ("--ports", plain),
        },
    ),
}

_HEADER_MATCHES: Mapping[str, Extension] = {
    "dst": Extension({"--dst-len": spellings.number, "--dst-opts": spellings.numbers}),
    "hbh": Extension({"--hbh-len": spellings.number, "--hbh-opts": spellings.numbers}),
    "frag": Extension(
        {
            "--fragid": _IDENTIFIERS,
            "--fraglen": spellings.number,
            **dict.fromkeys(("--fragres", "--fragfirst", "--fragmore", "--fraglast"), plain),
        }
    ),
    "rt": Extension(
        {
            "--rt-type": spellings.number,
            "--rt-segsleft": _IDENTIFIERS,
            "--rt-len": spellings.number,
            "--rt-0-addrs": spellings.each(spellings.address, ordered=True),
            **dict.fromkeys(("--rt-0-res", "--rt-0-not-strict"), plain),
        }
    ),
    "ipv6header": Extension({"--header": names.extension_headers, "--soft": plain}),
    "srh": Extension(
        {
            **{
                f"--srh-{what}-{how}": spellings.number
                for what in ("hdr-len", "segs-left", "last-entry")
                for how in ("eq", "gt", "lt")
            },
            **dict.fromkeys(("--srh-next-hdr", "--srh-tag"), spellings.number),
            **dict.fromkeys(("--srh-psid", "--srh-nsid", "--srh-lsid"), spellings.network),
        }
    ),
    "ttl": Extension(
        dict.fromkeys(("--ttl-eq", "--ttl-lt", "--ttl-gt"), spellings.number), {"--ttl": ("--ttl-eq", plain)}
    ),
    "hl": Extension(
        dict.fromkeys(("--hl-eq", "--hl-lt", "--hl-gt"), spellings.number), {"--hl": ("--hl-eq", plain)}
    ),
    "tos": Extension({"--tos": names.type_of_service}),
    "dscp": Extension({"--dscp": spellings.number}, {"--dscp-class": ("--dscp", names.dscp_class)}),
    "ecn": Extension(
        {"--ecn-ip-ect": spellings.number, **dict.fromkeys(("--ecn-tcp-cwr", "--ecn-tcp-ece"), plain)}
    ),
    "length": Extension({"--length": spellings.range_to(65535)}),
    "u32": Extension({"--u32": spellings.numbers}),
    "string": Extension(
        {
            **dict.fromkeys(("--string", "--hex-string"), plain),
            "--algo": plain,
            "--from": default(spellings.number, "0"),
            "--to": default(spellings.number, "65535"),
            "--icase": plain,
        },
        renamed=names.searched_text,
    ),
}

_HOST_MATCHES: Mapping[str, Extension] = {
    "comment": Extension({"--comment": names.text_up_to(255)}),
    "addrtype": Extension(
        {
            **dict.fromkeys(("--src-type", "--dst-type"), names.word_set),
            **dict.fromkeys(("--limit-iface-in", "--limit-iface-out"), plain),
        }
    ),
    "iprange": Extension(dict.fromkeys(("--src-range", "--dst-range"), spellings.address_range)),
    "mac": Extension({"--mac-source": spellings.ethernet_address}),
    "pkttype": Extension({"--pkt-type": names.packet_type}),
    "mark": Extension({"--mark": spellings.mark}),
    "realm": Extension({"--realm": spellings.mark}),
    "devgroup": Extension({"--src-group": spellings.mark, "--dst-group": spellings.mark}),
    "cpu": Extension({"--cpu": spellings.number}),
    "owner": Extension(
        {
            **dict.fromkeys(("--uid-owner", "--gid-owner"), names.user_range),
            **dict.fromkeys(("--socket-exists", "--suppl-groups"), plain),
        }
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
    "rpfilter": Extension(
        dict.fromkeys(("--loose", "--validmark", "--accept-local", "--invert"), plain), stateless=False
    ),
    "socket": Extension(
        dict.fromkeys(("--transparent", "--nowildcard", "--restore-skmark"), plain), stateless=False
    ),
    "policy": Extension(
        {
            **dict.fromkeys(("--dir", "--pol", "--strict", "--mode"), plain),
            **dict.fromkeys(("--reqid", "--spi"), spellings.number),
            "--proto": spellings.protocol,
            **dict.fromkeys(("--tunnel-src", "--tunnel-dst"), spellings.network),
        },
        separator="--next",
    ),
    "time": Extension(
        {
            "--timestart": default(spellings.clock_time, "00:00:00"),
            "--timestop": default(spellings.clock_time, "23:59:59"),
            "--datestart": default(spellings.date_time, "1970-01-01T00:00:00"),
            "--datestop": default(spellings.date_time, "2038-01-19T03:14:07"),
            "--weekdays": default(names.weekdays, ",".join(sorted(names.DAYS))),
            "--monthdays": default(spellings.each(spellings.number), ",".join(_MONTH)),
            "--utc": _FLAG,
            **dict.fromkeys(("--kerneltz", "--contiguous"), plain),
        },
        {"--localtz": ("--kerneltz", plain)},
        complements={"--weekdays": names.DAYS, "--monthdays": _MONTH},
    ),
    "ipvs": Extension(
        {
            "--vproto": spellings.protocol,
            "--vaddr": spellings.network,
            **dict.fromkeys(("--vport", "--vportctl"), spellings.port_range),
            **dict.fromkeys(("--ipvs", "--vdir", "--vmethod"), plain),
        }
    ),
}

_CONNECTION_MATCHES: Mapping[str, Extension] = {
    "conntrack": Extension(
        {
            "--ctstate": names.word_set,
            "--ctstatus": names.word_set,
            "--ctproto": spellings.protocol,
            "--ctexpire": spellings.range_to(_HIGHEST),
            "--ctdir": names.upper,
            **dict.fromkeys(("--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst"), spellings.network),
            **dict.fromkeys(("--ctorigsrcport", "--ctorigdstport"), spellings.decimal_port_range),
            **dict.fromkeys(("--ctreplsrcport", "--ctrepldstport"), spellings.decimal_port_range),
        },
        {"--state": ("--ctstate", plain)},
    ),
    "connmark": Extension({"--mark": spellings.mark}),
    "connbytes": Extension(
        {"--connbytes": spellings.count_range, "--connbytes-mode": plain, "--connbytes-dir": plain},
        stateless=False,
    ),
    "connlabel": Extension({"--label": plain, "--set": plain}, stateless=False),
    "cluster": Extension(
        {
            **dict.fromkeys(("--cluster-local-nodemask", "--cluster-total-nodes"), spellings.number),
            "--cluster-hash-seed": spellings.number,
        },
        {"--cluster-local-node": ("--cluster-local-nodemask", names.local_node)},
    ),
    "set": Extension(
        {"--match-set": plain, "--return-nomatch": plain}, {"--set": ("--match-set", plain)}, stateless=False
    ),
}


def _with_expiry(options: Sequence[Option]) -> Sequence[Option]:
    """Add the time after which a source is forgotten: one unit of the rate as it is written."""
    rates = [option.values[0] for option in options if option.name in _HASHLIMIT_RATES and option.values]
    known = any(option.name == _HASHLIMIT_EXPIRY for option in options)
    if known or len(rates) != 1 or not rates[0].partition("/")[0].isdigit():
        return options
    seconds = spellings.seconds_of_rate(rates[0])
    if seconds is None:
        return options
    return (*options, Option(_HASHLIMIT_EXPIRY, False, (str(1000 * seconds),)))


_HASHLIMIT_RATES = ("--hashlimit-upto", "--hashlimit-above", "--hashlimit")
_HASHLIMIT_EXPIRY = "--hashlimit-htable-expire"
_HASHLIMIT_NUMBERS = ("--hashlimit-htable-size", "--hashlimit-htable-max", _HASHLIMIT_EXPIRY)

_COUNTING_MATCHES: Mapping[str, Extension] = {
    "limit": Extension(
        {
            "--limit": Default(spellings.rate, (spellings.rate(("3/hour",), 4),)),
            "--limit-burst": default(spellings.number, "5"),
        },
        stateless=False,
    ),
    "hashlimit": Extension(
        {
            **dict.fromkeys(("--hashlimit-upto", "--hashlimit-above"), spellings.hash_rate),
            "--hashlimit-burst": default(spellings.burst, "5"),
            "--hashlimit-mode": spellings.each(plain),
            "--hashlimit-name": plain,
            **dict.fromkeys(("--hashlimit-srcmask", "--hashlimit-dstmask"), default(_masked_bits, "all")),
            **dict.fromkeys(_HASHLIMIT_NUMBERS, spellings.number),
            "--hashlimit-htable-gcinterval": default(spellings.number, "1000"),
            "--hashlimit-rate-match": plain,
            "--hashlimit-rate-interval": default(spellings.number, "1"),
        },
        {"--hashlimit": ("--hashlimit-upto", plain)},
        {"--hashlimit-upto": "--hashlimit-above", "--hashlimit-above": "--hashlimit-upto"},
        stateless=False,
        completed=_with_expiry,
    ),
    "connlimit": Extension(
        {
            **dict.fromkeys(("--connlimit-upto", "--connlimit-above"), spellings.number),
            "--connlimit-mask": default(_masked_bits, "all"),
            "--connlimit-saddr": _FLAG,
            "--connlimit-daddr": plain,
        },
        opposites={"--connlimit-upto": "--connlimit-above", "--connlimit-above": "--connlimit-upto"},
        stateless=False,
    ),
    "recent": Extension(
        {
            "--name": default(plain, "DEFAULT"),
            "--mask": default(spellings.address, *_ALL_ONES),
            "--rsource": _FLAG,
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
            "--packet": default(spellings.number, "0"),
            "--probability": spellings.probability,
        },
        stateless=False,
    ),
    "quota": Extension({"--quota": spellings.number}, stateless=False),
    "rateest": Extension(
        {
            **dict.fromkeys(("--rateest", "--rateest1", "--rateest2", "--rateest-delta"), plain),
            **dict.fromkeys(("--rateest-lt", "--rateest-gt", "--rateest-eq"), plain),
            **dict.fromkeys(("--rateest-bps", "--rateest-bps1", "--rateest-bps2"), spellings.bit_rate),
            **dict.fromkeys(("--rateest-pps", "--rateest-pps1", "--rateest-pps2"), spellings.number),
        },
        stateless=False,
    ),
}

MATCHES: Mapping[str, Extension] = {
    **_PROTOCOL_MATCHES,
    **_HEADER_MATCHES,
    **_HOST_MATCHES,
    **_CONNECTION_MATCHES,
    **_COUNTING_MATCHES,
}
