"""Sources behind other interfaces than the external ones, in exposure, expectations and lock-out."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from dockerfw.document.document import validate_expectation
from dockerfw.reach.arrivals import inner_arrivals
from dockerfw.reach.expectations import ExpectationContext, check_expectations
from dockerfw.reach.exposure import expose
from dockerfw.reach.lockout import check_access
from dockerfw.reach.offers import find_offers
from dockerfw.reach.sentences import describe_access
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.surroundings import HostInterface, StaticRoute, Surroundings
from tests.rig.docker_world import LISTENING, OUTSIDE, SURROUNDINGS, loaded
from tests.rig.documents import document

WG0 = HostInterface("wg0", (ip_interface("10.8.0.1/24"), ip_interface("fd08::1/64")), True, kind="wireguard")
LAN = HostInterface("eth9", (ip_interface("10.0.0.1/8"),), True)
HOST = replace(SURROUNDINGS, interfaces=(*SURROUNDINGS.interfaces, WG0, LAN))
TRUSTED = document(trusted_interfaces=["lo", "wg0"])
VPN = AddressSet.of(4, ["10.8.0.0/24"])


def state(source: str, *, passes: bool = False) -> str:
    context = ExpectationContext(loaded(TRUSTED, surroundings=HOST), OUTSIDE, LISTENING, TRUSTED.rules)
    wanted = {"port": 5432, "to": "container", "container": "db", "source": source, "passes": passes}
    (found,) = check_expectations([validate_expectation(wanted)], context)
    return found.state


def test_the_smallest_network_decides() -> None:
    found = {each.name: sources for each, sources in inner_arrivals(HOST, 4, {"ens33"})}
    assert set(found) == {"docker0", "wg0", "eth9"}
    assert found["wg0"] == VPN
    assert not found["eth9"].intersection(VPN)
    assert ip_address("10.9.0.1") in found["eth9"]
    assert inner_arrivals(Surroundings(), 4, set()) == ()


def test_a_route_leads_to_sources_too() -> None:
    site = (StaticRoute(ip_network("203.0.113.0/24"), table="52"), StaticRoute(ip_network("0.0.0.0/1")))
    around = replace(HOST, interfaces=(*SURROUNDINGS.interfaces, replace(WG0, routes=site)))
    found = {each.name: sources for each, sources in inner_arrivals(around, 4, {"ens33"})}
    # Half of the internet is no site behind a VPN: such sources are asked about on the external interfaces.
    assert found["wg0"] == VPN.union(AddressSet.of(4, ["203.0.113.0/24"]))
    assert around.route(4, ip_address("203.0.113.5"), None) == "wg0"
    assert around.route(4, ip_address("198.51.100.5"), None) == "ens33"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("10.8.0.0/24", "fails"),
        ("10.8.0.2", "fails"),
        ("10.0.0.0/8", "fails"),
        ("fd08::/64", "fails"),
        ("203.0.113.0/24", "holds"),
        ("any", "holds"),
    ],
)
def test_an_expectation_follows_its_source(source: str, found: str) -> None:
    assert state(source) == found


def test_exposure_shows_what_clients_of_a_vpn_reach() -> None:
    rows = expose(find_offers(LISTENING), loaded(TRUSTED, surroundings=HOST), OUTSIDE, (WG0,))
    (row,) = (row for row in rows if row.offer.port == 5432)
    found = {(each.family, each.interfaces): describe_access(each) for each in row.access}
    assert found[4, ("ens33",)] == "nowhere"
    assert found[4, ("wg0",)] == "10.8.0.0/24"
    assert row.level == "networks"


def test_lock_out_follows_the_client() -> None:
    rules = loaded(TRUSTED, surroundings=HOST)
    ways = {"10.8.0.2": "yes", "203.0.113.7": "no"}
    for source, can in ways.items():
        found = check_access(rules, HOST, what="SSH", source=ip_address(source), port=22)
        assert found.can == can
