"""The members of static sets as the simulator takes them: with the ids of their rules."""

from __future__ import annotations

from ipaddress import ip_address

from dockerfw.chains.static_sets import StaticSet
from dockerfw.messages.snapshot_values import with_loaded_sets
from dockerfw.simulation.set_members import ids_of
from dockerfw.simulation.surroundings import IpSet, Surroundings

SOURCES = StaticSet(4, {"203.0.113.0/24": ("a1c2", "k3f9"), "203.0.113.5": ("b2d3",), "192.0.2.0/24": ()})
LINES = ('203.0.113.0/24 comment "a1c2 k3f9"', '203.0.113.5 comment "b2d3"', "192.0.2.0/24")


def test_a_set_that_a_load_makes_has_the_ids_of_its_rules() -> None:
    found = with_loaded_sets(Surroundings(), [SOURCES]).sets[SOURCES.name]
    assert found.members == LINES
    assert ids_of(found, ip_address("203.0.113.5")) == ("b2d3",)
    assert ids_of(found, ip_address("203.0.113.6")) == ("a1c2", "k3f9")


def test_the_next_snapshot_has_the_very_same_members() -> None:
    """Else the long comparison with the last ones would come before every result that is remembered."""
    one, other = (with_loaded_sets(Surroundings(), [SOURCES]).sets[SOURCES.name] for _ in range(2))
    assert one.members is other.members


def test_a_set_that_exists_keeps_its_own_members() -> None:
    held = IpSet(SOURCES.name, "hash:net", ("198.51.100.0/24",), "family inet")
    assert with_loaded_sets(Surroundings(sets={held.name: held}), [SOURCES]).sets[held.name] is held
