"""Sets of addresses: set operations, and conversion to networks."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.simulation.addresses import LAST, AddressSet, Interval, union_of

SMALL = 200


def intervals() -> st.SearchStrategy[list[Interval]]:
    """Draw intervals near the start and near the end, so that they often touch and overlap."""
    place = st.one_of(st.integers(0, SMALL), st.integers(LAST[4] - SMALL, LAST[4]))
    return st.lists(st.tuples(place, place).map(lambda pair: (min(pair), max(pair))), max_size=40).map(
        lambda found: [one for one in found if one[1] - one[0] <= SMALL]
    )


sets = intervals().map(lambda found: AddressSet.from_intervals(4, found))
WATCHED = [*range(SMALL + 2), *range(LAST[4] - SMALL - 1, LAST[4] + 1)]


def watched(one: AddressSet) -> set[int]:
    return {value for value in WATCHED if one.holds(value)}


@given(sets, sets)
def test_set_operations_are_those_of_sets(one: AddressSet, other: AddressSet) -> None:
    assert watched(one.union(other)) == watched(one) | watched(other)
    assert watched(one.intersection(other)) == watched(one) & watched(other)
    assert watched(one.difference(other)) == watched(one) - watched(other)
    assert watched(one.complement()) == set(WATCHED) - watched(one)


@given(st.lists(sets, min_size=1, max_size=8), sets)
def test_a_few_intervals_are_cut_out_of_many(many: list[AddressSet], few: AddressSet) -> None:
    one = union_of(4, many)
    cut = AddressSet(4, few.intervals[: len(one.intervals) // 8])
    assert watched(one.difference(cut)) == watched(one) - watched(cut)
    assert one.difference(cut) == one.intersection(cut.complement())


def test_results_for_large_sets_are_remembered() -> None:
    one, other = (AddressSet.from_intervals(4, [(at, at) for at in range(n, 20_000, 6)]) for n in (0, 3))
    assert one.union(other) is one.union(other)
    assert one.union(other).count() == one.count() + other.count()
    assert one.intersection(one.union(other)) == one
    assert one.union(other).difference(one) == other
    again = AddressSet(4, one.intervals)
    assert again.union(other) is not one.union(other)
    assert again.union(other) == one.union(other)


@given(sets, sets)
def test_equal_sets_have_equal_intervals(one: AddressSet, other: AddressSet) -> None:
    again = one.union(other).difference(other).union(one.intersection(other))
    assert again == one
    assert hash(again) == hash(one)
    for made in (one.union(other), one.difference(other), one.intersection(other)):
        pairs = list(zip(made.intervals, made.intervals[1:], strict=False))
        assert all(first[1] + 1 < second[0] for first, second in pairs)


@given(sets)
def test_networks_make_up_the_set(one: AddressSet) -> None:
    assert AddressSet.of(4, one.cidrs()) == one
    assert sum(network.num_addresses for network in one.cidrs()) == one.count()


@given(st.lists(sets, max_size=5))
def test_union_of_many(many: list[AddressSet]) -> None:
    assert watched(union_of(4, many)) == set().union(*(watched(one) for one in many))


def test_a_large_set_loses_a_few_addresses() -> None:
    large = AddressSet.from_intervals(4, [(place, place + 1) for place in range(0, 4000, 4)])
    cut = AddressSet.from_intervals(4, [(1, 4), (9, 9), (20, 31), (3997, 5000)])
    left = large.difference(cut)
    assert [left.holds(value) for value in (0, 1, 4, 5, 8, 9, 16, 20, 28, 32, 3996, 3997)] == (
        [True, False, False, True, True, False, True, False, False, True, True, False]
    )
    assert left.count() == large.count() - 1 - 1 - 1 - 6 - 1


def test_repr_names_the_networks() -> None:
    assert repr(AddressSet.of(4, ["192.0.2.0/25", "192.0.2.128/25"])) == "AddressSet(192.0.2.0/24)"
    assert repr(AddressSet.nothing(6)) == "AddressSet(nothing)"
    assert [str(one) for one in AddressSet.everything(6).cidrs()] == ["::/0"]


def test_membership_by_address() -> None:
    one = AddressSet.of(4, [ip_network("192.0.2.0/24")])
    assert ip_address("192.0.2.255") in one
    assert IPv4Address("192.0.3.0") not in one
    assert ip_address("2001:db8::1") not in one
    assert not AddressSet.single(ip_address("192.0.2.7")).difference(one)


def test_a_network_of_the_other_family_is_refused() -> None:
    with pytest.raises(ValueError, match="2001:db8::"):
        AddressSet.of(4, ["2001:db8::/32"])
