"""The members of the bound sets: which networks and sockets the root worker puts in."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

from dockerfw.chains.bound_sets import MOST_MEMBERS
from dockerfw.reach.bound_sets import bound_members, with_bound_sets
from dockerfw.reach.listening import Listener, Listening, RunningContainer
from dockerfw.simulation.surroundings import HostInterface, IpSet, Surroundings

PROXY4, PROXY6 = "dockerfw4-proxy", "dockerfw6-proxy"
BRIDGES4, BRIDGES6 = "dockerfw4-bridges", "dockerfw6-bridges"


def interface(name: str, *addresses: str, kind: str = "", master: str | None = None) -> HostInterface:
    return HostInterface(name, tuple(map(ip_interface, addresses)), True, master, kind)


ENS33 = interface("ens33", "192.0.2.1/24", "2001:db8::1/64")
DOCKER0 = interface("docker0", "172.17.0.1/16", "fd00:d0c::1/64", "fe80::1/64", kind="bridge")
VETH = interface("veth0a1b2c3", kind="veth", master="docker0")


def members(*interfaces: HostInterface, listeners: tuple[Listener, ...] = ()) -> dict[str, tuple[str, ...]]:
    return dict(bound_members(Surroundings(interfaces), Listening(listeners), ("ens33",)))


def test_a_container_network_is_its_subnet_on_its_bridge_in_each_family() -> None:
    found = members(ENS33, DOCKER0, VETH)
    assert found[BRIDGES4] == ("172.17.0.0/16,docker0",)
    assert found[BRIDGES6] == ("fd00:d0c::/64,docker0",)
    assert found[PROXY4] == found[PROXY6] == ()


def test_a_network_with_another_name_is_known_by_its_containers() -> None:
    shop = interface("shop", "10.9.0.1/24", kind="bridge")
    assert members(ENS33, shop)[BRIDGES4] == ()
    assert members(ENS33, shop, interface("veth1234567", kind="veth", master="shop"))[BRIDGES4] == (
        "10.9.0.0/24,shop",
    )


def test_a_bridge_with_other_machines_behind_it_is_no_container_network() -> None:
    assert members(ENS33, DOCKER0, interface("eth9", master="docker0"))[BRIDGES4] == ()
    assert members(ENS33, DOCKER0, interface("vxlan7", kind="vxlan", master="docker0"))[BRIDGES4] == ()


def test_the_network_of_a_macvlan_container_is_not_the_containers_own() -> None:
    lan = interface("eth1", "192.168.7.2/24")
    container = RunningContainer("0123456789ab", "pihole", addresses=(ip_address("192.168.7.9"),))
    listening = Listening(containers=(container,))
    assert bound_members(Surroundings((ENS33, lan)), listening, ("ens33",))[BRIDGES4] == ()


def test_an_external_bridge_is_no_container_network() -> None:
    assert bound_members(Surroundings((DOCKER0,)), Listening(), ("docker0",))[BRIDGES4] == ()
    assert bound_members(Surroundings((DOCKER0,)), Listening(), ("docker+",))[BRIDGES4] == ()


def test_a_name_that_ipset_reads_in_another_way_stays_out() -> None:
    for name in ("docker0 nomatch", "physdev:ens33", "br,dummy"):
        odd = interface(name, "10.9.0.1/24", kind="bridge")
        end = interface("veth1234567", kind="veth", master=name)
        assert members(ENS33, odd, end)[BRIDGES4] == ()


def test_the_sockets_of_docker_proxy_are_its_addresses_and_ports() -> None:
    found = members(
        listeners=(
            Listener(4, "tcp", None, 8080, process="docker-proxy"),
            Listener(6, "tcp", None, 8080, v6only=True, process="docker-proxy"),
            Listener(4, "udp", ip_address("192.0.2.1"), 53, process="docker-proxy"),
            Listener(4, "tcp", None, 22, process="sshd"),
            Listener(4, "tcp", None, 9000),
        )
    )
    assert found[PROXY4] == ("0.0.0.0/1,tcp:8080", "128.0.0.0/1,tcp:8080", "192.0.2.1,udp:53")
    assert found[PROXY6] == ("8000::/1,tcp:8080", "::/1,tcp:8080")


def test_an_ipv6_socket_that_takes_ipv4_counts_for_both() -> None:
    found = members(listeners=(Listener(6, "tcp", None, 8080, process="docker-proxy"),))
    assert found[PROXY4] == ("0.0.0.0/1,tcp:8080", "128.0.0.0/1,tcp:8080")
    assert found[PROXY6] == ("8000::/1,tcp:8080", "::/1,tcp:8080")


def test_a_port_on_loopback_stays_the_hosts_own() -> None:
    found = members(
        listeners=(
            Listener(4, "tcp", ip_address("127.0.0.1"), 8080, process="docker-proxy"),
            Listener(6, "tcp", ip_address("::1"), 8080, process="docker-proxy"),
        )
    )
    assert found[PROXY4] == found[PROXY6] == ()


def test_members_are_bounded() -> None:
    listeners = tuple(
        Listener(4, "tcp", ip_address("192.0.2.1"), port, process="docker-proxy") for port in range(1, 20_000)
    )
    assert len(members(listeners=listeners)[PROXY4]) == MOST_MEMBERS


def test_a_load_adds_the_sets_that_are_missing_and_leaves_the_kernels() -> None:
    there = IpSet(PROXY4, "hash:net,port", ("192.0.2.1,tcp:1",), "family inet")
    before = Surroundings((ENS33, DOCKER0), sets={PROXY4: there})
    after = with_bound_sets(before, Listening(), ("ens33",))
    assert after.sets[PROXY4] is there
    assert after.sets[BRIDGES4] == IpSet(
        BRIDGES4, "hash:net,iface", ("172.17.0.0/16,docker0",), "family inet"
    )
    assert after.sets[BRIDGES6].options == after.sets[PROXY6].options == "family inet6"
    assert set(after.sets) == {BRIDGES4, BRIDGES6, PROXY4, PROXY6}
