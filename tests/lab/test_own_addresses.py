"""Containers' own addresses in the gateway modes `routed` and `nat-unprotected`, against real packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.document import parse_document
from dockerfw.document.values import Settings
from dockerfw.host.observation import observe
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import listening_of, surroundings_of
from dockerfw.reach import sentences
from dockerfw.reach.changes import exposure_changes
from dockerfw.reach.container_offers import find_container_offers
from dockerfw.reach.expectations import ExpectationContext, check_expectations
from dockerfw.reach.exposure import ExposureRow, expose
from dockerfw.reach.listening import Listening
from dockerfw.reach.offers import find_offers
from dockerfw.reach.own_addresses import add_own_addresses
from dockerfw.simulation.simulate import Prepared, prepare
from dockerfw.simulation.surroundings import HostInterface
from tests.rig.connections import try_port
from tests.rig.engines import ENGINES
from tests.rig.lab import EXTERNAL, HOST_6, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import Family
from tests.rig.trees import why_unavailable as why_no_trees

pytestmark = pytest.mark.lab

MODE = "com.docker.network.bridge.gateway_mode_ipv"
# The networks that differ from Docker's usual one, each with the first half of its addresses.
NETWORKS: dict[str, dict[Family, str]] = {
    "routed": {4: "172.30.0.", 6: "2001:db8:30::"},
    "nat-unprotected": {4: "172.31.0.", 6: "2001:db8:31::"},
}
ROUTED, OPEN = NETWORKS["routed"], NETWORKS["nat-unprotected"]


@pytest.fixture(scope="module", params=["28.5", "29.1"])
def modes(request: pytest.FixtureRequest, _engine_works: None) -> Iterator[Lab]:
    """A lab with a network of each mode: `front` publishes 8082 to 80, `back` 8083 to 80, `bare` is at 81."""
    reason = why_no_trees()
    if reason:
        pytest.skip(f"no engines: {reason}")
    lab = Lab(
        engine_options=("--ipv6", "--fixed-cidr-v6=2001:db8:d0c::/64"), tree=ENGINES[request.param].tree()
    )
    try:
        for mode, halves in NETWORKS.items():
            subnets = [f"--subnet={halves[4]}0/24", "--ipv6", f"--subnet={halves[6]}/64"]
            options = [f"--opt={MODE}{family}={mode}" for family in (4, 6)]
            lab.docker.docker("network", "create", *subnets, *options, mode)
            lab.client.run("ip", "route", "add", f"{halves[6]}/64", "via", HOST_6)
        lab.docker.run_web("front", "--publish=8082:80", f"--ip={ROUTED[4]}2", network="routed")
        lab.docker.run_web("back", "--publish=8083:80", f"--ip={OPEN[4]}2", network="nat-unprotected")
        lab.docker.run_web("bare", f"--ip={OPEN[4]}3", network="nat-unprotected", port=81)
        yield lab
    finally:
        lab.delete()


Seen = tuple[Listening, dict[Family, Prepared], tuple[HostInterface, ...]]


def look(lab: Lab) -> Seen:
    with lab.host.entered():
        seen = observe("lab", docker_socket=Path(lab.docker.socket.removeprefix("unix://")))
    rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
    around = surroundings_of(seen)
    prepared = {family: prepare(ruleset, around, family) for family, ruleset in rulesets.items()}
    outside = outside_interfaces(Settings(external_interfaces=(EXTERNAL,)), around)
    return listening_of(seen, rulesets), prepared, outside


def rows(seen: Seen) -> dict[str, ExposureRow]:
    """Return the rows of containers' own addresses by their words: `172.30.0.2 80`."""
    listening, prepared, outside = seen
    offers = find_offers(listening)
    own = find_container_offers(listening, (prepared,), outside, offers)
    found = add_own_addresses(expose(offers, prepared, outside), expose(own, prepared, outside))
    return {
        f"{row.offer.address} {row.offer.ports or row.offer.port}": row for row in found if row.offer.direct
    }


def reached(lab: Lab, *places: tuple[str, int]) -> dict[str, bool]:
    return {f"{host} {port}": try_port(lab.client, host, port) == "connected" for host, port in places}


OTHERS = ("every other tcp port", "every other udp port")


@pytest.mark.parametrize("family", [4, 6])
def test_without_rules_of_dockerfw(modes: Lab, family: Family) -> None:
    modes.unload()
    found = {words: row for words, row in rows(look(modes)).items() if row.offer.families == (family,)}
    routed, open_one = f"{ROUTED[family]}2", f"{OPEN[family]}3"
    assert reached(modes, (routed, 80), (routed, 8082), (open_one, 81)) == {
        f"{routed} 80": True,
        f"{routed} 8082": False,
        f"{open_one} 81": True,
    }
    back = f"{OPEN[family]}2"
    expected = [f"{routed} 80", *(f"{host} {words}" for host in (back, open_one) for words in OTHERS)]
    # Clients reach port 80 of `back` at an address of the host too: that row is enough.
    assert sorted(found) == sorted(expected)
    assert {row.level for row in found.values()} == {"anywhere"}
    assert (found[f"{routed} 80"].offer.name, found[f"{open_one} {OTHERS[0]}"].offer.name) == (
        "front",
        "bare",
    )


@pytest.mark.parametrize("family", [4, 6])
def test_rules_name_the_port_inside(modes: Lab, family: Family) -> None:
    closed = document(allow("container", 8082, 8083))
    opened = document(
        allow("container", 80, id="inner1", port_kind="container"), allow("container", 81, id="dial1")
    )
    routed, back, bare = f"{ROUTED[family]}2", f"{OPEN[family]}2", f"{OPEN[family]}3"
    places = ((routed, 80), (back, 80), (bare, 81), (bare, 82))
    modes.load(closed)
    assert set(reached(modes, *places).values()) == {False}
    before = look(modes)
    found = {words: row for words, row in rows(before).items() if row.offer.families == (family,)}
    assert {words: row.level for words, row in found.items() if row.level != "nobody"} == {
        # The rule for what back publishes lets clients dial this port of any open address.
        **{f"{host} {port}": "anywhere" for host in (back, bare) for port in (8082, 8083)}
    }
    # The container answers the packet: nothing listens there.
    assert try_port(modes.client, bare, 8082) == "closed"
    assert found[f"{routed} 80"].level == "nobody"
    modes.load(opened)
    assert reached(modes, *places) == {
        f"{routed} 80": True,
        f"{back} 80": True,
        f"{bare} 81": True,
        f"{bare} 82": False,
    }
    after = look(modes)
    found = rows(after)
    assert (found[f"{routed} 80"].level, found[f"{bare} 81"].level) == ("anywhere", "anywhere")
    assert found[f"{routed} 80"].access[0].rules == ("inner1",)
    assert found[f"{bare} 81"].access[0].rules == ("dial1",)
    assert not any(words.startswith(f"{bare} every") for words in found)
    said = effect(before, after, closed, opened)
    front = " and ".join(f"80/tcp at {half}2" for half in ROUTED.values()).replace(" and ", ", ")
    assert f"{front} of container front become reachable from anywhere" in said
    (one,) = (each for each in said if f"81/tcp at {bare}" in each)
    assert "of container bare become reachable from anywhere" in one


def effect(before: Seen, after: Seen, old: dict[str, object], new: dict[str, object]) -> list[str]:
    listening, prepared, outside = after
    offers = find_offers(listening)
    own = find_container_offers(listening, (before[1], prepared), outside, offers)
    documents = (parse_document(old), parse_document(new))
    found = exposure_changes(offers, documents, before[1], prepared, outside, own=own, sockets_known=True)
    return [str(each) for each in found]


def test_what_docker_does_not_say(modes: Lab) -> None:
    modes.load(document({"scope": "container", "protocol": "tcp", "ports": ["1-65535"], "id": "wide1"}))
    listening, prepared, outside = look(modes)
    found = rows((replace(listening, containers=None), prepared, outside))
    port = found[f"{ROUTED[4]}2 80"]
    assert (port.level, port.offer.name) == ("anywhere", "")
    (every,) = (row for words, row in found.items() if words.startswith(f"{OPEN[4]}2 1-65535/tcp"))
    assert every.level == "anywhere"
    assert every.offer.name.startswith("containers on br-")
    assert every.offer.detail == f"{OPEN[4]}0/24"
    assert sentences.STANDS_FOR_NETWORK in every.notes
    assert not any(words.startswith(ROUTED[4]) and "every" in words for words in found)


def test_an_expectation_dials_the_own_address(modes: Lab) -> None:
    wanted = {"source": "any", "protocol": "tcp", "port": 80, "to": "container", "container": "front"}
    for rules, passes in ((document(allow("container", 80)), True), (document(), False)):
        expected = {**rules, "expectations": [{**wanted, "passes": True}, {**wanted, "passes": False}]}
        modes.load(rules)
        assert reached(modes, (f"{ROUTED[4]}2", 80)) == {f"{ROUTED[4]}2 80": passes}
        listening, prepared, outside = look(modes)
        context = ExpectationContext(prepared, outside, listening)
        results = check_expectations(parse_document(expected).expectations, context)
        states = {each.expectation.passes: each.state for each in results}
        assert states == {passes: "holds", not passes: "fails"}
