"""The offers of a host, one per port: Docker's rule and docker-proxy's socket for a port are one offer."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from dockerfw.chains.redirects import Redirect, find_redirects
from dockerfw.iptables.model import Family
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach.listening import Listener, Listening, Publication, Published, RunningContainer
from dockerfw.reach.offers import Offer, find_offers
from dockerfw.reach.sentences import INGRESS_ON_EVERY_NODE, ON_HOST_NETWORK, RULES_IN_NFTABLES

ANY4 = Published(4, "tcp", None, 8080, ip_address("172.17.0.2"), 80)
PROXIES = (
    Listener(4, "tcp", None, 8080, process="docker-proxy", unit="docker.service"),
    Listener(6, "tcp", None, 8080, v6only=True, process="docker-proxy", unit="docker.service"),
)
WEB = RunningContainer(
    id="0123456789ab",
    name="shop-web-1",
    project="shop",
    service="web",
    network_mode="shop_default",
    addresses=(ip_address("172.17.0.2"),),
    publications=(Publication("tcp", None, 8080, 80),),
)


def only(listening: Listening) -> Offer:
    (offer,) = find_offers(listening)
    return offer


def test_a_published_port_and_its_proxy_are_one_line() -> None:
    offer = only(Listening(PROXIES, (ANY4,), (WEB,)))
    assert (offer.protocol, offer.port, offer.address, offer.families) == ("tcp", 8080, None, (4, 6))
    assert (offer.kind, offer.name, offer.detail, offer.inner) == (
        "container",
        "shop-web-1",
        "shop/web",
        ("172.17.0.2:80",),
    )
    assert offer.notes == ("docker-proxy handles IPv6 on the host itself, and the host's own connections.",)
    assert offer.reaches_container


def redirects(line: str, family: Family = 4) -> tuple[Redirect, ...]:
    return find_redirects(parse_restore(f"*nat\n-A PREROUTING {line}\nCOMMIT\n", family=family), family)


def test_a_port_sent_to_the_hosts_own_address_is_offered_by_the_program_behind_it() -> None:
    line = "-p tcp --dport 8443 -j DNAT --to-destination 192.0.2.1:443"
    (redirect,) = redirects(line)
    assert redirect.to_host is None
    app = Listener(4, "tcp", ip_address("192.0.2.1"), 443, process="nginx")
    offer, _ = find_offers(Listening((app,), redirects=(replace(redirect, to_host=True),)))[::-1]
    assert (offer.port, offer.kind, offer.name) == (8443, "process", "nginx")
    elsewhere = find_offers(Listening((app,), redirects=(replace(redirect, to_host=False),)))[-1]
    assert (elsewhere.port, elsewhere.kind, elsewhere.name) == (8443, "forward", "")


def test_a_redirected_port_is_offered_by_the_program_behind_it() -> None:
    app = Listener(6, "tcp", None, 5000, process="app", unit="app.service")
    line = "-i eth0 -p tcp --dport 443 -j REDIRECT --to-ports 5000"
    offer, other = find_offers(Listening((app,), redirects=redirects(line)))
    assert (offer.port, offer.interface, offer.families, offer.kind) == (443, "eth0", (4,), "process")
    assert (offer.name, offer.detail) == ("app", "app.service")
    assert offer.notes == ("Another rule sends packets for this port to port 5000.",)
    assert (other.port, other.families, other.notes) == (5000, (4, 6), ())
    local = Listener(4, "tcp", ip_address("127.0.0.1"), 5000, process="app")
    assert find_offers(Listening((local,), redirects=redirects(line)))[0].name == ""


def test_a_port_that_another_rule_forwards() -> None:
    line = "-d 192.0.2.1 -p tcp --dport 443 -j DNAT --to-destination 10.0.0.5:8443"
    offer = only(Listening((), redirects=redirects(line)))
    assert (offer.port, str(offer.address), offer.kind) == (443, "192.0.2.1", "forward")
    assert (offer.detail, offer.inner_port(4)) == ("10.0.0.5:8443", 8443)
    assert offer.notes == ("Another rule sends packets for this port to 10.0.0.5:8443.",)
    assert not offer.reaches_container


def test_without_docker_the_container_is_its_address() -> None:
    offer = only(Listening((), (ANY4,), None))
    assert (offer.kind, offer.name, offer.inner, offer.families) == (
        "container",
        "",
        ("172.17.0.2:80",),
        (4,),
    )


def test_a_port_that_only_docker_proxy_holds_is_its_containers() -> None:
    offer = only(Listening(PROXIES[1:], (), (WEB,)))
    assert (offer.kind, offer.name, offer.families) == ("container", "shop-web-1", (6,))
    assert offer.notes == ("docker-proxy handles IPv6 on the host itself.",)


def test_a_socket_on_the_any_ipv6_address_takes_both_families_unless_v6only() -> None:
    both = only(Listening((Listener(6, "tcp", None, 22, process="sshd", unit="ssh.service"),)))
    assert (both.families, both.kind, both.name, both.detail) == ((4, 6), "process", "sshd", "ssh.service")
    assert only(Listening((Listener(6, "tcp", None, 22, v6only=True),))).families == (6,)
    two = Listening((Listener(4, "tcp", None, 22), Listener(6, "tcp", None, 22, v6only=True)))
    assert only(two).families == (4, 6)


def test_addresses_and_interfaces_are_told_apart() -> None:
    listeners = (
        Listener(4, "udp", ip_address("127.0.0.53"), 53, interface="lo", process="systemd-resolved"),
        Listener(4, "udp", ip_address("192.0.2.10"), 53, process="named"),
        Listener(4, "udp", None, 53, process="dnsmasq"),
        Listener(4, "tcp", None, 53, process="dnsmasq"),
    )
    found = find_offers(Listening(listeners))
    assert [(each.protocol, str(each.address), each.interface, each.name) for each in found] == [
        ("tcp", "None", "", "dnsmasq"),
        ("udp", "None", "", "dnsmasq"),
        ("udp", "127.0.0.53", "lo", "systemd-resolved"),
        ("udp", "192.0.2.10", "", "named"),
    ]


def test_several_processes_on_one_port_are_one_offer() -> None:
    workers = tuple(Listener(4, "tcp", None, 80, process=name) for name in ("nginx", "nginx", "haproxy"))
    assert only(Listening(workers)).name == "nginx, haproxy"


def test_a_container_on_the_hosts_network_is_named() -> None:
    listener = Listener(
        4, "tcp", None, 9100, process="node_exporter", unit="docker-x.scope", container="aaaaaaaaaaaa"
    )
    exporter = RunningContainer(id="aaaaaaaaaaaa", name="exporter", network_mode="host")
    offer = only(Listening((listener,), (), (exporter,)))
    assert (offer.kind, offer.name, offer.detail) == ("host-container", "exporter", "node_exporter")
    assert offer.notes == (ON_HOST_NETWORK,)
    assert not offer.reaches_container
    unknown = only(Listening((listener,), (), None))
    assert (unknown.kind, unknown.name) == ("host-container", "aaaaaaaaaaaa")


def test_swarms_ingress_is_named() -> None:
    dockerd = Listener(6, "tcp", None, 8000, process="dockerd", unit="docker.service")
    offer = only(Listening((dockerd,), (), (), frozenset({("tcp", 8000)})))
    assert offer.kind == "ingress"
    assert (offer.families, offer.inner_port(4)) == ((4,), 8000)
    assert offer.notes == (INGRESS_ON_EVERY_NODE,)
    assert offer.reaches_container


def test_rules_are_unseen_if_docker_filters_with_nftables() -> None:
    sshd = Listener(4, "tcp", None, 22, process="sshd")
    offers = {each.port: each for each in find_offers(Listening((sshd,), (), (WEB,), by_nftables=True))}
    assert (offers[22].unseen, offers[8080].unseen) == ("", RULES_IN_NFTABLES)
    assert (offers[8080].kind, offers[8080].name, offers[8080].families) == ("container", "shop-web-1", (4,))
    proxied = find_offers(Listening(PROXIES, (), (WEB,), by_nftables=True))
    assert [(each.port, each.families, each.unseen) for each in proxied] == [
        (8080, (4, 6), RULES_IN_NFTABLES)
    ]


def test_a_program_behind_dockers_rule_is_mentioned() -> None:
    nginx = Listener(4, "tcp", None, 8080, process="nginx")
    offer = only(Listening((nginx,), (ANY4,), (WEB,)))
    assert offer.kind == "container"
    assert offer.notes == ("nginx listens here too, but Docker's rule gets the packets first.",)
