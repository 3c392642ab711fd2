"""Rules of others that accept forwarded packets, and those that forward more ports than a list can hold."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from dockerfw.chains.forward_accepts import ForwardAccept, find_forward_accepts
from dockerfw.chains.redirects import find_wide_forwards
from dockerfw.iptables.replay import parse_restore

CHAINS = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
VMS = ip_network("192.168.122.0/24")


def accepts(*lines: str) -> tuple[ForwardAccept, ...]:
    more = ":LIBVIRT_FWI - [0:0]\n:DOCKER - [0:0]\n:FILTERS-CONTAINERS - [0:0]\n"
    return find_forward_accepts(parse_restore("\n".join(["*filter", CHAINS + more, *lines, "COMMIT", ""])), 4)


@pytest.mark.parametrize(
    ("line", "network", "interface", "ports"),
    [
        ("-d 192.168.122.0/24 -o virbr0", VMS, "virbr0", ()),
        ("-o virbr0", None, "virbr0", ()),
        ("-o virbr+", None, "", ()),
        ("-d 192.168.122.0/24 -p tcp --dport 22", VMS, "", (("tcp", (22, 22)),)),
        (
            "-d 192.168.122.0/24 -p udp -m multiport --dports 53,8000:8010",
            VMS,
            "",
            (("udp", (53, 53)), ("udp", (8000, 8010))),
        ),
        ("-d 192.168.122.0/24 -p icmp", VMS, "", ()),
        ("! -d 192.168.122.0/24 ! -o virbr0", None, "", ()),
        ("-d 192.168.0.122/255.255.0.255", None, "", ()),
        ("-d 192.168.122.0/24 -m conntrack --ctstate NEW,ESTABLISHED", VMS, "", ()),
    ],
)
def test_a_rule_that_accepts(
    line: str, network: object, interface: str, ports: tuple[tuple[str, tuple[int, int]], ...]
) -> None:
    (found,) = accepts(f"-A FORWARD {line} -j ACCEPT")
    assert (found.network, found.interface, found.ports) == (network, interface, ports)


def test_chains_are_followed_but_not_dockers_and_ours() -> None:
    found = accepts(
        "-A FORWARD -j LIBVIRT_FWI",
        "-A FORWARD -j DOCKER",
        "-A FORWARD -j FILTERS-CONTAINERS",
        "-A FORWARD -d 10.0.0.0/8 -j DROP",
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -j ACCEPT",
        "-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -j ACCEPT",
        "-A DOCKER -d 172.17.0.2 -o docker0 -j ACCEPT",
        "-A FILTERS-CONTAINERS -d 10.0.0.0/8 -j ACCEPT",
    )
    assert found == (ForwardAccept(4, VMS, "virbr0", ()),)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("-d 192.0.2.77 -j DNAT --to-destination 10.1.0.7", ("192.0.2.77", "", 0, 65535)),
        ("-p udp --dport 10000:20000 -j DNAT --to-destination 10.1.0.7", (None, "udp", 10000, 20000)),
        ("-p tcp -j DNAT --to-destination 10.1.0.7", (None, "tcp", 0, 65535)),
        ("-p tcp --dport 80 -j DNAT --to-destination 10.1.0.7:8080", None),
        ("-p tcp --dport 10000:20000 -j REDIRECT --to-ports 80", None),
        ("-j DNAT --to-destination 10.1.0.7-10.1.0.9", None),
    ],
)
def test_a_rule_that_forwards_more_than_a_list_of_ports(
    line: str, found: tuple[str | None, str, int, int] | None
) -> None:
    text = f"*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {line}\nCOMMIT\n"
    wide = [
        (str(each.address) if each.address else None, each.protocol, each.port, each.last_port)
        for each in find_wide_forwards(parse_restore(text), 4)
        if each.to_address == ip_address("10.1.0.7")
    ]
    assert wide == ([found] if found else [])
