"""The effect of a load on outside access: which ports open or close, and for which sources.

exposure.py answers which sources reach a port before and after the load.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.document.fields import port_range
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.reach.exposure import ExposureRow, covers_the_internet, expose
from dockerfw.reach.offers import Offer
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface

Kind = Literal["opened", "closed", "unknown"]

# Ports that only rules name are asked for up to here, those of changed rules first.
MOST_PORTS: Final = 60
_NAMED: Final = 3
_NEVER: Final[Mapping[Family, AddressSet]] = {
    4: AddressSet.of(4, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")),
    6: AddressSet.of(6, ("::/127", "fe80::/10", "ff00::/8")),
}


@dataclass(frozen=True, slots=True)
class Change:
    """A sentence without its full stop, and whether it opens, closes, or cannot be told."""

    kind: Kind
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class _Asked:
    """An offer, with the words for its port; `listens` None means that nobody knows."""

    offer: Offer
    port: str
    listens: bool | None


def exposure_changes(
    offers: Sequence[Offer],
    documents: tuple[Document | None, Document],
    before: Mapping[Family, Prepared],
    after: Mapping[Family, Prepared],
    outside: Sequence[HostInterface],
    *,
    sockets_known: bool,
) -> tuple[Change, ...]:
    """Compare who reaches what before and after a load; what opens comes first, then what closes."""
    asked = [_Asked(offer, str(offer.port), True) for offer in offers]
    asked += _named_by_rules(documents, offers, listens=False if sockets_known else None)
    wanted = [each.offer for each in asked]
    old = {row.key: row for row in expose(wanted, before, outside)}
    new = {row.key: row for row in expose(wanted, after, outside)}
    found: dict[tuple[Kind, str, str], list[str]] = {}
    for each in asked:
        key = (each.offer.protocol, each.offer.port, each.offer.address, each.offer.interface)
        for kind, words in _compared(old[key], new[key]):
            found.setdefault((kind, words, _place(each)), []).append(_what(each))
    order: tuple[Kind, ...] = ("opened", "closed", "unknown")
    groups = sorted(found.items(), key=lambda item: order.index(item[0][0]))
    return tuple(Change(kind, _sentence(kind, what, place, words)) for (kind, words, place), what in groups)


def _named_by_rules(
    documents: tuple[Document | None, Document], offers: Sequence[Offer], *, listens: bool | None
) -> Iterator[_Asked]:
    """Yield the ports and ranges that rules name and nobody is known to answer."""
    old, new = documents
    before = {rule.id: rule for rule in old.rules} if old else {}
    after = {rule.id: rule for rule in new.rules}
    changed = [rule for rule in after.values() if before.get(rule.id) != rule]
    changed += [rule for rule in before.values() if after.get(rule.id) != rule]
    known = {(offer.protocol, offer.port) for offer in offers}
    seen: set[tuple[str, str]] = set()
    for rule in (*changed, *after.values()):
        for port in rule.ports if _about_the_host(rule) else ():
            first, last = port_range(port)
            free = next(
                (number for number in range(first, last + 1) if (rule.protocol, number) not in known), 0
            )
            if not free or (rule.protocol, port) in seen:
                continue
            if len(seen) == MOST_PORTS:
                return
            seen.add((rule.protocol, port))
            known.add((rule.protocol, free))
            yield _Asked(Offer(rule.protocol, free, None, "", (4, 6), "process", "", ""), port, listens)


def _about_the_host(rule: DocumentRule) -> bool:
    # What no container publishes cannot be dialled, whatever the rules for containers say.
    return rule.enabled and rule.scope != "container"


def _compared(old: ExposureRow, new: ExposureRow) -> Iterator[tuple[Kind, str]]:
    families = sorted({each.family for each in (*old.access, *new.access) if each.interfaces})
    opened: dict[Family, AddressSet] = {}
    closed: dict[Family, AddressSet] = {}
    doubt: dict[Family, AddressSet] = {}
    left: dict[Family, AddressSet] = {}
    for family in families:
        never = _NEVER[family]
        was, now = _passes(old, family), _passes(new, family)
        unsure, was_unsure = _unknown(new, family), _unknown(old, family)
        opened[family] = now.difference(was).difference(was_unsure).difference(never)
        closed[family] = was.difference(now).difference(unsure).difference(never)
        doubt[family] = unsure.difference(was_unsure).difference(never)
        left[family] = now.difference(never)
    if any(opened.values()):
        yield "opened", f"reachable {_from(opened)}"
    if any(closed.values()):
        narrowed = {family: left[family] for family, lost in closed.items() if lost}
        everywhere = all(covers_the_internet(family, closed[family]) for family in narrowed)
        if everywhere and any(narrowed.values()):
            yield "closed", f"reachable {_from(narrowed)} only, no longer {_from(closed)}"
        else:
            yield "closed", f"no longer reachable {_from(closed)}"
    if any(doubt.values()):
        reason = next((_reason(each.parts) or each.reason for each in new.access if each.unknown), "")
        yield "unknown", f"{_from(doubt)}: {reason}" if reason else _from(doubt)


def _passes(row: ExposureRow, family: Family) -> AddressSet:
    return union_of(family, [each.passes for each in row.access if each.family == family])


def _unknown(row: ExposureRow, family: Family) -> AddressSet:
    found = union_of(family, [each.unknown for each in row.access if each.family == family])
    return found.difference(_passes(row, family))


def _reason(parts: Iterable[tuple[AddressSet, object]]) -> str:
    return next((reason for _, verdict in parts if (reason := getattr(verdict, "reason", ""))), "")


def _from(sets: Mapping[Family, AddressSet]) -> str:
    """`from anywhere`, `from anywhere by IPv4`, `from 198.51.100.0/24 and 203.0.113.7`."""
    wide = [family for family, addresses in sets.items() if covers_the_internet(family, addresses)]
    if len(wide) == len(sets):
        return "from anywhere"
    parts = [f"anywhere by {FAMILY_NAMES[family]}" for family in wide]
    networks = [
        str(network).removesuffix("/128" if family == 6 else "/32")
        for family, addresses in sets.items()
        if family not in wide
        for network in addresses.networks(_NAMED + 1)
    ]
    parts += networks[:_NAMED]
    if len(networks) > _NAMED:
        parts.append("others")
    return f"from {parts[0]}" if len(parts) == 1 else f"from {', '.join(parts[:-1])} and {parts[-1]}"


def _what(asked: _Asked) -> str:
    offer = asked.offer
    at = f" at {offer.address}" if offer.address is not None else ""
    who = f" ({offer.name})" if offer.name and not offer.reaches_container else ""
    return f"{asked.port}/{offer.protocol}{at}{who}"


def _place(asked: _Asked) -> str:
    offer = asked.offer
    if offer.reaches_container:
        if offer.name:
            return f"of container {offer.name}"
        return f"of the container at {offer.inner[0]}" if offer.inner else "of a container"
    return "of the host, where nothing listens now," if asked.listens is False else "of the host"


def _sentence(kind: Kind, what: Sequence[str], place: str, words: str) -> str:
    """`22/tcp (sshd) of the host is no longer reachable from 198.51.100.0/24`."""
    shown = ", ".join(what[:5]) + (f" and {len(what) - 5} more ports" if len(what) > 5 else "")
    many = len(what) > 1
    if kind == "opened":
        return f"{shown} {place} {'become' if many else 'becomes'} {words}"
    if kind == "closed":
        return f"{shown} {place} {'are' if many else 'is'} {words}"
    return f"cannot tell whether {shown} {place} {'are' if many else 'is'} reachable {words}"
