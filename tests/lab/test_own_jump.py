"""Containers whose packets Docker never sends through DOCKER-USER: its ip6tables off, its iptables off.

Real packets go straight to a container's own address, which nothing but dockerfw's own jump refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dockerfw.agent import drift_monitor as monitor_module
from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.chains.drift import Drift
from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.document import parse_document, to_json_object
from dockerfw.document.values import Settings
from dockerfw.host.observation import observe
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.snapshot_values import (
    container_families_of,
    drift_of,
    listening_of,
    surroundings_of,
)
from dockerfw.reach.expectations import ExpectationContext, check_expectations
from dockerfw.simulation.simulate import prepare
from dockerfw.store.state import StateDirectory
from tests.rig.connections import Verdict, fetch, listening, try_port
from tests.rig.lab import CLIENT, CLIENT_6, EXTERNAL, HOST, HOST_6, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import CommandError

pytestmark = pytest.mark.lab

JUMP = f"-A FORWARD -i {EXTERNAL} -j FILTERS-CONTAINERS"


@dataclass(frozen=True)
class World:
    """A lab in whose family Docker does not call DOCKER-USER, and a container's address there."""

    lab: Lab
    family: Family
    address: str

    def reach(self) -> Verdict:
        """Tell what becomes of a client's connection to the container's own address."""
        return try_port(self.lab.client, self.address, 81)

    def iptables(self, *words: str) -> None:
        self.lab.host.iptables(*words, backend=self.lab.docker.backend, family=self.family)

    def forward(self) -> list[str]:
        """Return the rules of FORWARD."""
        chain = self.lab.live()[self.family].chain("filter", "FORWARD")
        return [rule.text for rule in chain.rules] if chain else []

    def look(self, told: list[ConsoleEvent], *, heal: bool) -> Drift:
        """Look as the root worker does, and return the drift that the dashboard shows."""
        state = StateDirectory(self.lab.host.directory / "state")
        monitor = DriftMonitor(state, host="lab", tell=told.append)
        with self.lab.host.entered():
            seen = monitor.look_and_heal() if heal else monitor.look()
        rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
        return drift_of(seen, rulesets, self.lab.document, self.lab.revision)


def _world(options: tuple[str, ...], family: Family) -> Iterator[World]:
    lab = Lab(engine_options=options)
    key, network, via = {
        4: ("IPAddress", "172.17.0.0/16", HOST),
        6: ("GlobalIPv6Address", "2001:db8:d0c::/64", HOST_6),
    }[family]
    inspect = f"{{{{.NetworkSettings.Networks.bridge.{key}}}}}"
    address = lab.docker.docker("inspect", "--format", inspect, "plain")
    lab.client.run("ip", f"-{family}", "route", "replace", network, "via", via)
    lab.host.run("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
    yield World(lab, family, address)
    lab.delete()


@pytest.fixture(
    scope="module",
    params=[
        (("--ipv6", "--fixed-cidr-v6=2001:db8:d0c::/64", "--ip6tables=false"), 6),
        (("--iptables=false",), 4),
    ],
    ids=["ip6tables off", "iptables off"],
)
def _own_world(_engine_works: None, request: pytest.FixtureRequest) -> Iterator[World]:
    yield from _world(*request.param)


@pytest.fixture
def world(_own_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A lab in which nothing was ever loaded."""
    monkeypatch.setattr(monitor_module, "SETTLE_SECONDS", 0.0)
    yield _own_world
    _own_world.iptables("-F", "FORWARD")
    _own_world.lab.unload()


def test_an_apply_adds_the_own_jump_and_the_container_is_refused(world: World) -> None:
    assert world.reach() == "connected"
    world.lab.load_unseen(document(allow("container", 8080)))
    assert world.forward()[0] == JUMP
    assert world.reach() == "prohibited"
    assert world.look([], heal=False).findings == ()
    world.lab.assert_in_force()
    world.lab.load_unseen(document(allow("container", 81, port_kind="container")), revision=2)
    assert world.reach() == "connected"
    assert world.forward().count(JUMP) == 1


def test_a_published_port_by_docker_proxy_needs_a_rule(world: World) -> None:
    host = HOST if world.family == 4 else HOST_6
    assert fetch(world.lab.client, host, 8080) == "web"
    world.lab.load_unseen(document(allow("both", 8081)))
    assert try_port(world.lab.client, host, 8080) == "prohibited"
    assert fetch(world.lab.client, host, 8081) == "other"


def test_containers_reach_out(world: World) -> None:
    world.lab.load_unseen(document())
    outside = CLIENT if world.family == 4 else CLIENT_6
    with listening(world.lab.client, outside, 9000, "outside"):
        assert world.lab.reach_out("plain", outside).startswith("outside")


def test_a_rule_before_the_own_jump_is_healed(world: World) -> None:
    world.lab.load_unseen(document(heal_anchors=True))
    world.iptables("-I", "FORWARD", "1", "-j", "ACCEPT")
    assert world.reach() == "connected"
    told: list[ConsoleEvent] = []
    assert [each.code for each in world.look(told, heal=False).findings] == ["anchor-not-first"]
    assert world.look(told, heal=True).findings == ()
    assert [each.verb for each in told] == ["drift", "heal"]
    assert world.reach() == "prohibited"
    assert world.forward() == [JUMP, "-A FORWARD -j ACCEPT"]


def test_a_removed_own_jump_is_never_called_protected(world: World) -> None:
    world.lab.load_unseen(document(heal_anchors=True))
    world.iptables("-F", "FORWARD")
    assert world.reach() == "connected"
    found = world.look([], heal=False)
    assert [(each.code, each.family) for each in found.findings] == [("docker-user-not-called", world.family)]
    assert world.look([], heal=True).findings == ()
    assert world.reach() == "prohibited"


def test_the_own_jump_goes_when_docker_user_is_called(world: World) -> None:
    world.lab.load_unseen(document(heal_anchors=True))
    world.iptables("-I", "FORWARD", "1", "-j", "DOCKER-USER")
    assert world.reach() == "prohibited"
    assert [each.code for each in world.look([], heal=False).findings] == ["own-jump-not-needed"]
    assert [change.action for change in world.lab.plan().families[world.family].anchors] == ["remove"]
    assert world.look([], heal=True).findings == ()
    assert world.forward() == ["-A FORWARD -j DOCKER-USER"]
    assert world.reach() == "prohibited"


def test_the_dashboard_sees_the_container_network(world: World) -> None:
    world.lab.load_unseen(document())
    with world.lab.host.entered():
        seen = observe("lab")
    rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
    found = container_families_of(seen, rulesets, world.lab.document.settings)
    assert found == ({4} if world.family == 4 else {4, 6})
    # A bridge with another name is known by its containers.
    other = tuple(
        replace(
            each,
            name="mine0" if each.name == "docker0" else each.name,
            master="mine0" if each.master == "docker0" else each.master,
        )
        for each in seen.interfaces
    )
    settings = world.lab.document.settings
    assert container_families_of(replace(seen, interfaces=other), rulesets, settings) == found


def test_an_expectation_tells_the_truth_before_and_after(world: World) -> None:
    refused = {"source": "any", "protocol": "tcp", "port": 81, "to": "container", "passes": False}
    expected = parse_document({**document(), "expectations": [{**refused, "container": "plain"}]})

    def state() -> str:
        with world.lab.host.entered():
            seen = observe("lab", docker_socket=Path(world.lab.docker.socket.removeprefix("unix://")))
        rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
        around = surroundings_of(seen)
        prepared = {family: prepare(ruleset, around, family) for family, ruleset in rulesets.items()}
        outside = outside_interfaces(Settings(external_interfaces=(EXTERNAL,)), around)
        context = ExpectationContext(prepared, outside, listening_of(seen, rulesets))
        return check_expectations(expected.expectations, context)[0].state

    assert (world.reach(), state()) == ("connected", "fails")
    world.lab.load_unseen(to_json_object(expected))
    assert (world.reach(), state()) == ("prohibited", "holds")
    world.iptables("-D", "FORWARD", "1")
    assert (world.reach(), state()) == ("connected", "fails")


def test_the_boot_script_places_the_own_jump(world: World) -> None:
    world.lab.load_unseen(document(allow("container", 8080)))
    world.iptables("-F", "FORWARD")
    script = str(world.lab.host.directory / "state" / "boot" / "dockerfw-boot.sh")
    for _ in range(2):
        world.lab.host.run("sh", script)
        assert world.forward() == [JUMP]
    assert world.reach() == "prohibited"
    world.iptables("-F", "FORWARD")
    world.iptables("-A", "FORWARD", "-j", "DOCKER-USER")
    world.lab.host.run("sh", script)
    assert world.forward() == ["-A FORWARD -j DOCKER-USER"]
    world.iptables("-P", "FORWARD", "ACCEPT")


def test_a_rolled_back_load_leaves_no_jump(world: World) -> None:
    with pytest.raises(CommandError, match="expectation"):
        world.lab.load_unseen(
            {
                **document(),
                "expectations": [
                    {"source": "any", "protocol": "tcp", "port": 22, "to": "host", "passes": True}
                ],
            }
        )
    assert world.forward() == []
    assert world.reach() == "connected"
