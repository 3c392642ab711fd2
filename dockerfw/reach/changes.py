"""The effect of a load on outside access: which ports open or close, and for which sources.

exposure.py answers which sources reach a port before and after the load.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.document.fields import port_range
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.model import Family
from dockerfw.reach import sentences
from dockerfw.reach.exposure import Access, ExposureRow, expose
from dockerfw.reach.internet import covers_the_internet
from dockerfw.reach.offers import Offer
from dockerfw.reach.port_classes import ClassName, ClassReach, Place, PortClass, probe_classes
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface

ChangeKind = Literal["opened", "closed", "unknown"]
# The sources, and for what closes those that remain, for what is unknown the reason.
_Words = tuple[str, str]

# At most this many ports that only rules name are checked, those of changed rules first.
MOST_PORTS: Final = 60
_NAMED: Final = 3
_NEVER: Final[Mapping[Family, AddressSet]] = {
    4: AddressSet.of(4, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")),
    6: AddressSet.of(6, ("::/127", "fe80::/10", "ff00::/8")),
}


@dataclass(frozen=True, slots=True)
class Change:
    """A sentence without its full stop, and its kind: opened, closed or unknown."""

    kind: ChangeKind
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class _Port:
    """An offer, with the words for its port; `listens` is None if unknown."""

    offer: Offer
    port: str
    listens: bool | None


def exposure_changes(
    offers: Sequence[Offer],
    documents: tuple[Document | None, Document],
    before: Mapping[Family, Prepared],
    after: Mapping[Family, Prepared],
    outside: Sequence[HostInterface],
    inside: Sequence[HostInterface] = (),
    *,
    sockets_known: bool,
) -> tuple[Change, ...]:
    """Compare access before and after a load; opened ports come first, then closed ones.

    Before the ports by name come the classes that no name covers, such as every TCP port.
    """
    entries = [_Port(offer, str(offer.port), True) for offer in offers]
    entries += _named_by_rules(documents, offers, listens=False if sockets_known else None)
    wanted = [entry.offer for entry in entries]
    old = {row.key: row for row in expose(wanted, before, outside, inside)}
    new = {row.key: row for row in expose(wanted, after, outside, inside)}
    taken = {(offer.protocol, offer.port) for offer in wanted}
    changes = list(_class_changes(probe_classes(documents, taken, before, after, outside)))
    found: dict[tuple[ChangeKind, _Words, str], list[str]] = {}
    for entry in entries:
        key = (entry.offer.protocol, entry.offer.port, entry.offer.address, entry.offer.interface)
        for kind, words in _compared(_seen(old[key]), _seen(new[key])):
            found.setdefault((kind, words, _describe_place(entry)), []).append(_describe_port(entry))
    for (kind, words, place), what in found.items():
        changes.append(Change(kind, _sentence(kind, what, place, words)))
    order: tuple[ChangeKind, ...] = ("opened", "closed", "unknown")
    return tuple(sorted(changes, key=lambda change: order.index(change.kind)))


def _class_changes(classes: Iterable[PortClass]) -> Iterator[Change]:
    """Yield a sentence for the classes that change alike, such as TCP of the host and of containers."""
    found: dict[tuple[ChangeKind, _Words], dict[ClassName, list[Place]]] = {}
    for each in classes:
        for change in _compared(each.before, each.after):
            found.setdefault(change, {}).setdefault(each.name, []).append(each.place)
    for (kind, words), places_of in found.items():
        alike: dict[tuple[Place, ...], list[ClassName]] = {}
        for name, places in places_of.items():
            if name == "ping":
                yield Change(kind, sentences.ping_changes(kind, *words))
            else:
                alike.setdefault(tuple(places), []).append(name)
        for where, names in alike.items():
            what, place = sentences.class_words(names, where, closed=kind == "closed")
            text = _sentence(kind, [what], place, words)
            yield Change(kind, f"{text[0].upper()}{text[1:]}")


def _named_by_rules(
    documents: tuple[Document | None, Document], offers: Sequence[Offer], *, listens: bool | None
) -> Iterator[_Port]:
    """Yield the ports and ranges that rules name and that no known offer has."""
    old, new = documents
    before = {rule.id: rule for rule in old.rules} if old else {}
    after = {rule.id: rule for rule in new.rules}
    changed = [rule for rule in after.values() if before.get(rule.id) != rule]
    changed += [rule for rule in before.values() if after.get(rule.id) != rule]
    known = {(offer.protocol, offer.port) for offer in offers}
    seen: set[tuple[str, str]] = set()
    for rule in (*changed, *after.values()):
        for port in rule.ports if _is_for_the_host(rule) else ():
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
            yield _Port(Offer(rule.protocol, free, None, "", (4, 6), "process", "", ""), port, listens)


def _is_for_the_host(rule: DocumentRule) -> bool:
    # Without a published port, clients have nothing to connect to, whatever the rules for containers say.
    return rule.enabled and rule.scope != "container"


def _seen(row: ExposureRow) -> tuple[Access, ...]:
    """Return the answers about interfaces that packets arrive on."""
    return tuple(each for each in row.access if each.interfaces)


def _compared(
    old: Sequence[Access | ClassReach], new: Sequence[Access | ClassReach]
) -> Iterator[tuple[ChangeKind, _Words]]:
    families = sorted({each.family for each in (*old, *new)})
    opened: dict[Family, AddressSet] = {}
    closed: dict[Family, AddressSet] = {}
    unclear: dict[Family, AddressSet] = {}
    left: dict[Family, AddressSet] = {}
    for family in families:
        never = _NEVER[family]
        was, now = _passes(old, family), _passes(new, family)
        unsure, was_unsure = _unknown(new, family), _unknown(old, family)
        opened[family] = now.difference(was).difference(was_unsure).difference(never)
        closed[family] = was.difference(now).difference(unsure).difference(never)
        unclear[family] = unsure.difference(was_unsure).difference(never)
        left[family] = now.difference(never)
    if any(opened.values()):
        yield "opened", (_from(opened), "")
    if any(closed.values()):
        narrowed = {family: left[family] for family, lost in closed.items() if lost}
        everywhere = all(covers_the_internet(family, closed[family]) for family in narrowed)
        if everywhere and any(narrowed.values()):
            yield "closed", (_from(closed), _from(narrowed))
        else:
            yield "closed", (_from(closed), "")
    if any(unclear.values()):
        reason = next((_reason(each) for each in new if each.unknown), "")
        yield "unknown", (_from(unclear), reason)


def _passes(answers: Sequence[Access | ClassReach], family: Family) -> AddressSet:
    return union_of(family, [each.passes for each in answers if each.family == family])


def _unknown(answers: Sequence[Access | ClassReach], family: Family) -> AddressSet:
    found = union_of(family, [each.unknown for each in answers if each.family == family])
    return found.difference(_passes(answers, family))


def _reason(answer: Access | ClassReach) -> str:
    found = next((verdict.reason for _, verdict in answer.parts if verdict.reason), "")
    return found or (answer.reason if isinstance(answer, Access) else "")


def _from(sets: Mapping[Family, AddressSet]) -> str:
    """Return the sources: `from anywhere`, `from anywhere over IPv4`, `from 192.0.2.0/24 and 203.0.113.7`."""
    wide = [family for family, addresses in sets.items() if covers_the_internet(family, addresses)]
    if len(wide) == len(sets):
        return "from anywhere"
    parts = [sentences.anywhere_over(family) for family in wide]
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


def _describe_port(entry: _Port) -> str:
    offer = entry.offer
    at = f" at {offer.address}" if offer.address is not None else ""
    who = f" ({offer.name})" if offer.name and not offer.reaches_container else ""
    return f"{entry.port}/{offer.protocol}{at}{who}"


def _describe_place(entry: _Port) -> str:
    offer = entry.offer
    if offer.reaches_container:
        if offer.name:
            return f"of container {offer.name}"
        return f"of the container at {offer.inner[0]}" if offer.inner else "of a container"
    return "of the host, where nothing listens now," if entry.listens is False else "of the host"


def _sentence(kind: ChangeKind, what: Sequence[str], place: str, words: _Words) -> str:
    """Return a change as a sentence: `22/tcp (sshd) of the host is no longer reachable from anywhere`."""
    shown = ", ".join(what[:5]) + (f" and {len(what) - 5} more ports" if len(what) > 5 else "")
    sources, more = words
    if kind == "opened":
        return sentences.opened(shown, place, sources, many=len(what) > 1)
    if kind == "closed":
        return sentences.closed(shown, place, sources, more, many=len(what) > 1)
    return sentences.change_unknown(shown, place, sources, more, many=len(what) > 1)
