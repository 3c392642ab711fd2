"""A small Docker host for tests of what rules mean: two containers, one published as it is, one moved.

`db` is published as 5432, `web` (Compose's shop/web) as 8080 for its port 80. Clients come in by ens33.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_interface

from dockerfw.chains.render import render_restore
from dockerfw.document.document import Document
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach.bound_sets import with_bound_sets
from dockerfw.reach.listening import Listener, Listening, Publication, Published, RunningContainer
from dockerfw.simulation.simulate import Prepared, prepare
from dockerfw.simulation.surroundings import HostInterface, Surroundings

SAVE = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 172.17.0.2:5432
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.3:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 5432 -j ACCEPT
-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""
SAVE6 = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\nCOMMIT\n"
)

SURROUNDINGS = Surroundings(
    (
        HostInterface("lo", (ip_interface("127.0.0.1/8"), ip_interface("::1/128")), True),
        HostInterface("ens33", (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64")), True),
        HostInterface("docker0", (ip_interface("172.17.0.1/16"),), True, kind="bridge"),
    ),
    {4: ("ens33",), 6: ("ens33",)},
)
OUTSIDE = (SURROUNDINGS.interfaces[1],)

DB = RunningContainer(
    "00000000000d",
    "db",
    "",
    "",
    "bridge",
    (ip_address("172.17.0.2"),),
    (Publication("tcp", None, 5432, 5432),),
)
WEB = RunningContainer(
    "00000000000e",
    "shop-web-1",
    "shop",
    "web",
    "bridge",
    (ip_address("172.17.0.3"),),
    (Publication("tcp", None, 8080, 80),),
)
LISTENING = Listening(
    listeners=(Listener(4, "tcp", None, 22, process="sshd"), Listener(6, "tcp", None, 22, process="sshd")),
    published=(
        Published(4, "tcp", None, 5432, ip_address("172.17.0.2"), 5432),
        Published(4, "tcp", None, 8080, ip_address("172.17.0.3"), 80),
    ),
    containers=(DB, WEB),
)

# docker-proxy's sockets, which the root worker puts into the sets that the rules name.
PROXIES = Listening(
    tuple(
        Listener(family, "tcp", None, port, v6only=family == 6, process="docker-proxy")
        for family in FAMILIES
        for port in (5432, 8080)
    )
)


def loaded(
    document: Document | None, *, above: Iterable[str] = (), surroundings: Surroundings = SURROUNDINGS
) -> Mapping[Family, Prepared]:
    """Return both families as they are after a load of a document, None for before the first.

    `above` are IPv4 commands, such as others' rules, that come before ours in the filter table.
    """
    saves: dict[Family, str] = {4: SAVE, 6: SAVE6}
    found: dict[Family, Prepared] = {}
    for family, save in saves.items():
        text = save
        if document is not None:
            text += render_restore(document, family, live=parse_save(save), revision=1)
        if family == 4:
            text += "\n".join(["*filter", *above, "COMMIT", ""])
        around = with_bound_sets(surroundings, PROXIES, ("ens33",))
        found[family] = prepare(parse_restore(text, family=family), around, family)
    return found
