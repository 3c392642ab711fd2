"""Typical hosts to load into a namespace: Docker's chains, fail2ban, custom rules."""

from __future__ import annotations

from pathlib import Path

from tests.rig.namespace import FAMILIES, Backend, Family, Namespace

FOLDER = Path(__file__).parent

_FILTER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A INPUT -i vpn0 -p udp -m udp --dport 53 -m comment --comment "it's \\"mine\\", -j FILTERS" -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -s {bad} -j DROP
-A DOCKER-USER -j RETURN
-A f2b-sshd -s {banned} -j REJECT --reject-with {unreachable}
-A f2b-sshd -j RETURN
COMMIT
"""
_NAT = """*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {container}
COMMIT
*mangle
-A PREROUTING -p tcp -m tcp --dport 80 -j MARK --set-mark 0x1
COMMIT
"""
_WORDS: dict[Family, dict[str, str]] = {
    4: {
        "bad": "203.0.113.9/32",
        "banned": "198.51.100.7/32",
        "unreachable": "icmp-port-unreachable",
        "container": "172.17.0.2:80",
    },
    6: {
        "bad": "2001:db8:bad::/48",
        "banned": "2001:db8::7/128",
        "unreachable": "icmp6-port-unreachable",
        "container": "[fd00::2]:80",
    },
}


def busy_host(family: Family) -> str:
    """Return the restore text of a host with Docker, fail2ban and custom rules."""
    return (_FILTER + _NAT).format(**_WORDS[family])


def load_busy_host(namespace: Namespace, backend: Backend) -> None:
    """Load that host for both families."""
    for family in FAMILIES:
        namespace.restore(busy_host(family), backend, family, noflush=False)


def load_set_rules(namespace: Namespace, backend: Backend) -> None:
    """Add the rules of fail2ban's ipset actions, which need a set in the namespace."""
    for family in FAMILIES:
        name = f"f2b-set{family}"
        namespace.run("ipset", "create", name, "hash:ip", "family", "inet" if family == 4 else "inet6")
        match = ("-m", "set", "--match-set", name, "src")
        namespace.iptables("-A", "f2b-sshd", *match, "-j", "REJECT", backend=backend, family=family)
