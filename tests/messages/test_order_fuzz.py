"""Orders as an attacker would write them: an accepted order renders only to lines of known shapes.

Each case takes a valid order, breaks it in up to four places, packs it like an entry of the queue and does
what the root worker does: unpack, read, check, validate, render. ORDER_FUZZ_CASES is the number of cases.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockerfw.chains.boot import render_boot_rules, render_boot_script
from dockerfw.chains.bound_sets import BOUND_SETS, bound_sets_of
from dockerfw.chains.rehearsal import render_rehearsal
from dockerfw.chains.render import render_restore
from dockerfw.document.document import Document, digest, parse_document
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.protocols import PROTOCOL_NAMES
from dockerfw.messages.errors import MessageError
from dockerfw.messages.orders import Order
from dockerfw.worker.entries import AllowedJob, EntryError, check_call, read_call
from tests.rig.documents import document_values

CASES = int(os.environ.get("ORDER_FUZZ_CASES", "400"))

CHAIN = r"FILTERS(?:-HOST|-CONTAINERS)?"
INTERFACE = r"(?=\S{1,15}(?: |$))[A-Za-z0-9_][A-Za-z0-9_.:@-]*\+?"
ADDRESS = r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}/[0-9]{1,2}|[0-9a-f:.]+/[0-9]{1,3})"
PORT = r"[0-9]{1,5}(?::[0-9]{1,5})?"
PROTOCOL = (
    "(?:" + "|".join(sorted({*map(re.escape, PROTOCOL_NAMES.values()), "[0-9]{1,3}"}, reverse=True)) + ")"
)
PORTS = (
    rf"(?: -m (?:tcp|udp|sctp|dccp|udplite) --dport {PORT}"
    rf"| -m multiport --dports {PORT}(?:,{PORT}){{0,14}}"
    rf"| -m conntrack --ctorigdstport {PORT} --ctdir ORIGINAL)?"
)
HITS = r"(?:\[[0-9]+:[0-9]+\] )?"

# Every line that the renderer can write, by its purpose.
SHAPES = {
    "table": r"\*filter",
    "end": r"COMMIT|",
    "chain": rf":{CHAIN} - \[0:0\]",
    "docker's chain": r"-N DOCKER-USER",
    "trusted interface": rf"{HITS}-A FILTERS-HOST -i {INTERFACE} -j RETURN",
    "containers": (rf"{HITS}-A FILTERS-HOST -m set --match-set dockerfw[46]-bridges src,src -j RETURN"),
    "docker-proxy": (
        rf"{HITS}-A FILTERS-HOST(?: -s {ADDRESS})? -p (?:tcp|udp)"
        rf"(?: -m (?:tcp|udp) --dport {PORT}| -m multiport --dports {PORT}(?:,{PORT}){{0,14}})"
        r" -m set --match-set dockerfw[46]-proxy dst,dst"
        r' -m comment --comment "dockerfw:[a-z0-9]{4,12}" -j RETURN'
    ),
    "established": (
        rf"{HITS}-A FILTERS-(?:HOST|CONTAINERS) -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"
    ),
    "dialled to loopback": (
        rf"{HITS}-A FILTERS-CONTAINERS -m conntrack --ctorigdst (?:127\.0\.0\.0/8|::1)"
        r" --ctdir ORIGINAL -j DROP"
    ),
    "icmp": rf"{HITS}-A FILTERS-HOST -p (?:icmp|ipv6-icmp(?: -m icmp6 --icmpv6-type 1[34][0-9])?) -j RETURN",
    "dhcpv6": rf"{HITS}-A FILTERS-HOST -s fe80::/10 -p udp -m udp --sport 547 --dport 546 -j RETURN",
    "allowance": (
        rf"{HITS}-A {CHAIN}(?: -s {ADDRESS})?(?: -p {PROTOCOL})?{PORTS}"
        r' -m comment --comment "dockerfw:[a-z0-9]{4,12}" -j RETURN'
    ),
    "forwarded allowance": (
        rf"{HITS}-A FILTERS-CONTAINERS(?: -s {ADDRESS})? -d {ADDRESS}(?: -p {PROTOCOL})?{PORTS}"
        r' -m comment --comment "dockerfw:[a-z0-9]{4,12}" -j RETURN'
    ),
    "on to the rest": rf"{HITS}-A FILTERS-(?:HOST|CONTAINERS) -j FILTERS",
    "refusal": (
        rf'{HITS}-A FILTERS -m comment --comment "dockerfw r[0-9]+ [0-9a-f]{{12}}" -j '
        r"(?:DROP|REJECT --reject-with (?:icmp-host-prohibited|icmp6-adm-prohibited))"
    ),
    "host anchor": rf"{HITS}-I INPUT 1 -j FILTERS-HOST",
    "container anchor": rf"{HITS}-I (?:DOCKER-USER|FORWARD) 1 -i {INTERFACE} -j FILTERS-CONTAINERS",
    # This one is copied from the kernel, not from the order.
    "stale anchor": (
        r"-D (?:INPUT -j FILTERS(?:-HOST)?|DOCKER-USER -i (?:old0|ens33) -j FILTERS(?:-CONTAINERS)?)"
    ),
}
LINE = re.compile("|".join(f"(?:{shape})" for shape in SHAPES.values()), re.ASCII)

FRESH = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
USED = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:FILTERS - [0:0]
:FILTERS-CONTAINERS - [0:0]
:FILTERS-HOST - [0:0]
[1:60] -A INPUT -s 198.51.100.7/32 -j DROP
[3:180] -A INPUT -j FILTERS-HOST
[5:300] -A INPUT -j FILTERS
[2:120] -A DOCKER-USER -i old0 -j FILTERS-CONTAINERS
[2:120] -A DOCKER-USER -i ens33 -j FILTERS
[9:540] -A FILTERS-HOST -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
COMMIT
"""
NEVER_CALLED = FRESH.replace("COMMIT", ":DOCKER - [0:0]\nCOMMIT")
LIVES: tuple[Ruleset | None, ...] = (None, *map(parse_save, (FRESH, USED, NEVER_CALLED)))

SMUGGLED = (
    "\n-A INPUT -j ACCEPT",
    "\r\nCOMMIT\r\n*nat",
    "\0",
    '" -j ACCEPT -m comment --comment "',
    '\\" -j ACCEPT',
    "' -j ACCEPT '",
    " -j ACCEPT",
    "-j",
    "--modprobe=/tmp/x",
    "! -i",
    "$(id)",
    "`id`",
    ";id;",
    "\x1b[2J",
    "\u2028-A INPUT -j ACCEPT",
    "\u202eTPECCA",
    "\x85",
    "\x0b",
    "\t-j\tACCEPT",
    "\ud800",
    "٢٢",
    "２２",
    "²",
    "eth0 -j ACCEPT",
    "eth0+",
    "../../etc",
    "%n",
    "[9:9] -A INPUT",
    ":INPUT DROP [0:0]",
    "# ",
    "0x16",
    "22,80",
    "1e1",
    "1.2.3.4/33",
    "1.2.3.4 ",
    "::ffff:1.2.3.4",
    "fe80::1%eth0",
    "01.2.3.4",
    "tcp -j ACCEPT",
    "TCP",
    "0",
    "-1",
    "65536",
)
KEYS = ("comment", "id", "ports", "to", "source", "sources", "chain", "table")
_odd: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(SMUGGLED),
    st.text(max_size=30),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from(SMUGGLED), max_size=3),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in ((*path, key), *places(item, (*path, key)))]


@st.composite
def broken_orders(draw: st.DrawFn) -> Any:
    """Draw a valid order with up to four values broken, added or removed; most stay nearly valid."""
    order = {
        "format": "dockerfw-order/1",
        "apply": "0b8d6a1e-9c2f-4d53-8a77-0123456789ab",
        "sequence": draw(st.integers(1, 2**53 - 1)),
        "host": "local",
        "revision": draw(st.integers(1, 2**31 - 1)),
        "document": draw(document_values(max_rules=6)),
        "digest": "0" * 64,
        "confirm_seconds": 60,
        "end_sessions": draw(st.booleans()),
        "issued_at": "2026-01-31T12:00:00Z",
        "override": False,
    }
    for _ in range(draw(st.integers(0, 4))):
        where = draw(st.sampled_from(places(order)))
        owner: Any = order
        for key in where[:-1]:
            owner = owner[key]
        former = owner[where[-1]]
        how = draw(st.sampled_from(["replace", "append", "prepend", "insert", "remove", "add"]))
        odd = draw(_odd)
        if how == "remove":
            del owner[where[-1]]
        elif how == "add" and isinstance(owner, list):
            owner.append(odd)
        elif how == "add":
            owner[draw(st.sampled_from([*SMUGGLED, *KEYS]))] = odd
        elif isinstance(former, str) and isinstance(odd, str) and how != "replace":
            place = {"append": len(former), "prepend": 0}.get(how, len(former) // 2)
            owner[where[-1]] = former[:place] + odd + former[place:]
        else:
            owner[where[-1]] = odd
    return order


def accept(value: Any) -> tuple[Order, Document] | None:
    """Return the order and its document as the root worker reads them, None when it refuses them."""
    call = json.dumps(["apply", None, [value], {}]).encode()
    allowed = {"apply": AllowedJob(lambda _: None, arguments=(dict,))}
    try:
        name, arguments = read_call(zlib.compress(call))
        check_call(name, arguments, allowed)
        order = Order.from_json(arguments[0])
        return order, parse_document(order.document)
    except (EntryError, MessageError, NetfilterError):
        return None


def texts(order: Order, document: Document) -> list[str]:
    """Return every text for iptables-restore that can be rendered from an order."""
    return [
        render_restore(document, family, live=live, revision=order.revision, counters=counters)
        for family in (4, 6)
        for live in LIVES
        for counters in (False, True)
    ] + [render_boot_rules(document, family, order.revision) for family in (4, 6)]


def smuggled(text: str) -> list[str]:
    """Return the lines without a known shape, also where another character than \\n breaks a line."""
    whole = text.split("\n")
    return [line for line in whole if not LINE.fullmatch(line)] + [
        line for line in text.splitlines() if line not in whole
    ]


def test_an_accepted_order_renders_to_known_lines_only() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=CASES, database=None, suppress_health_check=list(HealthCheck))
    @given(broken_orders())
    def fuzz(value: Any) -> None:
        found = accept(value)
        seen["accepted" if found else "refused"] += 1
        if found is None:
            return
        order, document = found
        assert re.fullmatch(r"[0-9a-f]{64}", digest(document))
        for text in texts(order, document):
            assert smuggled(text) == []
            assert text.count("COMMIT") == text.count("*filter") == 1
        # An order names no sets: what the rules need are dockerfw's own, of their own types.
        sets = bound_sets_of(texts(order, document))
        interfaces = document.settings.external_interfaces
        script = render_boot_script("nft", interfaces, "/var/lib/dockerfw/boot", sets=sets)
        created = re.findall(r"^ +(create .*) \|\| return 1$", script, re.MULTILINE)
        assert created == [BOUND_SETS[name].creation() for name in sets]
        names = " ".join(document.settings.external_interfaces)
        assert re.search(r"for interface in (.*); do", script)[1].replace("'", "") == names  # type: ignore[index]

    fuzz()
    # A fuzz test that is always refused, or never, proves nothing.
    assert seen["accepted"] > CASES // 20
    assert seen["refused"] > CASES // 20
    print(f"{sum(seen.values())} orders: {seen['accepted']} accepted, {seen['refused']} refused")


@pytest.mark.parametrize(
    "line",
    [
        "-A INPUT -j ACCEPT",
        "-F INPUT",
        ":INPUT ACCEPT [0:0]",
        "-P FORWARD ACCEPT",
        "*nat",
        "-A FILTERS-HOST -i eth0 -j ACCEPT",
        "-A FILTERS-HOST -i eth0 -p tcp -j RETURN",
        '-A FILTERS-HOST -d 192.0.2.1/32 -p tcp -m comment --comment "dockerfw:a1c2" -j RETURN',
        '-A FILTERS-CONTAINERS -d any -m comment --comment "dockerfw:a1c2" -j RETURN',
        "-A FILTERS-HOST -i a-name-of-16-char -j RETURN",
        "-A FILTERS-HOST -m set --match-set f2b-sshd src,src -j RETURN",
        "-A FILTERS-HOST -m set --match-set dockerfw4-bridges src -j RETURN",
        "-A FILTERS-HOST -p tcp -m tcp --dport 22 -m set --match-set office dst,dst"
        ' -m comment --comment "dockerfw:a1c2" -j RETURN',
        '-A FILTERS -m comment --comment "dockerfw:a1c2" -j RETURN -j ACCEPT',
        '-A FILTERS -m comment --comment "dockerfw:a1c2\\" -j ACCEPT" -j RETURN',
        '-A FILTERS -p tcp -m tcp --dport ２２ -m comment --comment "dockerfw:a1c2" -j RETURN',
        '-A FILTERS -p tcp -m tcp --dport 22 -j LOG -m comment --comment "dockerfw:a1c2" -j RETURN',
        "-I INPUT 1 -j ACCEPT",
        "-D INPUT -j f2b-sshd",
        "# comment",
    ],
)
def test_no_other_line_matches_a_shape(line: str) -> None:
    assert smuggled(f"*filter\n{line}\nCOMMIT\n") == [line]


def test_every_shape_is_rendered() -> None:
    made: set[str] = set()
    value = {
        "format": "dockerfw/2",
        "settings": {
            "external_interfaces": ["ens33"],
            "trusted_interfaces": ["lo"],
            "containers_reach_host": "allow",
        },
        "rules": [
            {"scope": "both", "protocol": "tcp", "ports": ["22"]},
            {"scope": "container", "protocol": "tcp", "ports": ["8080"]},
            {"scope": "forwarded", "to": "192.168.122.0/24", "protocol": "tcp", "ports": ["22"]},
        ],
    }
    order = Order("x", 1, "local", 1, value, "0" * 64, 60, "2026-01-31T12:00:00Z")
    for text in texts(order, parse_document(value)):
        for line in text.split("\n"):
            made |= {name for name, shape in SHAPES.items() if re.fullmatch(shape, line, re.ASCII)}
    assert made == set(SHAPES)


def test_the_text_of_the_rehearsal_ends_with_the_text_to_load() -> None:
    document = parse_document({"format": "dockerfw/1", "rules": []})
    text = render_restore(document, 4, live=LIVES[2], revision=1)
    live = LIVES[2]
    assert live is not None
    assert render_rehearsal(live, text).endswith(text)
