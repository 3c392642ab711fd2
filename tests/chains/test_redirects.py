"""Ports that rules of others redirect or forward, and warnings where a rule for the host misses them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface
from typing import Any

import pytest

from dockerfw.chains.plan import plan_changes
from dockerfw.chains.redirects import find_redirects
from dockerfw.iptables.model import Family
from dockerfw.iptables.replay import parse_restore
from dockerfw.simulation.surroundings import HostInterface, Surroundings
from tests.rig.documents import document

TO_5000 = "-A PREROUTING -i eth0 -p tcp --dport 443 -j REDIRECT --to-ports 5000"


def nat(*lines: str) -> str:
    return "\n".join(["*nat", ":DOCKER - [0:0]", ":WEB - [0:0]", *lines, "COMMIT", ""])


def found(*lines: str, family: Family = 4) -> list[tuple[object, ...]]:
    live = parse_restore(nat(*lines), family=family)
    return [
        (
            each.protocol,
            each.port,
            str(each.address or ""),
            each.interface,
            str(each.to_address or ""),
            each.to_port,
        )
        for each in find_redirects(live, family)
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((TO_5000,), [("tcp", 443, "", "eth0", "", 5000)]),
        (
            ("-A PREROUTING -p tcp --dport https -j REDIRECT --to-port 8443",),
            [("tcp", 443, "", "", "", 8443)],
        ),
        (
            ("-A PREROUTING -p udp -m multiport --dports 53,5353 -j REDIRECT --to-ports 54",),
            [("udp", 53, "", "", "", 54), ("udp", 5353, "", "", "", 54)],
        ),
        (
            ("-A PREROUTING -d 192.0.2.1 -p tcp --dport 80 -j DNAT --to 10.0.0.5:8080",),
            [("tcp", 80, "192.0.2.1", "", "10.0.0.5", 8080)],
        ),
        (
            ("-A PREROUTING -d 192.0.2.0/24 -i eth+ -p tcp --dport 80 -j DNAT --to 10.0.0.5",),
            [("tcp", 80, "", "", "10.0.0.5", None)],
        ),
        (("-A PREROUTING -p tcp --dport 80 -j DNAT --to :81",), [("tcp", 80, "", "", "", 81)]),
        # A chain of others, called from PREROUTING.
        (
            ("-A PREROUTING -p tcp -j WEB", "-A WEB -p tcp --dport 80 -j REDIRECT --to-ports 81"),
            [("tcp", 80, "", "", "", 81)],
        ),
        (("-A WEB -p tcp --dport 80 -j REDIRECT --to-ports 81",), []),
        # Docker's own.
        (
            ("-A PREROUTING -j DOCKER", "-A DOCKER -p tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80"),
            [],
        ),
        (("-A PREROUTING -p tcp --dport 80 -j REDIRECT",), []),
        (("-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 80",), []),
        (("-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 80-90",), []),
        (("-A PREROUTING -p tcp --dport 80 -j ACCEPT",), []),
        (("-A PREROUTING -p tcp ! --dport 80 -j REDIRECT --to-ports 81",), []),
        (("-A PREROUTING -p tcp --dport 1:65535 -j REDIRECT --to-ports 81",), []),
        (("-A PREROUTING -j DNAT --to 10.0.0.5",), []),
    ],
)
def test_redirected_ports(lines: tuple[str, ...], expected: list[tuple[object, ...]]) -> None:
    assert found(*lines) == expected


def test_redirected_ports_of_ipv6() -> None:
    line = "-A PREROUTING -d 2001:db8::1 -p tcp --dport 80 -j DNAT --to [2001:db8:5::5]:8080"
    assert found(line, family=6) == [("tcp", 80, "2001:db8::1", "", "2001:db8:5::5", 8080)]


def warnings(line: str, around: Surroundings | None = None, **rule: Any) -> list[tuple[str, str]]:
    wanted = document({"scope": "host", "protocol": "tcp", **rule})
    plan = plan_changes(wanted, {4: parse_restore(nat(line), family=4)}, surroundings=around)
    codes = ("port-redirected", "port-opens-another")
    return [(each.code, each.message) for each in plan.warnings if each.code in codes]


def test_a_rule_for_the_host_that_misses_its_port() -> None:
    ((code, message),) = warnings(TO_5000, ports=["443"])
    assert code == "port-redirected"
    assert message.startswith("IPv4: another rule sends 443/tcp to port 5000 (-A PREROUTING -i eth0 ")
    assert '"host and containers" matches the port that the client dials' in message
    ((code, message),) = warnings(
        "-A PREROUTING -p tcp --dport 443 -j DNAT --to 10.0.0.5:8443", ports=["440-450"]
    )
    assert (code, "sends 443/tcp to port 8443 of 10.0.0.5 (" in message) == ("port-redirected", True)


def test_a_rule_for_the_host_that_opens_another_port() -> None:
    ((code, message),) = warnings(TO_5000, ports=["5000"])
    assert code == "port-opens-another"
    assert message.endswith("so the rule for port 5000 allows both.")


HERE = Surroundings((HostInterface("eth0", (ip_interface("192.0.2.1/24"),), True),))
TO_ITSELF = "-A PREROUTING -p tcp --dport 8443 -j DNAT --to 192.0.2.1:443"
TO_LOOPBACK = "-A PREROUTING -p tcp --dport 8443 -j DNAT --to 127.0.0.1:443"
EVERY_PORT = "-A PREROUTING -p tcp -j REDIRECT --to-ports 81"
TO_A_RANGE = "-A PREROUTING -p tcp --dport 443 -j REDIRECT --to-ports 5000-5009"


@pytest.mark.parametrize(
    ("line", "ports", "around", "expected"),
    [
        (TO_ITSELF, "443", HERE, ["sends 8443/tcp to port 443 ("]),
        (TO_ITSELF, "8443", HERE, ["sends 8443/tcp to port 443 of 192.0.2.1 ("]),
        (TO_ITSELF, "443", Surroundings(HERE.interfaces[:0]), []),
        (TO_ITSELF, "443", None, ["sends 8443/tcp to port 443 of 192.0.2.1 ("]),
        (TO_ITSELF, "443", replace(HERE, known=False), ["sends 8443/tcp to port 443 of 192.0.2.1 ("]),
        (TO_LOOPBACK, "443", None, ["sends 8443/tcp to port 443 ("]),
        (EVERY_PORT, "81", HERE, ["sends every port of tcp to port 81 ("]),
        (EVERY_PORT, "22", HERE, ["sends every port of tcp to port 81 ("]),
        (EVERY_PORT, "80-82", HERE, ["sends every port of tcp to port 81 ("] * 2),
        ("-A PREROUTING -j DNAT --to 10.0.0.5", "22", HERE, ["every port to the same port of 10.0.0.5 ("]),
        ("-A PREROUTING -j DNAT --to 192.0.2.1", "22", HERE, []),
        (
            "-A PREROUTING -p tcp --dport 1:1024 -j DNAT --to 10.0.0.5:7",
            "22",
            HERE,
            ["sends 1-1024/tcp to port 7 of"],
        ),
        (TO_A_RANGE, "5004", HERE, ["sends 443/tcp to port 5004 ("]),
        (TO_A_RANGE, "443", HERE, ["sends 443/tcp to the ports 5000-5009 ("]),
    ],
)
def test_ports_that_are_sent_to_the_host_itself_or_in_ranges(
    line: str, ports: str, around: Surroundings | None, expected: list[str]
) -> None:
    found = [message for _, message in warnings(line, around, ports=[ports])]
    assert len(found) == len(expected), found
    assert all(words in message for words, message in zip(expected, found, strict=True)), found


def test_an_unknown_destination_may_be_the_host() -> None:
    ((code, message),) = warnings(TO_ITSELF, ports=["443"])
    assert code == "port-opens-another"
    assert message.endswith("If that is the host, the rule for port 443 allows both.")


@pytest.mark.parametrize(
    "rule",
    [
        {"ports": ["443"], "scope": "both"},
        {"ports": ["443"], "scope": "container"},
        {"ports": ["443"], "protocol": "udp"},
        {"ports": ["443"], "enabled": False},
        {"ports": ["443"], "source": "2001:db8::/32"},
        {"ports": ["444"]},
        {},
    ],
)
def test_rules_that_need_no_warning(rule: dict[str, Any]) -> None:
    assert warnings(TO_5000, **rule) == []
