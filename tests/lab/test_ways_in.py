"""Packets on another interface than the chosen one: they reach containers, and every surface says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.chains.drift import WAYS_IN
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.ways_in import inside_interfaces, outside_interfaces
from dockerfw.command_line.status import judge_status
from dockerfw.doctor.kernel import KernelFacts, judge_kernel
from dockerfw.document.values import Expectation
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.snapshot_values import drift_of, listening_of, surroundings_of
from dockerfw.messages.snapshots import Snapshot
from dockerfw.reach.expectations import ExpectationContext, check_expectations
from dockerfw.reach.exposure import expose
from dockerfw.reach.offers import find_offers
from dockerfw.simulation.simulate import prepare
from dockerfw.store.state import StateDirectory
from tests.rig.connections import fetch, try_port
from tests.rig.lab import EXTERNAL, HOST, HOST_6, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES, CommandError, join_namespaces

pytestmark = pytest.mark.lab

ADDRESSES = (f"{HOST}/24", "198.51.100.1/24", f"{HOST_6}/64")
CLOSED = Expectation("any", "tcp", 8081, "container", passes=False)


@dataclass(frozen=True, slots=True)
class Rewiring:
    """Commands of `ip` on the host and on the client, and where packets from outside arrive afterwards."""

    host: tuple[str, ...]
    arrives_on: str
    codes: frozenset[str]
    client: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    address: str = HOST


def _to(name: str) -> tuple[str, ...]:
    """Return the commands that move the host's addresses to another interface."""
    added = [f"address add {each} dev {name}{' nodad' if ':' in each else ''}" for each in ADDRESSES]
    return (f"address flush dev {EXTERNAL} scope global", *added, f"link set {name} up")


RENAMED = ("link set ens33 down", "link set ens33 name enp1s0", "link set enp1s0 up")
NAMED_BACK = ("link set enp1s0 down", "link set enp1s0 name ens33", "link set ens33 up")
GONE, IDLE, OPEN = "interface-missing", "interface-idle", "interface-uncovered"
REWIRINGS = {
    "renamed": Rewiring(RENAMED, "enp1s0", frozenset((GONE, OPEN)), undo=NAMED_BACK),
    "only an alternative name": Rewiring(
        (*RENAMED, "link property add dev enp1s0 altname ens33"),
        "enp1s0",
        frozenset((GONE, OPEN)),
        undo=("link property del dev enp1s0 altname ens33", *NAMED_BACK),
    ),
    "a port of a bridge": Rewiring(
        ("link add br0 type bridge", "link set ens33 master br0", *_to("br0")),
        "br0",
        frozenset((IDLE, OPEN)),
        undo=("link del br0",),
    ),
    "below a macvlan": Rewiring(
        ("link add link ens33 name mac0 type macvlan mode bridge", *_to("mac0")),
        "mac0",
        frozenset((IDLE, OPEN)),
        undo=("link del mac0",),
    ),
    "beside a macvlan": Rewiring(
        (
            "link add link ens33 name mac0 type macvlan mode bridge",
            "link set mac0 up",
            "address add 10.9.0.1/24 dev mac0",
        ),
        "mac0",
        frozenset((OPEN,)),
        client=("address add 10.9.0.2/24 dev eth0",),
        undo=("link del mac0",),
        address="10.9.0.1",
    ),
}


@dataclass(slots=True)
class Host:
    """The lab with revision 1 confirmed: `web` is open, `other` at 8081 is not."""

    lab: Lab
    told: list[ConsoleEvent] = field(default_factory=list)
    seen: Snapshot | None = None

    def ip(self, *commands: str) -> None:
        for command in commands:
            self.lab.host.run("ip", *command.split())

    def connects(self, address: str, source: str | None = None) -> bool:
        return try_port(self.lab.client, address, 8081, source=source) == "connected"

    def look(self) -> Snapshot:
        """Look as the root worker does; the snapshot crosses the queue."""
        state = StateDirectory(self.lab.host.directory / "state")
        socket = Path(self.lab.docker.socket.removeprefix("unix://"))
        with self.lab.host.entered():
            monitor = DriftMonitor(state, host="lab", tell=self.told.append, docker_socket=socket)
            self.seen = Snapshot.from_json(monitor.look().to_json())
        return self.seen

    def codes(self) -> set[str]:
        """Return what drift says, which the dashboard, its event, status and doctor share."""
        seen, lab = self.look(), self.lab
        found = drift_of(seen, lab.live(), lab.document, lab.revision).findings
        facts = KernelFacts(seen, document=lab.document, revision=lab.revision, other_backend=0, drops=())
        levels = {each.id: each.level for each in judge_kernel(facts)}
        assert (levels["anchors.interfaces"] == "ok") == (not found)
        assert judge_status(facts).level == ("bad" if found else "ok")
        around = surroundings_of(seen)
        warned = {each.code for each in plan_changes(lab.document, lab.live(), surroundings=around).warnings}
        assert warned & WAYS_IN == {each.code for each in found}
        return {each.code for each in found}

    def expect(self, source: str, *, passes: bool = False, port: int = 8081) -> str:
        """Return the state of an expectation about `other`."""
        return self._check(replace(CLOSED, source=source, passes=passes, container="other", port=port))

    def _check(self, expectation: Expectation) -> str:
        seen, live = self.look(), self.lab.live()
        around, listening = surroundings_of(seen), listening_of(seen, live)
        prepared = {family: prepare(live[family], around, family) for family in FAMILIES}
        outside = outside_interfaces(self.lab.document.settings, around)
        context = ExpectationContext(prepared, outside, listening, self.lab.document.rules)
        (result,) = check_expectations((expectation,), context)
        return result.state

    def answers(self) -> tuple[str, tuple[str, ...], str]:
        """Return the level of 8081, the interfaces it is reached by, and the state of the expectation."""
        seen, live = self.look(), self.lab.live()
        around, listening = surroundings_of(seen), listening_of(seen, live)
        prepared = {family: prepare(live[family], around, family) for family in FAMILIES}
        outside = outside_interfaces(self.lab.document.settings, around)
        inside = inside_interfaces(self.lab.document.settings, around)
        rows = {row.offer.port: row for row in expose(find_offers(listening), prepared, outside, inside)}
        ways = [name for each in rows[8081].access if each.passes for name in each.interfaces]
        return rows[8081].level, tuple(dict.fromkeys(ways)), self._check(CLOSED)


@pytest.fixture(scope="module")
def _own_lab(_engine_works: None) -> Iterator[Lab]:
    # Its own lab, because its interfaces are taken apart.
    built = Lab()
    built.host.run("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")
    yield built
    built.delete()


@pytest.fixture
def host(_own_lab: Lab) -> Host:
    one = Host(_own_lab)
    one.lab.load(document(allow("container", 8080)))
    assert fetch(one.lab.client, HOST, 8080) == "web"
    assert (one.codes(), one.connects(HOST)) == (set(), False)
    assert one.answers() == ("nobody", (), "holds")
    assert one.told == []
    return one


@pytest.fixture(params=REWIRINGS)
def rewired(request: pytest.FixtureRequest, host: Host) -> Iterator[Rewiring]:
    """Take the wiring apart, and put it together again."""
    wanted = REWIRINGS[request.param]
    try:
        host.ip(*wanted.host)
    except CommandError as error:
        if "Unknown device type" not in str(error) and "not supported" not in str(error):
            raise
        pytest.skip(str(error))
    own = [f"address add {each} dev {wanted.arrives_on} nodad" for each in ADDRESSES if ":" in each]
    if wanted.arrives_on == "enp1s0":
        host.ip(*own)
    for command in wanted.client:
        host.lab.client.run("ip", *command.split())
    if wanted.arrives_on == "mac0":
        # Whoever sends to the address of the macvlan on the wire arrives there, whatever ARP answers.
        (link,) = json.loads(host.lab.host.output("ip", "-json", "link", "show", "mac0"))
        wire = (
            "neighbour",
            "replace",
            wanted.address,
            "lladdr",
            link["address"],
            "dev",
            "eth0",
            "nud",
            "reachable",
        )
        host.lab.client.run("ip", *wire)
    yield wanted
    host.lab.client.run("ip", "neighbour", "flush", "all")
    host.ip(*wanted.undo)
    for command in reversed(wanted.client):
        if command.startswith("link add"):
            host.lab.client.run("ip", "link", "del", command.split()[5])
        elif command.startswith("address add") and "eth0.5" not in command:
            host.lab.client.run("ip", *command.replace(" add ", " del ", 1).split())
    host.ip(f"address flush dev {EXTERNAL} scope global")
    host.lab.host.add_addresses(EXTERNAL, *ADDRESSES)


def test_packets_on_another_interface_are_told_within_one_look(host: Host, rewired: Rewiring) -> None:
    assert host.connects(rewired.address), "the wiring is not what this test is about"
    assert host.codes() == rewired.codes
    assert [event.verb for event in host.told] == ["drift"]
    assert rewired.arrives_on in host.told[0].detail
    assert host.answers() == ("anywhere", (rewired.arrives_on,), "fails")
    # Chosen, it is an external interface like any other.
    host.lab.load_unseen(
        document(allow("container", 8080), external_interfaces=[rewired.arrives_on, *_kept(rewired)])
    )
    assert not host.connects(rewired.address)
    assert host.codes() == set()
    assert host.answers() == ("nobody", (), "holds")


def test_another_interface_with_the_default_route(host: Host) -> None:
    join_namespaces(host.lab.host, "eth9", host.lab.client, "eth1")
    try:
        host.lab.host.add_addresses("eth9", "10.9.0.1/24")
        host.lab.client.add_addresses("eth1", "10.9.0.2/24")
        assert host.codes() == set()
        host.ip("route add default via 10.9.0.2 dev eth9")
        assert host.connects("10.9.0.1")
        assert host.codes() == {OPEN}
        assert host.answers() == ("anywhere", ("eth9",), "fails")
        assert [event.verb for event in host.told] == ["drift"]
    finally:
        host.ip("link del eth9")
    assert host.codes() == set()
    assert [event.verb for event in host.told] == ["drift", "drift-gone"]


@pytest.mark.parametrize(
    ("source", "routes"),
    [
        ("10.9.0.5", ("route add 10.9.0.0/16 via 192.168.50.1 dev eth3",)),
        (
            "203.0.113.9",
            ("route add default via 192.168.50.1 dev eth3 table 100", "rule add to 203.0.113.0/24 table 100"),
        ),
    ],
    ids=["a static route", "a default route in another table"],
)
def test_routes_by_another_interface(host: Host, source: str, routes: tuple[str, ...]) -> None:
    join_namespaces(host.lab.host, "eth3", host.lab.client, "eth1")
    try:
        host.lab.host.add_addresses("eth3", "192.168.50.2/24")
        host.lab.client.add_addresses("eth1", "192.168.50.1/24", f"{source}/32")
        assert not host.connects("192.168.50.2", source=source)
        assert host.codes() == set()
        host.ip(*routes)
        assert host.connects("192.168.50.2", source=source)
        assert host.codes() == {OPEN}
        assert host.answers() == ("anywhere", ("eth3",), "fails")
        assert [event.verb for event in host.told] == ["drift"]
        host.lab.load_unseen(document(allow("container", 8080), external_interfaces=[EXTERNAL, "eth3"]))
        assert not host.connects("192.168.50.2", source=source)
        assert (host.codes(), host.answers()) == (set(), ("nobody", (), "holds"))
    finally:
        host.ip("link del eth3")
        if "rule" in routes[-1]:
            host.ip(routes[-1].replace(" add ", " del "))


def test_a_static_route_by_a_trusted_interface(host: Host) -> None:
    join_namespaces(host.lab.host, "wg0", host.lab.client, "wg0")
    try:
        host.lab.host.add_addresses("wg0", "10.8.0.1/24")
        host.lab.client.add_addresses("wg0", "10.8.0.2/24", "10.9.0.5/32")
        host.ip("route add 10.9.0.0/16 via 10.8.0.2 dev wg0")
        host.lab.load(document(allow("container", 8080), trusted_interfaces=["lo", "wg0"]))
        assert host.connects("10.8.0.1", source="10.9.0.5")
        assert host.codes() == set()
        assert host.expect("10.9.0.0/16") == "fails"
        assert host.expect("10.10.0.0/16") == "holds"
    finally:
        host.ip("link del wg0")


def test_no_external_interface(host: Host) -> None:
    host.lab.load_unseen(document(allow("container", 8080), external_interfaces=[]))
    assert host.connects(HOST)
    assert host.codes() == {"no-external-interface"}
    assert host.answers() == ("anywhere", (EXTERNAL,), "fails")


def test_clients_behind_a_trusted_interface(host: Host) -> None:
    join_namespaces(host.lab.host, "wg0", host.lab.client, "wg0")
    try:
        host.lab.host.add_addresses("wg0", "10.8.0.1/24")
        host.lab.client.add_addresses("wg0", "10.8.0.2/24")
        host.lab.load(document(allow("container", 8080), trusted_interfaces=["lo", "wg0"]))
        assert host.connects("10.8.0.1", source="10.8.0.2")
        assert not host.connects(HOST)
        assert host.codes() == set()
        assert host.answers() == ("networks", ("wg0",), "holds")
        assert host.expect("10.8.0.0/24") == "fails"
        assert host.expect("10.8.0.2") == "fails"
        assert host.expect("10.0.0.0/8") == "fails"
        assert host.expect("10.9.0.0/24") == "holds"
        assert host.expect("10.8.0.0/24", passes=True) == "holds"
    finally:
        host.ip("link del wg0")


def test_clients_in_a_container(host: Host) -> None:
    web, other = (host.lab.docker.container_address(name) for name in ("web", "other"))
    assert host.lab.docker.fetch_from("web", other, 80) == "other"
    assert host.expect(web, port=80) == "fails"


def _kept(rewired: Rewiring) -> tuple[str, ...]:
    return (EXTERNAL,) if rewired.codes == {OPEN} else ()
