"""Accepts before DOCKER-USER: found exactly when they let through what dockerfw's chains would refuse."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from dockerfw.chains.bypass import find_bypass
from dockerfw.chains.drift import find_drift
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import render, render_restore, wanted_chains
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.replay import parse_restore
from dockerfw.simulation.surroundings import HostInterface, Surroundings
from tests.rig.documents import document

HOST = Surroundings(
    (
        HostInterface("eth0", (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64")), True),
        HostInterface("docker0", (ip_interface("172.17.0.1/16"), ip_interface("fd00:17::1/64")), True),
        HostInterface("lxdbr0", (ip_interface("10.5.0.1/24"),), True),
    ),
    {4: ("eth0",), 6: ("eth0",)},
)
WEB = document({"scope": "container", "protocol": "tcp", "ports": ["8080"]}, external_interfaces=("eth0",))
ALL_WEB = document(
    {"scope": "container", "protocol": "tcp", "ports": ["8000-8999"]}, external_interfaces=("eth0",)
)
DOCKER: dict[Family, str] = {
    4: """*nat
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
:DOCKER - [0:0]
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*raw
{raw}
COMMIT
""",
    6: "",
}
FILTER = """*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:DOCKER - [0:0]
:MORE - [0:0]
:DEEP - [0:0]
{lines}
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 -j ACCEPT
COMMIT
"""
RAW = "-A PREROUTING -d 172.17.0.0/16 ! -i docker0 -j DROP"


def host(*lines: str, family: Family = 4, raw: str = "") -> Ruleset:
    return parse_restore(
        DOCKER[family].format(raw=raw) + FILTER.format(lines="\n".join(lines)), family=family
    )


def bypass(live: Ruleset, wanted: Document = WEB, family: Family = 4) -> str:
    """Return the packet that bypasses, after `?` if this is not certain."""
    external = wanted.settings.external_interfaces
    found = find_bypass(external, wanted_chains(wanted, family), family, live, HOST)
    return "" if found is None else f"{'?' if found.unclear else ''}{found}"


@pytest.mark.parametrize(
    ("lines", "packet"),
    [
        ((), ""),
        (
            ("-A FORWARD -i eth0 -p tcp --dport 8000:8999 -j ACCEPT",),
            "8000/tcp to 172.17.0.2 by eth0, from anywhere",
        ),
        (("-A FORWARD -j ACCEPT",), "8081/tcp to 192.0.2.1 by eth0, from anywhere"),
        # The published port arrives at port 80 of the container.
        (("-A FORWARD -p tcp --dport 80 -j ACCEPT",), "8081/tcp to 192.0.2.1 by eth0, from anywhere"),
        (
            ("-A FORWARD -s 203.0.113.0/24 -o docker0 -j ACCEPT",),
            "8081/tcp to 192.0.2.1 by eth0, from 203.0.113.0/24",
        ),
        (("-A FORWARD -p tcp --sport 53 -j ACCEPT",), "8081/tcp to 192.0.2.1 by eth0, from anywhere"),
        (("-A FORWARD -d 172.17.0.9 -j ACCEPT",), "icmp to 172.17.0.9 by eth0, from anywhere"),
        (
            ("-A FORWARD -p udp -j MORE", "-A MORE -j DEEP", "-A DEEP -j ACCEPT"),
            "1/udp to 172.17.0.2 by eth0, from anywhere",
        ),
        (("-A FORWARD -p gre -j ACCEPT",), "gre to 172.17.0.2 by eth0, from anywhere"),
        # These let through nothing that the chains would refuse.
        (("-A FORWARD -o lxdbr0 -j ACCEPT",), ""),
        (("-A FORWARD -i docker0 -j ACCEPT",), ""),
        (("-A FORWARD -i eth1 -j ACCEPT",), ""),
        (("-A FORWARD -d 10.5.0.0/24 -j ACCEPT",), ""),
        (("-A FORWARD -p tcp --dport 8080 -j ACCEPT",), ""),
        (("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",), ""),
        (("-A FORWARD -m conntrack --ctstate INVALID -j ACCEPT",), ""),
        (("-A FORWARD -j DROP", "-A FORWARD -j ACCEPT"), ""),
        (("-A FORWARD -i eth0 -j DOCKER-USER", "-A FORWARD -j ACCEPT"), ""),
        (("-A FORWARD -j MORE", "-A MORE -p tcp --dport 80 -j RETURN", "-A MORE -p icmp -j DROP"), ""),
        (("-A FORWARD -j MORE", "-A MORE -j LOG"), ""),
        (("-A FORWARD -s 172.17.0.0/16 -j ACCEPT", "-A FORWARD -s 127.0.0.1 -j ACCEPT"), ""),
        # What is not known.
        (("-A FORWARD -m u32 --u32 0=0 -j ACCEPT",), "?8081/tcp to 192.0.2.1 by eth0, from anywhere"),
    ],
)
def test_accepts_before_docker_user(lines: tuple[str, ...], packet: str) -> None:
    assert bypass(host(*lines)) == packet


def test_ranges_that_the_document_allows_are_no_bypass() -> None:
    line = "-A FORWARD -i eth0 -p tcp --dport {} -j ACCEPT"
    assert bypass(host(line.format("8000:8999")), ALL_WEB) == ""
    assert bypass(host(line.format("8000:9000")), ALL_WEB).startswith("9000/tcp ")
    assert bypass(host(line.format("7999:8999")), ALL_WEB).startswith("7999/tcp ")


def test_packets_that_docker_drops_in_raw_are_no_bypass() -> None:
    """Docker 28 drops packets that are routed to a container's own address."""
    line = "-A FORWARD -p tcp --dport 8000:8999 -j ACCEPT"
    assert bypass(host(line, raw=RAW)) == ""
    assert bypass(host("-A FORWARD -j ACCEPT", raw=RAW)).startswith("8081/tcp to 192.0.2.1 ")


def test_too_many_packets_are_unclear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockerfw.chains.bypass._MOST_PACKETS", 5)
    assert bypass(host("-A FORWARD -o lxdbr0 -j ACCEPT")).startswith("?")


def test_each_family_by_itself() -> None:
    line = "-A FORWARD -p tcp --dport 443 -j ACCEPT"
    assert bypass(host(family=6), family=6) == ""
    assert bypass(host(line, family=6), family=6) == "443/tcp to fd00:17::2 by eth0, from anywhere"


def test_without_an_external_interface_nothing_is_filtered() -> None:
    assert bypass(host("-A FORWARD -j ACCEPT"), document()) == ""


@pytest.mark.parametrize("around", [HOST, None])
def test_plan_and_drift_name_the_packet_and_the_rule(around: Surroundings | None) -> None:
    live = host("-A FORWARD -p tcp --dport 443 -j MORE", "-A MORE -j ACCEPT")
    (warning,) = [
        each
        for each in plan_changes(WEB, {4: live}, surroundings=around).warnings
        if each.code == "accepted-before"
    ]
    where = "172.17.0.2" if around else "a container"
    assert f": 443/tcp to {where} by eth0, from anywhere" in warning.message
    assert "(-A MORE -j ACCEPT)" in warning.message
    text = FILTER.format(lines="-A FORWARD -p tcp --dport 443 -j MORE\n-A MORE -j ACCEPT")
    loaded = parse_restore(DOCKER[4].format(raw="") + text + render_restore(WEB, 4, revision=1), family=4)
    (finding,) = find_drift(WEB, 1, {4: loaded}, families=(4,)).findings
    assert (finding.code, [line.text for line in finding.lines]) == (
        "docker-user-not-first",
        ["-A FORWARD -p tcp --dport 443 -j MORE", "-A MORE -j ACCEPT"],
    )
    assert "443/tcp to " in finding.message


def test_what_sources_in_a_set_may_reach_bypasses_nothing() -> None:
    rules = (
        {"scope": "container", "protocol": "tcp", "ports": ["8080"], "source": f"10.0.{number}.0/24"}
        for number in range(6)
    )
    wanted = document(*rules, external_interfaces=("eth0",))
    accept = "-A FORWARD -s 10.0.{}.0/24 -p tcp --dport 8080 -j ACCEPT"

    def found(number: int) -> str:
        rendering = render(wanted, 4)
        assert rendering.sets
        live = host(accept.format(number))
        bypassing = find_bypass(("eth0",), rendering.chains, 4, live, HOST, rendering.sets)
        return "" if bypassing is None else f"{'?' if bypassing.unclear else ''}{bypassing}"

    assert found(3) == ""
    assert found(6) == "8080/tcp to 172.17.0.2 by eth0, from 10.0.6.0/24"
    warnings = plan_changes(wanted, {4: host(accept.format(3))}, surroundings=HOST).warnings
    assert not [each for each in warnings if each.code.startswith("accepted-before")]
