"""Sessions that a document allows, compared with the meaning of its lines in the kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.chains.loaded_documents import read_loaded_documents
from dockerfw.chains.render import render_restore
from dockerfw.document.document import Document
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach.conntrack import read_session
from dockerfw.reach.inbound import (
    InboundSession,
    NewlyRefused,
    Route,
    Routing,
    SessionJudge,
    SessionTarget,
    is_filtered,
)
from tests.rig.documents import document, documents

HOST = Routing(
    own=["127.0.0.1", "192.0.2.1", "172.17.0.1", "10.8.0.1", "::1", "2001:db8::1", "fe80::1"],
    routes=[
        Route("0.0.0.0/0", "ens33"),
        Route("192.0.2.0/24", "ens33"),
        Route("172.17.0.0/16", "docker0"),
        Route("10.8.0.0/24", "wg0"),
        Route("10.0.0.0/8", "lan0"),
        Route("::/0", "ens33"),
        Route("2001:db8::/64", "ens33"),
        Route("fe80::/64", "ens33"),
        Route("fe80::/64", "docker0"),
    ],
)


def seen(
    source: str = "203.0.113.9",
    to: str = "192.0.2.1",
    port: int = 22,
    *,
    inner: tuple[str, int] | None = None,
    back: str | None = None,
    protocol: str = "tcp      6",
) -> InboundSession | None:
    """Return a session as a host sees it; `inner` is its DNAT target, `back` the address of the replies."""
    inner_address, inner_port = inner or (to, port)
    family = "ipv6     10" if ":" in source else "ipv4     2"
    text = (
        f"{family} {protocol} 99 ESTABLISHED src={source} dst={to} sport=4711 dport={port}"
        f" src={inner_address} dst={back or source} sport={inner_port} dport=4711 [ASSURED] mark=0 use=1"
    )
    session = read_session(text)
    assert session is not None
    return HOST.find_inbound(session)


def inbound(*arguments: Any, **values: Any) -> InboundSession:
    """Return a session from outside."""
    found = seen(*arguments, **values)
    assert found is not None
    return found


def test_a_session_with_the_host_and_one_with_a_container() -> None:
    here = InboundSession("host", 4, "tcp", "203.0.113.9", 22, 22, ("ens33",), dialled="192.0.2.1")
    assert seen() == here
    # Another port or address of the host than the client dialled: `-j REDIRECT`.
    redirected = seen(inner=("172.17.0.1", 2222))
    assert redirected == replace(here, inner_port=2222, dialled="")
    published = seen(port=8080, inner=("172.17.0.2", 80))
    inner = (80, ("ens33",), "172.17.0.2")
    assert published == InboundSession("container", 4, "tcp", "203.0.113.9", 8080, *inner, "192.0.2.1")
    routed = seen(to="172.17.0.2", port=80)
    assert routed == InboundSession("container", 4, "tcp", "203.0.113.9", 80, *inner, "172.17.0.2")
    # On the host docker-proxy takes IPv6 for a container without an IPv6 address.
    proxied = seen("2001:db8::2", "2001:db8::1", 8080)
    there = InboundSession("host", 6, "tcp", "2001:db8::2", 8080, 8080, ("ens33",), dialled="2001:db8::1")
    assert proxied == there


@pytest.mark.parametrize(
    "session",
    [
        {"source": "127.0.0.1", "to": "127.0.0.1"},
        {"source": "192.0.2.1", "to": "203.0.113.9"},
        {"source": "::1", "to": "::1"},
        {"source": "172.17.0.2", "to": "203.0.113.9", "back": "192.0.2.1"},
        {"source": "203.0.113.9", "to": "198.51.100.1", "inner": ("192.0.2.1", 22)},
    ],
)
def test_a_session_that_no_client_outside_started_is_none(session: dict[str, Any]) -> None:
    assert seen(**session) is None


def test_the_longest_route_gives_the_interface() -> None:
    assert inbound("10.8.0.7").interfaces == ("wg0",)
    assert inbound("10.9.0.7").interfaces == ("lan0",)
    assert inbound("fe80::7", "fe80::1").interfaces == ("ens33", "docker0")


def newly_refused(before: Document, after: Document, *sessions: InboundSession) -> tuple[InboundSession, ...]:
    """Return the sessions that one document allows and the next refuses."""
    refused = NewlyRefused(dict.fromkeys(FAMILIES, before), after)
    lost = tuple(session for session in sessions if refused.includes(session))
    # A remembered answer for one session must not change the answer for another.
    assert lost == tuple(
        session
        for session in sessions
        if (SessionJudge(before).allows(session), SessionJudge(after).allows(session)) == (True, False)
    )
    return lost


SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
WEB = {"scope": "container", "protocol": "tcp", "ports": ["8080"]}


def test_removing_a_rule_refuses_only_its_own_sessions() -> None:
    ssh, web = inbound(), inbound(port=8080, inner=("172.17.0.2", 80))
    other = inbound(port=8081, inner=("172.17.0.3", 80))
    assert newly_refused(document(SSH, WEB), document(WEB), ssh, web, other) == (ssh,)
    assert newly_refused(document(SSH, WEB), document(SSH), ssh, web, other) == (web,)
    assert newly_refused(document(SSH, WEB), document(SSH, WEB), ssh, web, other) == ()


def test_a_session_that_another_rule_allows_is_not_refused() -> None:
    near, far = inbound("198.51.100.7"), inbound()
    office = {"scope": "both", "source": "198.51.100.0/24"}
    assert newly_refused(document(SSH), document(office), near, far) == (far,)


def test_a_session_that_was_not_allowed_before_is_not_newly_refused() -> None:
    assert newly_refused(document(), document(), inbound()) == ()
    assert not NewlyRefused({}, document()).includes(inbound())
    assert not NewlyRefused({6: document(SSH)}, document()).includes(inbound())


def test_container_ports_are_counted_inside() -> None:
    inside = {"scope": "container", "protocol": "tcp", "ports": ["80"], "port_kind": "container"}
    web = inbound(port=8080, inner=("172.17.0.2", 80))
    assert newly_refused(document(inside), document(), web) == (web,)
    assert newly_refused(document({**inside, "ports": ["8080"]}), document(), web) == ()
    assert newly_refused(document(WEB), document(inside), web) == ()


def test_a_rule_for_forwarded_traffic_allows_only_its_destination() -> None:
    vms = {"scope": "forwarded", "to": "192.168.122.0/24", "protocol": "tcp", "ports": ["22"]}
    routed, forwarded = inbound(to="192.168.122.9"), inbound(port=2222, inner=("192.168.122.9", 22))
    other = inbound(to="192.168.123.9")
    assert newly_refused(document(vms), document(), routed, forwarded, other) == (routed,)
    by_inner_port = document({**vms, "port_kind": "container"})
    assert newly_refused(by_inner_port, document(), routed, forwarded, other) == (routed, forwarded)
    assert newly_refused(document(vms), document(), inbound()) == ()


def test_docker_proxys_sessions_belong_to_the_container_rule() -> None:
    proxied = inbound("2001:db8::2", "2001:db8::1", 8080)
    assert newly_refused(document(WEB), document(), proxied) == (proxied,)
    inside = {**WEB, "port_kind": "container"}
    assert newly_refused(document(inside), document(), proxied) == ()
    # Over IPv4 too: another container may have dialled the host's own address.
    hairpin = inbound(port=8080)
    assert newly_refused(document(WEB), document(), hairpin) == (hairpin,)
    assert newly_refused(document(WEB), document(WEB), hairpin) == ()


def test_containers_that_always_reach_the_host_need_no_rule() -> None:
    always = {"containers_reach_host": "allow"}
    bridge, outside = inbound("172.17.0.2"), inbound()
    assert newly_refused(document(SSH), document(**always), bridge, outside) == (outside,)


def test_interfaces_decide_which_rules_apply() -> None:
    trusted, bridge = inbound("10.8.0.7"), inbound("172.17.0.2")
    assert newly_refused(document(SSH, trusted_interfaces=["lo", "wg+"]), document(), trusted) == ()
    assert newly_refused(document(SSH), document(trusted_interfaces=["lo", "wg0"]), trusted) == ()
    # For the host, a container's packets come from outside.
    assert newly_refused(document(SSH), document(), bridge) == (bridge,)
    forwarded = inbound("10.9.0.7", port=8080, inner=("172.17.0.2", 80))
    assert newly_refused(document(WEB), document(), forwarded) == ()
    both = {"external_interfaces": ["ens33", "lan+"]}
    assert newly_refused(document(WEB, **both), document(), forwarded) == ()
    assert newly_refused(document(WEB, **both), document(**both), forwarded) == (forwarded,)


def test_icmp_and_any_protocol() -> None:
    ping, ping6 = (
        InboundSession("host", 4, "icmp", "203.0.113.9", None, None, ("ens33",)),
        InboundSession("host", 6, "ipv6-icmp", "2001:db8:1::9", None, None, ("ens33",)),
    )
    refusing = {"icmp": "refuse"}
    assert newly_refused(document(), document(**refusing), ping, ping6) == (ping, ping6)
    rule = {"scope": "host", "protocol": "icmp"}
    assert newly_refused(document(rule, **refusing), document(**refusing), ping, ping6) == (ping, ping6)
    assert newly_refused(document(rule, **refusing), document(), ping, ping6) == ()
    assert newly_refused(document(), document({"scope": "both"}, **refusing), ping, ping6) == ()
    tunnel = InboundSession("host", 4, "gre", "203.0.113.9", None, None, ("ens33",))
    assert newly_refused(document({"scope": "host"}), document(), tunnel) == (tunnel,)
    assert (
        newly_refused(document({"scope": "host", "protocol": "47"}), document({"scope": "host"}), tunnel)
        == ()
    )


def test_replies_to_the_hosts_own_dhcpv6_are_always_allowed() -> None:
    answer = InboundSession("host", 6, "udp", "fe80::9", 546, 546, ("ens33",))
    assert newly_refused(document({"scope": "host", "protocol": "udp"}), document(), answer) == ()


def kernel_with(wanted: Document, family: Family, *, docker: bool = True) -> Ruleset:
    """Return what a kernel holds when a document is loaded, on a host with or without Docker."""
    chains = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n"
    head = f"*filter\n{chains}" + (":DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n" if docker else "")
    text = render_restore(wanted, family, live=parse_restore(f"{head}COMMIT\n"))
    return parse_restore(text.replace("*filter\n", head, 1))


def test_anchors_that_no_packet_reaches_filter_nothing() -> None:
    wanted = document(WEB)
    found = read_loaded_documents({4: kernel_with(wanted, 4), 6: kernel_with(wanted, 6, docker=False)})
    interfaces = {family: loaded.settings.external_interfaces for family, loaded in found.items()}
    assert interfaces == {4: ("ens33",), 6: ()}
    assert found[6].rules == wanted.rules


_port = st.sampled_from([22, 80, 8080, 443, 546]) | st.integers(1, 65535)


@st.composite
def sessions(draw: st.DrawFn) -> InboundSession:
    """Draw a session from outside."""
    family: Family = draw(st.sampled_from(FAMILIES))
    icmp = "icmp" if family == 4 else "ipv6-icmp"
    protocol = draw(st.sampled_from(["tcp", "udp", "sctp", icmp, "gre"]))
    has_ports = protocol in ("tcp", "udp", "sctp")
    source = st.ip_addresses(v=family).filter(lambda address: not address.is_loopback)
    place: SessionTarget = draw(st.sampled_from(["host", "container"]))
    return InboundSession(
        place=place,
        family=family,
        protocol=protocol,
        source=str(draw(source)),
        port=draw(_port) if has_ports else None,
        inner_port=draw(_port) if has_ports else None,
        interfaces=(draw(st.sampled_from(["ens33", "eth0", "docker0", "wg0"])),),
        destination=str(draw(st.ip_addresses(v=family))) if place == "container" else "",
    )


@given(documents(max_rules=12), st.lists(sessions(), min_size=1, max_size=12))
def test_what_is_loaded_allows_what_its_document_does(wanted: Document, found: list[InboundSession]) -> None:
    live = {family: kernel_with(wanted, family) for family in FAMILIES}
    loaded = read_loaded_documents(live)
    assert set(loaded) == set(FAMILIES)
    for session in found:
        document_of_kernel = loaded[session.family]
        assert is_filtered(document_of_kernel, session) == is_filtered(wanted, session)
        assert SessionJudge(document_of_kernel).allows(session) == SessionJudge(wanted).allows(session)


@given(documents(max_rules=8), documents(max_rules=8), st.lists(sessions(), max_size=12))
def test_only_newly_refused_sessions_are_included(
    before: Document, after: Document, found: list[InboundSession]
) -> None:
    lost = newly_refused(before, after, *found)
    assert set(lost) <= set(found)
    assert newly_refused(before, before, *found) == ()
    assert set(lost).isdisjoint(newly_refused(after, before, *found))
    # With the previous rules added to its own, only ICMP can be newly refused: that is a setting.
    both = Document(after.settings, (*after.rules, *before.rules))
    assert all(session.protocol.endswith("icmp") for session in newly_refused(before, both, *found))


def test_without_dockerfw_rules_there_is_no_document() -> None:
    foreign = "*filter\n:INPUT ACCEPT [0:0]\n:FILTERS - [0:0]\n-A FILTERS -p tcp -j ACCEPT\nCOMMIT\n"
    assert read_loaded_documents({4: parse_restore(foreign)}) == {}
