"""The targets that dockerfw knows, like the matches of extensions.py."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from dockerfw.iptables import name_spellings as names
from dockerfw.iptables import spellings
from dockerfw.iptables.extensions import Default, Extension, default
from dockerfw.iptables.spellings import Spelling, plain

_ALL_BITS = 0xFFFFFFFF
_ANY_ADDRESS = tuple(str(ip_address(bytes(size))) for size in (4, 16))
_HOW = ("and", "or", "xor")
_SET_MARK: Mapping[str, tuple[str, Spelling]] = {
    "--set-mark": ("--set-xmark", spellings.mark_to_set),
    **{
        f"--{how}-mark": ("--set-xmark", spellings.computed_bits(how, _ALL_BITS))
        for how in ("and", "or", "xor")
    },
}
_NAT = dict.fromkeys(("--random", "--random-fully", "--persistent"), plain)

TARGETS: Mapping[str, Extension] = {
    **dict.fromkeys(("ACCEPT", "DROP", "RETURN", "QUEUE"), Extension({})),
    "REJECT": Extension(
        {"--reject-with": default(names.reject_with, "icmp-port-unreachable", "icmp6-port-unreachable")}
    ),
    "LOG": Extension(
        {
            "--log-level": default(names.log_level, "4"),
            "--log-prefix": names.text_up_to(29),
            **dict.fromkeys(("--log-tcp-sequence", "--log-tcp-options", "--log-ip-options"), plain),
            **dict.fromkeys(("--log-uid", "--log-macdecode"), plain),
        }
    ),
    # iptables-extensions(8): --nflog-range has never worked. iptables-legacy stores 63 bytes of the prefix.
    "NFLOG": Extension(
        {
            "--nflog-group": default(spellings.number, "0"),
            "--nflog-prefix": names.text_up_to(63),
            "--nflog-range": Default(lambda words, family: (), ((),)),
            **dict.fromkeys(("--nflog-size", "--nflog-threshold"), spellings.number),
        }
    ),
    "NFQUEUE": Extension(
        {
            "--queue-num": default(spellings.number, "0"),
            "--queue-balance": spellings.queue_range,
            **dict.fromkeys(("--queue-bypass", "--queue-cpu-fanout"), plain),
        }
    ),
    "MARK": Extension({"--set-xmark": spellings.mark}, _SET_MARK),
    "CONNMARK": Extension(
        {
            "--set-xmark": spellings.mark,
            **dict.fromkeys(("--save-mark", "--restore-mark"), plain),
            **dict.fromkeys(("--nfmask", "--ctmask"), default(spellings.number, str(_ALL_BITS))),
        },
        {**_SET_MARK, "--mask": (("--nfmask", "--ctmask"), plain)},
    ),
    "CLASSIFY": Extension({"--set-class": spellings.class_id}),
    "TOS": Extension(
        {"--set-tos": names.type_of_service},
        {f"--{how}-tos": ("--set-tos", spellings.computed_bits(how, 0xFF)) for how in _HOW},
    ),
    "DSCP": Extension(
        {"--set-dscp": spellings.number}, {"--set-dscp-class": ("--set-dscp", names.dscp_class)}
    ),
    "TTL": Extension(dict.fromkeys(("--ttl-set", "--ttl-inc", "--ttl-dec"), spellings.number)),
    "HL": Extension(dict.fromkeys(("--hl-set", "--hl-inc", "--hl-dec"), spellings.number)),
    "TCPMSS": Extension({"--set-mss": spellings.number, "--clamp-mss-to-pmtu": plain}),
    "TCPOPTSTRIP": Extension({"--strip-options": names.tcp_options}),
    "DNAT": Extension(
        {"--to-destination": spellings.nat_range, **_NAT}, {"--to": ("--to-destination", plain)}
    ),
    "SNAT": Extension({"--to-source": spellings.nat_range, **_NAT}, {"--to": ("--to-source", plain)}),
    "MASQUERADE": Extension({"--to-ports": spellings.nat_ports, **_NAT}),
    "REDIRECT": Extension({"--to-ports": spellings.nat_ports, **_NAT}, {"--to-port": ("--to-ports", plain)}),
    "NETMAP": Extension({"--to": spellings.network}),
    "TEE": Extension({"--gateway": spellings.address, "--oif": plain}),
    "TPROXY": Extension(
        {
            "--on-port": spellings.port_range,
            "--on-ip": default(spellings.address, *_ANY_ADDRESS),
            "--tproxy-mark": default(spellings.mark, "0x0/0x0"),
        }
    ),
    "CT": Extension(
        {
            **dict.fromkeys(("--ctevents", "--expevents"), spellings.each(names.lower)),
            **dict.fromkeys(("--zone", "--zone-orig", "--zone-reply"), spellings.number),
            **dict.fromkeys(("--notrack", "--helper", "--timeout"), plain),
        }
    ),
    "SET": Extension(
        {
            **dict.fromkeys(("--add-set", "--del-set", "--map-set", "--exist"), plain),
            **dict.fromkeys(("--map-mark", "--map-prio", "--map-queue"), plain),
            "--timeout": spellings.number,
        }
    ),
    "SYNPROXY": Extension(
        {
            **dict.fromkeys(("--mss", "--wscale"), spellings.number),
            **dict.fromkeys(("--sack-perm", "--timestamp", "--ecn"), plain),
        }
    ),
    "AUDIT": Extension({"--type": names.lower}),
    "IDLETIMER": Extension({"--timeout": spellings.number, "--label": plain, "--alarm": plain}),
    "LED": Extension({"--led-trigger-id": plain, "--led-delay": plain, "--led-always-blink": plain}),
    "HMARK": Extension(
        {
            "--hmark-tuple": plain,
            **dict.fromkeys(("--hmark-mod", "--hmark-rnd", "--hmark-offset"), spellings.number),
            **dict.fromkeys(("--hmark-src-prefix", "--hmark-dst-prefix"), spellings.number),
            **dict.fromkeys(("--hmark-sport-mask", "--hmark-dport-mask"), spellings.number),
            **dict.fromkeys(("--hmark-spi-mask", "--hmark-proto-mask"), spellings.number),
        }
    ),
    "RATEEST": Extension(
        {
            "--rateest-name": plain,
            **dict.fromkeys(("--rateest-interval", "--rateest-ewmalog"), spellings.duration),
        }
    ),
}
