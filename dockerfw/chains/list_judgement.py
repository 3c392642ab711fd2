"""The judge of lists: whether a new version is used, and which of its networks reach the kernel.

A list changes without a revision, a review and a confirmation window. So what it says is doubted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.chains import list_sentences as sentences
from dockerfw.chains.group_sets import group_definition
from dockerfw.chains.list_entries import NetworkList, network_texts, widest_network
from dockerfw.document.rule_fields import group_of
from dockerfw.document.values import Document, Group, GroupKind
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.simulation.addresses import BITS, AddressSet

LEAST_PREFIX: Final[Mapping[Family, int]] = {4: 8, 6: 24}
"""The shortest prefix that an allowance takes from a list."""
MOST_CHANGE_PERCENT: Final = 30
MOST_ADDRESSES: Final = 256
"""The addresses of one IP version that one DNS name has at most."""

State = Literal["accepted", "held", "refused"]

# A block list must not cut these off: loopback, private and shared networks, link-local, multicast.
SPARED: Final[Mapping[Family, AddressSet]] = {
    4: AddressSet.of(
        4,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.168.0.0/16", "224.0.0.0/4", "255.255.255.255/32"),
        ),
    ),
    6: AddressSet.of(6, ("::/127", "fc00::/7", "fe80::/10", "ff00::/8")),
}


@dataclass(frozen=True, slots=True)
class Uses:
    """Which rules use a group: allowances, blocks, both or, before a rule names it, none."""

    allow: bool = False
    block: bool = False

    def __or__(self, other: Uses) -> Uses:
        """Return the uses of both."""
        return Uses(self.allow or other.allow, self.block or other.block)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a version is used: accepted, held until an admin accepts it, or refused; and why not."""

    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Members:
    """What a set is filled with: networks by family, as ipset prints them.

    `spared` counts the networks of the list that were left out or cut by family, since a block must not
    cover them. With a `problem` both are empty.
    """

    v4: tuple[str, ...] = ()
    v6: tuple[str, ...] = ()
    spared4: int = 0
    spared6: int = 0
    problem: str = ""

    def of(self, family: Family) -> tuple[str, ...]:
        """Return the members of a family."""
        return self.v4 if family == 4 else self.v6


def uses_by_definition(document: Document) -> dict[str, tuple[Group, Uses]]:
    """Return the groups of a document that are not static, and how its rules use them, by definition.

    Of groups with the same definition the first one's name counts.
    """
    by_name: dict[str, Uses] = {}
    for rule in document.rules:
        own = Uses(allow=rule.action == "allow", block=rule.action == "block")
        for name in filter(None, map(group_of, rule.sources)):
            by_name[name] = by_name.get(name, Uses()) | own
    found: dict[str, tuple[Group, Uses]] = {}
    for group in document.groups:
        if group.kind != "static":
            definition, own = group_definition(group), by_name.get(group.name, Uses())
            known, uses = found.get(definition, (group, Uses()))
            found[definition] = known, uses | own
    return found


def find_misuse(lists: Mapping[str, NetworkList], documents: Iterable[Document]) -> str:
    """Return why a host must not fill the sets of these lists by definition, empty if it may.

    This is the part of the judgement that needs no former version and no admin, so a host repeats it: the
    key that signs lists is not the key that signs rules. A list is judged by the rules that use it.
    """
    for document in documents:
        for definition, (group, uses) in uses_by_definition(document).items():
            networks = lists.get(definition)
            if networks is None:
                continue
            fault = find_fault(group.kind, networks, uses)
            if not fault and group.kind == "names" and uses.allow:
                fault = _find_excess(group, networks)
            if fault:
                return sentences.MISUSED.format(name=group.name, why=fault.rstrip("."))
    return ""


def judge_list(kind: GroupKind, new: NetworkList, former: NetworkList | None, uses: Uses) -> Judgement:
    """Judge a new version of a feed, names or countries beside the version in use, None without one.

    Answers for DNS names replace the former ones in any size, since an address that a name no longer has may
    belong to others.
    """
    if fault := find_fault(kind, new, uses):
        return Judgement("refused", fault)
    if kind == "names":
        return Judgement("accepted")
    if former is None:
        return _judge_first(new, uses)
    if not new and former:
        return Judgement("refused", sentences.GONE)
    for family in FAMILIES:
        before, after = former.of(family).count(), new.of(family).count()
        words = {"family": family, "before": before, "after": after, "percent": MOST_CHANGE_PERCENT}
        if after * 100 < before * (100 - MOST_CHANGE_PERCENT):
            return Judgement("held", sentences.SHRUNK.format(**words))
        if _is_doubted(uses) and after * 100 > before * (100 + MOST_CHANGE_PERCENT):
            return Judgement("held", sentences.GROWN.format(**words))
    return Judgement("accepted")


def find_fault(kind: GroupKind, networks: NetworkList, uses: Uses) -> str:
    """Return why a list must not be used this way by anyone's decision, empty if it may."""
    for family in FAMILIES:
        addresses, least = networks.of(family), LEAST_PREFIX[family]
        # A country's file joins neighbours, and the admin has chosen it. A name has single addresses.
        if kind == "feed" and uses.allow:
            # Neighbours count together: a network that is cut in two allows no less.
            found = min(networks.widest(family), widest_network(addresses))
            if found < least:
                return sentences.TOO_WIDE.format(family=family, found=found, least=least)
            if addresses.count() * 2 > 1 << BITS[family]:
                return sentences.TOO_MUCH.format(family=family)
        if addresses.is_everything:
            return sentences.EVERYTHING.format(family=family)
    return ""


def choose_members(
    kind: GroupKind, networks: NetworkList, uses: Uses, spared: Mapping[Family, AddressSet]
) -> Members:
    """Return what a set is filled with.

    A block spares SPARED and `spared`: the host's own addresses and those of the admins' open sessions. Rules
    may have changed since the version was judged, so what no rule may use so is left out here too.
    """
    if fault := find_fault(kind, networks, uses):
        return Members(problem=fault)
    found: dict[Family, tuple[str, ...]] = {}
    counts: dict[Family, int] = {}
    for family in FAMILIES:
        addresses = networks.of(family)
        if uses.block:
            addresses = addresses.difference(SPARED[family])
            addresses = addresses.difference(spared.get(family, AddressSet.nothing(family)))
        texts = tuple(network_texts(addresses))
        cut = addresses.count() != networks.of(family).count()
        counts[family] = len(set(networks.texts(family)) - set(texts)) if cut else 0
        found[family] = texts
    return Members(found[4], found[6], counts[4], counts[6])


def _find_excess(group: Group, networks: NetworkList) -> str:
    """Return why these cannot be the addresses of DNS names."""
    most = MOST_ADDRESSES * len(group.names)
    for family in FAMILIES:
        count = networks.of(family).count()
        if count > most:
            return sentences.TOO_MANY_NAMED.format(family=family, count=count, most=most)
    return ""


def _judge_first(new: NetworkList, uses: Uses) -> Judgement:
    if not new:
        return Judgement("refused", sentences.EMPTY)
    for family in FAMILIES:
        if _is_doubted(uses) and new.of(family).count() * 2 > 1 << BITS[family]:
            return Judgement("held", sentences.HALF.format(family=family))
    return Judgement("accepted")


def _is_doubted(uses: Uses) -> bool:
    """Return True if more addresses may mean more access. A group that no rule uses may be allowed next."""
    return uses.allow or not uses.block
