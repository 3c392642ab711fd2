"""The names of the sets of feeds, DNS names and countries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dockerfw.chains.group_sets import BOUND_GROUP_SET, bound_group_set, group_definition
from dockerfw.document.values import Group

FEED = Group("drop", "feed", url="https://lists.example.org/drop.txt")
NAMES = Group("home", "names", names=("a.example.org", "b.example.org"))
COUNTRIES = Group("nordic", "countries", countries=("NO", "SE"))


@pytest.mark.parametrize("group", [FEED, NAMES, COUNTRIES])
def test_a_set_is_named_by_the_definition_alone(group: Group) -> None:
    renamed = replace(group, name="other", comment="text", refresh_hours=1, allow_http=True)
    for family in (4, 6):
        name = bound_group_set(group, family)
        assert BOUND_GROUP_SET.fullmatch(name)
        assert len(name) <= 31
        assert name == bound_group_set(renamed, family)
    assert bound_group_set(group, 4) != bound_group_set(group, 6)


def test_each_definition_has_its_own_name_and_order_counts_for_nothing() -> None:
    groups = (FEED, NAMES, COUNTRIES, replace(FEED, url="https://lists.example.org/"))
    assert len({group_definition(group) for group in groups}) == len(groups)
    assert group_definition(replace(NAMES, names=NAMES.names[::-1])) == group_definition(NAMES)


def test_a_static_group_has_no_bound_set() -> None:
    with pytest.raises(ValueError, match="office is static"):
        bound_group_set(Group("office", entries=("192.0.2.0/24",)), 4)
