"""What a root worker would say of a host on which things listen: sshd, a published shop, a database at home.

Docker's lines are those that Docker 20.10 writes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dockerfw.document.document import Document
from dockerfw.iptables.model import Family
from dockerfw.messages.surroundings import Container, ContainerPort, ListeningSocket, PublishedPort
from rules.models import Host
from tests.rig.kernel_reports import save_of, snapshot_store

NAT = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
[0:0] -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
[0:0] -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
[0:0] -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
[0:0] -A DOCKER -i docker0 -j RETURN
[0:0] -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
[0:0] -A DOCKER ! -i docker0 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 172.17.0.3:5432
COMMIT
"""
FORWARDED = """[0:0] -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A FORWARD -o docker0 -j DOCKER
[0:0] -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
[0:0] -A FORWARD -i docker0 -o docker0 -j ACCEPT
[0:0] -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
[0:0] -A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 5432 -j ACCEPT
"""
SOCKETS = (
    ListeningSocket(4, "tcp", "", 22, process="sshd", pid=1, unit="ssh.service"),
    ListeningSocket(6, "tcp", "", 22, v6only=True, process="sshd", pid=1, unit="ssh.service"),
    ListeningSocket(4, "tcp", "", 8080, process="docker-proxy", pid=2, unit="docker.service"),
    ListeningSocket(6, "tcp", "", 8080, v6only=True, process="docker-proxy", pid=3, unit="docker.service"),
    ListeningSocket(4, "tcp", "", 5432, process="docker-proxy", pid=4, unit="docker.service"),
    ListeningSocket(4, "tcp", "127.0.0.1", 6379, process="redis-server", pid=5, unit="redis.service"),
    ListeningSocket(4, "udp", "127.0.0.53", 53, interface="lo", process="systemd-resolve", pid=6),
)
PUBLISHED = (
    PublishedPort(4, "tcp", "", 8080, "172.17.0.2", 80),
    PublishedPort(4, "tcp", "", 5432, "172.17.0.3", 5432),
)
CONTAINERS = (
    Container(
        "0123456789ab",
        "shop-web-1",
        project="shop",
        service="web",
        network_mode="bridge",
        addresses=("172.17.0.2",),
        ports=(ContainerPort("tcp", 80, 8080),),
    ),
    Container(
        "ba9876543210",
        "shop-db-1",
        project="shop",
        service="db",
        network_mode="bridge",
        addresses=("172.17.0.3",),
        ports=(ContainerPort("tcp", 5432, 5432),),
    ),
)


def busy_save(document: Document | None, family: Family, revision: int = 0) -> str:
    """Return a save of that host, holding a document's chains, or none of ours."""
    filters = save_of(document, family, revision)
    if family == 6:
        return filters
    return NAT + filters.replace(
        "[0:0] -A FORWARD -j DOCKER-USER\n", "[0:0] -A FORWARD -j DOCKER-USER\n" + FORWARDED
    )


def busy_store(
    host: Host, document: Document | None = None, revision: int = 0, *, age: float = 0.0, **around: Any
) -> datetime:
    """Store a snapshot of that host; `around` are fields that are other than said above."""
    usual = {"sockets": SOCKETS, "published": PUBLISHED, "containers": CONTAINERS}
    return snapshot_store(
        host,
        age=age,
        saves={4: busy_save(document, 4, revision), 6: busy_save(document, 6, revision)},
        bridge=("172.17.0.1/16",),
        around={**usual, **around},
    )
