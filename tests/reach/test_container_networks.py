"""The families in which containers have addresses, from bridges, rules and Docker's own answers."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest

from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.reach.container_networks import container_families
from dockerfw.reach.listening import RunningContainer
from dockerfw.simulation.surroundings import HostInterface

BOTH = ("10.9.0.1/24", "2001:db8:9::1/64")


@pytest.mark.parametrize(
    ("name", "kind", "addresses", "families"),
    [
        ("docker0", "bridge", BOTH, {4, 6}),
        ("docker0", "bridge", ("172.17.0.1/16", "fe80::1/64"), {4}),
        ("docker0", "", ("fd00:1::1/64",), {6}),
        ("br-0123456789ab", "bridge", BOTH, {4, 6}),
        ("docker_gwbridge", "bridge", BOTH, {4, 6}),
        ("named0", "bridge", BOTH, {4, 6}),
        ("inside0", "bridge", BOTH, {4, 6}),
        ("joined0", "bridge", BOTH, {4, 6}),
        ("lxdbr0", "bridge", BOTH, set()),
        ("virbr0", "bridge", ("192.168.122.1/24", "2001:db8:7::1/64"), set()),
        ("br-lan", "bridge", ("192.168.1.1/24",), set()),
        ("wg0", "wireguard", BOTH, set()),
        ("ens33", "", BOTH, set()),
        ("lan0", "bridge", BOTH, set()),
    ],
)
def test_which_bridges_are_container_networks(
    name: str, kind: str, addresses: tuple[str, ...], families: set[Family]
) -> None:
    save = "*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n-A FORWARD -o named0 -j DOCKER\nCOMMIT\n"
    inner = "10.9.0.9" if name in ("inside0", "lan0") else "10.8.0.9"
    container = RunningContainer("00000000000d", "db", addresses=(ip_address(inner),))
    interface = HostInterface(name, tuple(map(ip_interface, addresses)), True, kind=kind)
    ends = (
        HostInterface("veth0a1b2c3", (), True, master="joined0", kind="veth"),
        HostInterface("veth0a1b2c3d", (), True, master="lxdbr0", kind="veth"),
    )
    # A macvlan container is in the network of lan0, which is external.
    found = container_families([interface, *ends], {4: parse_save(save)}, (container,), ("ens33", "lan+"))
    assert found == families


def test_engine_28_names_its_bridges_in_a_chain_of_its_own() -> None:
    save = "*filter\n:DOCKER - [0:0]\n:DOCKER-BRIDGE - [0:0]\n-A DOCKER-BRIDGE -o mine -j DOCKER\nCOMMIT\n"
    bridge = HostInterface("mine", (ip_interface("2001:db8:9::1/64"),), True, kind="bridge")
    assert container_families([bridge], {6: parse_save(save)}, None, ()) == {6}
    assert container_families([bridge], {}, None, ()) == set()
    assert container_families([bridge], {}, None, (), ("other", "mine")) == {6}
    assert container_families([bridge], {}, None, ("mine",), ("mine",)) == set()
