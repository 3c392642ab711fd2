"""Warnings about multicast groups of the host, IGMP, and rules about IPsec."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from dockerfw.chains.group_packets import SERVICES
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.warnings import PlanWarning
from dockerfw.document.values import Document
from dockerfw.iptables.replay import parse_restore
from dockerfw.simulation.surroundings import HostInterface, Surroundings
from tests.rig.documents import document

IGMP, REFUSED = "igmp-refused", "multicast-refused"


def warnings(wanted: Document, *groups: str, name: str = "ens33", up: bool = True) -> list[PlanWarning]:
    interface = HostInterface(
        name, (ip_interface("192.0.2.1/24"),), up, groups=tuple(map(ip_address, groups))
    )
    plan = plan_changes(wanted, {}, surroundings=Surroundings((interface,), {4: ("ens33",)}))
    return [each for each in plan.warnings if each.code in (IGMP, REFUSED)]


def host(protocol: str, *ports: str, **values: Any) -> dict[str, Any]:
    return {"scope": "host", "protocol": protocol, "ports": list(ports), **values}


@pytest.mark.parametrize(
    ("groups", "rules", "codes"),
    [
        ((), (), []),
        # Switches forward 224.0.0.0/24 without IGMP, so only the packets count.
        (("224.0.0.251",), (), [REFUSED]),
        (("224.0.0.251",), (host("udp", "5353"),), []),
        (("224.0.0.251",), (host("udp", "5353", scope="container"),), [REFUSED]),
        (("224.0.0.251",), (host("udp", "5353", scope="forwarded", to="10.9.0.0/16"),), [REFUSED]),
        (("224.0.0.251",), (host("udp", "5353", enabled=False),), [REFUSED]),
        (("224.0.0.251", "ff02::fb"), (host("udp", "5353", source="192.0.2.0/24"),), [REFUSED]),
        (("224.0.0.18",), (host("vrrp"),), []),
        (("224.0.0.18",), (host("112", scope="both"),), []),
        (("224.0.0.18",), (host("tcp"),), [REFUSED]),
        (("239.1.2.3",), (), [IGMP]),
        (("239.1.2.3",), (host("igmp"),), []),
        (("239.1.2.3",), (host("2", source="192.0.2.254"),), []),
        (("239.1.2.3",), (host("igmp", scope="container"),), [IGMP]),
        (("239.255.255.250",), (), [REFUSED, IGMP]),
        (("ff15::7",), (), []),
        (("239.255.255.250",), (host("any"),), []),
    ],
)
def test_groups(groups: tuple[str, ...], rules: tuple[dict[str, Any], ...], codes: list[str]) -> None:
    assert [each.code for each in warnings(document(*rules), *groups)] == codes


def test_only_interfaces_whose_packets_are_filtered() -> None:
    assert not warnings(document(trusted_interfaces=["lo", "wg+"]), "239.255.255.250", name="wg0")
    assert not warnings(document(), "239.255.255.250", name="lo")
    assert not warnings(document(), "239.255.255.250", up=False)


def test_groups_in_words() -> None:
    refused, igmp = warnings(document(), "224.0.0.18", "224.0.0.251", "239.255.255.250", "239.1.1.1")
    assert refused.message == (
        "This host is in the multicast groups 224.0.0.18 on ens33, 224.0.0.251 on ens33 and 239.255.255.250 "
        "on ens33, and no rule for the host allows VRRP (vrrp), mDNS (5353/udp) or SSDP (1900/udp): these "
        "packets are refused. Add a rule for the host if a program needs them."
    )
    assert igmp.message.startswith(
        "This host is in the multicast groups 239.255.255.250 on ens33 and 239.1.1.1 on ens33, and no rule "
        "for the host allows protocol igmp. "
    )
    many = warnings(document(), *(f"239.1.1.{number}" for number in range(9)))
    assert "239.1.1.3 on ens33 and 5 more, and no" in many[0].message


def test_the_known_groups_are_groups() -> None:
    assert all(group.is_multicast for service in SERVICES for group in service.groups)
    assert [service.words for service in SERVICES if service.name in ("OSPF", "PTP")] == [
        "OSPF (ospf)",
        "PTP (319/udp)",
    ]


@pytest.mark.parametrize(
    ("table", "line", "warned"),
    [
        ("filter", "-A INPUT -m policy --dir in --pol ipsec -j ACCEPT", True),
        ("nat", "-A POSTROUTING -s 10.0.0.0/8 -m policy --dir out --pol ipsec -j ACCEPT", True),
        ("filter", "-A INPUT -p esp -j ACCEPT", False),
    ],
)
def test_rules_about_ipsec(table: str, line: str, warned: bool) -> None:
    live = parse_restore(f"*{table}\n{line}\n{line}\nCOMMIT\n")
    found = [each for each in plan_changes(document(), {4: live}).warnings if each.code == "ipsec"]
    assert [each.family for each in found] == ([4] if warned else [])
    if warned:
        assert found[0].message.startswith(f"IPv4: another rule is about IPsec ({line})")
