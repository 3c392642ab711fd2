"""Documents for tests: Hypothesis strategies, and the values that people really write."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import strategies as st

from dockerfw.document.document import FORMAT_1, FORMAT_2, Document, DocumentRule, parse_document
from dockerfw.document.formats import FORMATS
from dockerfw.document.rules import upgrade_rule
from dockerfw.iptables.protocols import PROTOCOL_NAMES, PROTOCOLS_WITH_PORTS

INTERFACES = ("ens33", "eth0", "eth1", "wlan0", "br-0a1b2c3d4e5f", "ppp+", "vlan.100", "en@1")

_port = st.integers(1, 65535)
_range = st.tuples(_port, _port).map(sorted).map(lambda pair: f"{pair[0]}-{pair[1]}")
_ports = st.lists(st.one_of(_port.map(str), _range), max_size=40)
_ipv4 = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda pair: str(ipaddress.ip_network((pair[0], pair[1]), strict=False))
)
_ipv6 = st.tuples(st.integers(2**120, 2**128 - 1), st.integers(0, 128)).map(
    lambda pair: str(ipaddress.IPv6Network((pair[0], pair[1]), strict=False))
)
_comment = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cf")), max_size=60)
# ip6tables says of these that it never matches them (its own match does), and fails under some releases.
_IPV6_HEADERS = frozenset((43, 44, 51, 60))
_numbers = st.integers(1, 255).filter(lambda number: number not in _IPV6_HEADERS)


@st.composite
def rule_values(draw: st.DrawFn, layout: str) -> dict[str, Any]:
    """Draw a valid rule as JSON of a format has it."""
    ports: list[str] = []
    if draw(st.booleans()):
        protocol = draw(st.sampled_from(PROTOCOLS_WITH_PORTS))
        ports = draw(_ports)
    else:
        names = st.sampled_from(sorted(set(PROTOCOL_NAMES) - _IPV6_HEADERS)).map(PROTOCOL_NAMES.__getitem__)
        protocol = draw(st.one_of(st.just("any"), st.just("icmp"), names, _numbers.map(str)))
    sources = [st.just("any"), _ipv6] if protocol in ("ipv6-icmp", "58") else [st.just("any"), _ipv4, _ipv6]
    scope = draw(st.sampled_from(["host", "container", "both"] + ["forwarded"] * (layout == FORMAT_2)))
    inner = bool(ports) and scope != "host" and draw(st.booleans())
    source = draw(st.one_of(*sources))
    addresses: dict[str, Any] = {"source": source}
    if layout == FORMAT_2:
        addresses = {"sources": [] if source == "any" else [source]}
    if scope == "forwarded":
        is_ipv6 = ":" in source or protocol in ("ipv6-icmp", "58")
        either = source == "any" and not is_ipv6
        wanted = st.one_of(_ipv4, _ipv6) if either else _ipv6 if is_ipv6 else _ipv4
        addresses["to"] = draw(wanted.filter(lambda network: not network.endswith("/0")))
    return {
        "scope": scope,
        **addresses,
        "protocol": protocol,
        "ports": ports,
        "port_kind": "container" if inner else "published",
        "comment": draw(_comment),
        "enabled": draw(st.booleans()) or draw(st.booleans()),
    }


@st.composite
def expectation_values(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a valid expectation as JSON has it."""
    protocol = draw(st.sampled_from((*PROTOCOLS_WITH_PORTS, "icmp", "gre")))
    port = draw(_port) if protocol in PROTOCOLS_WITH_PORTS else None
    to = draw(st.sampled_from(["host", "container"]))
    names = ["web", "shop-db-1", "shop/db"] + ([""] if port else [])
    return {
        "source": draw(st.one_of(st.just("any"), _ipv4, _ipv6)),
        "protocol": protocol,
        "port": port,
        "to": to,
        "container": draw(st.sampled_from(names)) if to == "container" else "",
        "passes": draw(st.booleans()),
        "comment": draw(_comment),
    }


@st.composite
def document_values(draw: st.DrawFn, max_rules: int = 30) -> dict[str, Any]:
    """Draw a valid document as JSON has it."""
    external = draw(st.lists(st.sampled_from(INTERFACES), max_size=3, unique=True))
    layout = draw(st.sampled_from(FORMATS))
    newer = {
        "containers_reach_host": draw(st.sampled_from(["by-rules", "allow"])),
        "log_refused": draw(st.booleans()),
    }
    return {
        "format": layout,
        "settings": {
            "external_interfaces": external,
            "trusted_interfaces": draw(st.sampled_from([["lo"], [], ["lo", "wg0"]])),
            "refuse": draw(st.sampled_from(["reject", "drop"])),
            "icmp": draw(st.sampled_from(["accept", "refuse"])),
            "heal_anchors": draw(st.booleans()),
            **(newer if layout == FORMAT_2 else {}),
        },
        "rules": draw(st.lists(rule_values(layout), max_size=max_rules)),
        "expectations": draw(st.lists(expectation_values(), max_size=3)),
    }


def documents(max_rules: int = 30) -> st.SearchStrategy[Document]:
    """Draw valid documents."""
    return document_values(max_rules).map(parse_document)


def document(*rules: dict[str, Any], **settings: Any) -> Document:
    """Make a document for ens33 from rules, as forms have them, and settings as JSON has them."""
    values = {"external_interfaces": ["ens33"], **settings}
    newer = {"containers_reach_host", "log_refused"} & {*settings} or any("to" in rule for rule in rules)
    found = [upgrade_rule(rule) for rule in rules] if newer else list(rules)
    return parse_document({"format": FORMAT_2 if newer else FORMAT_1, "settings": values, "rules": found})


def source_of(rule: DocumentRule) -> str:
    """Return the one source of a rule as `dockerfw/1` writes it."""
    (source,) = rule.sources or ("any",)
    return source
