"""A macvlan container is a neighbour of its clients: this host's rules never see their packets."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.document import parse_document
from dockerfw.document.values import Settings
from dockerfw.host.observation import observe
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import (
    container_families_of,
    containers_of,
    listening_of,
    surroundings_of,
)
from dockerfw.reach.container_offers import find_container_offers, past_host_offers
from dockerfw.reach.elsewhere import admit_elsewhere, containers_past_host
from dockerfw.reach.expectations import ExpectationContext, check_expectations
from dockerfw.reach.exposure import expose
from dockerfw.reach.question import Question, read_question
from dockerfw.reach.sentences import past_this_host
from dockerfw.simulation.simulate import prepare, simulate
from tests.rig.connections import try_port
from tests.rig.lab import CLIENT, EXTERNAL, Lab
from tests.rig.lab_documents import document

pytestmark = pytest.mark.lab

ADDRESS = "192.0.2.130"
REFUSED = {"source": "any", "protocol": "tcp", "port": 80, "to": "container", "passes": False}
EXPECTED = {**document(), "expectations": [{**REFUSED, "container": "apart"}]}


@pytest.fixture(scope="module")
def neighbour(lab: Lab) -> Iterator[Lab]:
    """The lab with a container that is a neighbour of the client."""
    subnet = ("--subnet=192.0.2.0/24", f"--opt=parent={EXTERNAL}")
    lab.docker.docker("network", "create", "--driver=macvlan", *subnet, "wire")
    lab.docker.run_web("apart", f"--ip={ADDRESS}", network="wire")
    yield lab
    lab.docker.remove(["apart"])
    lab.docker.docker("network", "rm", "wire")


def test_what_passes_by_is_unknown_and_never_refused(neighbour: Lab) -> None:
    neighbour.load(EXPECTED)
    assert try_port(neighbour.client, ADDRESS, 80) == "connected"
    with neighbour.host.entered():
        seen = observe("lab", docker_socket=Path(neighbour.docker.socket.removeprefix("unix://")))
    rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
    around, listening = surroundings_of(seen), listening_of(seen, rulesets)
    prepared = {family: prepare(ruleset, around, family) for family, ruleset in rulesets.items()}
    outside = outside_interfaces(Settings(external_interfaces=(EXTERNAL,)), around)
    context = ExpectationContext(prepared, outside, listening)
    expected = parse_document(EXPECTED)
    (found,) = check_expectations(expected.expectations, context)
    assert found.state == "unknown"
    question = Question(source=CLIENT, destination="apart", port="80")
    packet = read_question(question, around, containers_of(seen)).packet
    assert str(packet.destination) == ADDRESS
    assert admit_elsewhere(simulate(prepared[4], packet), listening, around).verdict.kind == "UNKNOWN"
    past = containers_past_host(listening, around, outside)
    assert [each.container.name for each in past] == ["apart"]
    (row,) = expose(past_host_offers(past), prepared, outside)
    assert (row.offer.name, str(row.offer.address), row.level) == ("apart", ADDRESS, "unknown")
    assert row.access[0].reason == past_this_host(ip_address(ADDRESS), EXTERNAL)
    # It is behind no bridge of this host, where a rule could refuse.
    own = find_container_offers(listening, (prepared,), outside)
    assert row.offer.address not in {each.address for each in own}
    # A container past this host makes its interface no container network.
    assert container_families_of(seen, rulesets, expected.settings) == {4}
