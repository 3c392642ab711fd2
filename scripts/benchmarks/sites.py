"""A host with a client and a container beside it, in namespaces, and the documents that it is given."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from dockerfw.chains.match_groups import Thresholds
from dockerfw.chains.render import write_restore
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.static_sets import filling_text
from dockerfw.document.document import make_document
from dockerfw.document.values import Document, DocumentRule, Group, Scope, Settings
from dockerfw.iptables.parse import parse_save
from tests.rig.namespace import Namespace, add_bound_sets, join_namespaces

LINES: Final = Thresholds(lines=10**9, row=10**9, limited_row=10**9)
"""One line for each source and no dispatch, as releases before wrote a document."""

HOST, CLIENT, REFUSED, CONTAINER = "192.0.2.1", "192.0.2.2", "192.0.2.3", "172.17.0.2"
# The last port of the document, so that plain lines are all walked.
PORT = 60_999
MOST_RULES = 20_000
_SETTINGS = Settings(external_interfaces=("ens33",))
_DOCKER = f"""*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -p tcp -m tcp --dport {{port}} -j DNAT --to-destination {CONTAINER}:80
COMMIT
*filter
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
COMMIT
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A host whose client has an address that the documents let in, and one that they refuse."""

    host: Namespace
    client: Namespace
    container: Namespace

    def load(self, rendering: Rendering) -> float:
        """Load rules with their sets, and return the seconds that this took."""
        text = write_restore(rendering, 4, live=parse_save(self.host.save()))
        sets = filling_text(rendering.sets)
        began = time.perf_counter()
        if sets:
            self.host.run("ipset", "-exist", "restore", stdin=sets, timeout=600)
        self.host.run("iptables-nft-restore", "-n", stdin=text, timeout=600)
        return time.perf_counter() - began


@contextmanager
def make_site(scope: Scope = "host") -> Iterator[Site]:
    """Make a host with Docker's tables, which publish PORT for the scope "container"."""
    with Namespace("bench-host") as host, Namespace("bench-client") as client, Namespace("bench-box") as box:
        join_namespaces(host, "ens33", client, "eth0")
        join_namespaces(host, "docker0", box, "eth0")
        host.add_addresses("ens33", f"{HOST}/24")
        host.add_addresses("docker0", "172.17.0.1/16")
        client.add_addresses("eth0", f"{CLIENT}/24", f"{REFUSED}/24")
        box.add_addresses("eth0", f"{CONTAINER}/16")
        box.run("ip", "route", "add", "default", "via", "172.17.0.1")
        # The kernel is not to save answers: each refusal costs what a single one costs.
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratemask=0")
        # A Docker host tracks connections with or without dockerfw.
        host.restore(_DOCKER.format(port=PORT if scope == "container" else 1))
        add_bound_sets(host)
        yield Site(host, client, box)


def document_of(scope: Scope, allowances: int, *, one_port: bool = False) -> Document:
    """Return a document of this many sources; the last rule lets the client in."""
    count = min(allowances, MOST_RULES)
    each = math.ceil(allowances / max(count, 1))
    rules = [
        DocumentRule(
            f"r{number:05d}",
            scope,
            tuple(f"10.{each_source}.{number >> 8}.{number & 255}/32" for each_source in range(each)),
            "tcp",
            (str(PORT if one_port else 1024 + number * 59_000 // count),),
        )
        for number in range(count - 1)
    ]
    if count:
        rules.append(DocumentRule("last", scope, (f"{CLIENT}/32",), "tcp", (str(PORT),)))
    return make_document(_SETTINGS, tuple(rules))


def document_of_list(group: Group) -> Document:
    """Return a document whose only allowance is a list."""
    rule = DocumentRule("list", "host", (f"@{group.name}",), "tcp", (str(PORT),))
    return make_document(_SETTINGS, (rule,), groups=(group,))
