"""A host with libvirt beside Docker: machines behind virbr0 that clients reach, and a port forward to one."""

from __future__ import annotations

from dockerfw.document.document import Document
from dockerfw.messages.surroundings import Interface
from rules.models import Host
from tests.rig.busy_host import CONTAINERS, PUBLISHED, SOCKETS, busy_save
from tests.rig.kernel_reports import snapshot_store

INTERFACES = (
    Interface("docker0", ("172.17.0.1/16",), True, kind="bridge"),
    Interface("ens33", ("192.0.2.1/24", "2001:db8::1/64"), True),
    Interface("lo", ("127.0.0.1/8", "::1/128"), True),
    Interface("virbr0", ("192.168.122.1/24",), True, kind="bridge"),
)
ACCEPT = "-A FORWARD -d 192.168.122.0/24 -o virbr0 -j ACCEPT"
FORWARD = "-A PREROUTING -p tcp -m tcp --dport 2222 -j DNAT --to-destination 192.168.122.10:22"


def store_machines(
    host: Host, document: Document | None = None, revision: int = 0, accept: str = ACCEPT
) -> None:
    """Store a snapshot of that host; `accept` is libvirt's rule."""
    last = "[0:0] -A FORWARD -i docker0 -o docker0 -j ACCEPT\n"
    nat = "[0:0] -A OUTPUT ! -d 127.0.0.0/8"
    save = busy_save(document, 4, revision)
    assert last in save
    assert nat in save
    save = save.replace(last, f"{last}[0:0] {accept}\n").replace(nat, f"[0:0] {FORWARD}\n{nat}")
    around = {"sockets": SOCKETS, "published": PUBLISHED, "containers": CONTAINERS}
    snapshot_store(
        host,
        saves={4: save, 6: busy_save(document, 6, revision)},
        around={**around, "interfaces": INTERFACES},
    )
