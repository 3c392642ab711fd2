"""What the lists and the containers of a document stand for, and the text that fills their sets.

The containers are those of the world; what is on a list is random.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from dockerfw.chains.bound_sets import BOUND_SETS, bound_sets_of, render_contents, render_creation
from dockerfw.chains.container_sets import Definitions, container_definitions
from dockerfw.chains.group_sets import bound_set_name, group_definition, render_group_set
from dockerfw.chains.list_entries import NetworkList, list_of_networks
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.sources import SourceReader
from dockerfw.document.values import Document, DocumentRule
from dockerfw.reach.container_sets import container_members
from dockerfw.reach.listening import Listening
from tests.differential.pools import NETWORKS, Dice, addresses, network_near
from tests.rig.namespace import FAMILIES, Family

# No list is everyone, not even in two halves.
_TOO_WIDE: Final = ("128.0.0.0/1",)


@dataclass(frozen=True, slots=True)
class Bindings:
    """A document, and what its bound sets hold on the world's host, by the name of the set."""

    document: Document
    listening: Listening
    definitions: Definitions
    containers: Mapping[str, tuple[str, ...]]
    lists: Mapping[str, tuple[str, ...]]

    def sources(self, rule: DocumentRule, family: Family) -> tuple[str, ...]:
        """Return the networks of a family that a rule is for, with those of its groups; none is anyone."""
        found = SourceReader(self.document.groups, family).read(rule)
        if found is None:
            return ()
        return (*found.networks, *(network for name in found.bound for network in self.lists[name]))

    def names(self, renderings: Iterable[Rendering]) -> tuple[str, ...]:
        """Return the names of the sets that the rules match; those with fixed names are not ours."""
        named = bound_sets_of(each.to_text() for each in renderings)
        return tuple(name for name in named if name not in BOUND_SETS)

    def filling(self, names: Iterable[str]) -> str:
        """Return the input for `ipset -exist restore` that creates and fills these sets."""
        return "".join(
            render_group_set(name, self.lists[name])
            if name in self.lists
            else render_creation((name,)) + render_contents(name, self.containers[name])
            for name in names
        )


def make_bindings(dice: Dice, document: Document, listening: Listening) -> Bindings:
    """Return what the names and lists of a document stand for on the world's host."""
    definitions = container_definitions(document)
    assert listening.containers is not None
    members = container_members(definitions, listening.containers, listening.listeners)
    kinds = sorted({group_definition(group) for group in document.groups if group.kind != "static"})
    lists: dict[str, tuple[str, ...]] = {}
    for definition in kinds:
        found = _list(dice)
        lists |= {bound_set_name(definition, family): tuple(found.texts(family)) for family in FAMILIES}
    return Bindings(document, listening, definitions, members, lists)


def _list(dice: Dice) -> NetworkList:
    """Return a list of a few networks and addresses, of very many, or of none."""
    texts: list[str] = []
    for family in FAMILIES:
        size = dice.one((0, 1, 3, 12, 200))
        if size < 200:
            pool = (*(net for net in NETWORKS[family] if net not in _TOO_WIDE), *addresses(family))
            texts += dice.some(pool, size) if size else []
        else:
            bases = [ipaddress.ip_address(each) for each in addresses(family)]
            texts += [str(network_near(dice, bases)) for _ in range(size)]
    return list_of_networks(texts)
