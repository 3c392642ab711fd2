"""A network whose bridge has a name that an admin chose, on a host where Docker writes no rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerfw.document.values import Settings
from dockerfw.host.observation import observe
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.snapshot_values import container_families_of
from dockerfw.messages.snapshots import Snapshot
from tests.rig.connections import try_port
from tests.rig.lab import EXTERNAL, HOST_6, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES

pytestmark = pytest.mark.lab

ADDRESS = "2001:db8:30::2"


@pytest.fixture(scope="module")
def named(_engine_works: None) -> Iterator[Lab]:
    """A lab whose only network with IPv6 addresses has the bridge mybr and no container."""
    lab = Lab(engine_options=("--iptables=false",))
    try:
        subnets = ("--subnet=172.30.0.0/24", "--ipv6", "--subnet=2001:db8:30::/64")
        name = "--opt=com.docker.network.bridge.name=mybr"
        lab.docker.docker("network", "create", *subnets, name, "custom")
        lab.client.run("ip", "route", "add", "2001:db8:30::/64", "via", HOST_6)
        yield lab
    finally:
        lab.delete()


def look(lab: Lab) -> Snapshot:
    with lab.host.entered():
        seen = observe("lab", docker_socket=Path(lab.docker.socket.removeprefix("unix://")))
    assert Snapshot.from_json(load_json(dump_json(seen.to_json()))) == seen
    return seen


def test_an_empty_network_is_known_and_its_first_container_is_refused(named: Lab) -> None:
    seen = look(named)
    assert seen.named_bridges == ("mybr",)
    rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
    settings = Settings(external_interfaces=(EXTERNAL,))
    assert container_families_of(seen, rulesets, settings) == {4, 6}
    named.load_unseen(document(allow("container", 8080)))
    # The jump was there before the container was.
    named.docker.run_web("later", f"--ip6={ADDRESS}", network="custom")
    try:
        assert try_port(named.client, ADDRESS, 80) == "prohibited"
        for family in FAMILIES:
            named.host.iptables("-F", "FORWARD", backend=named.docker.backend, family=family)
        named.unload()
        assert try_port(named.client, ADDRESS, 80) == "connected"
    finally:
        named.docker.remove(["later"])
