"""The effect of a load on outside access: which ports open or close, and for which sources.

exposure.py answers which sources reach a port before and after the load.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.document.fields import MAX_PORTS, port_range
from dockerfw.document.values import Document, DocumentRule
from dockerfw.iptables.model import Family
from dockerfw.reach import change_sentences, sentences
from dockerfw.reach.exposure import Access, ExposureRow, expose_both
from dockerfw.reach.internet import UNROUTED, covers_the_internet
from dockerfw.reach.offers import Offer, OfferKey
from dockerfw.reach.own_addresses import find_repeats
from dockerfw.reach.port_classes import ClassName, ClassReach, Place, PortClass, probe_classes
from dockerfw.reach.unchanged import Unchanged, find_changed
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface

ChangeKind = Literal["opened", "closed", "unknown"]
# The sources, and for what closes those that remain, for what is unknown the reason.
ChangeWords = tuple[str, str]

# At most this many ports that only rules name are checked, those of changed rules first.
MOST_PORTS: Final = 60
_NAMED: Final = 3
# Shorter runs of ports are named one by one.
_RUN: Final = 3


@dataclass(frozen=True, slots=True)
class Change:
    """A sentence without its full stop, and its kind: opened, closed or unknown.

    `allow` are the fields of a rule that would allow what closes, as (name, value) pairs; empty if none is
    offered.
    """

    kind: ChangeKind
    sentence: str
    allow: tuple[tuple[str, str], ...] = ()

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
    own: Sequence[Offer] = (),
    sockets_known: bool,
    unchanged: Unchanged | None = None,
) -> tuple[Change, ...]:
    """Compare access before and after a load; opened ports come first, then closed ones.

    Before the ports by name come the classes that no name covers, such as every TCP port. `own` are offers at
    containers' own addresses: they are left out where they follow from `offers`. `unchanged` is what both
    have in common, where that is known.
    """
    unchanged = unchanged or Unchanged(find_changed(before, after))
    entries = [_Port(offer, str(offer.port), True) for offer in offers]
    entries += _named_by_rules(documents, offers, listens=False if sockets_known else None)
    wanted = [entry.offer for entry in entries]
    old, new = (
        {row.offer.key: row for row in rows}
        for rows in expose_both(wanted, before, after, outside, inside, unchanged)
    )
    for offer, was, now in _own_addresses(own, (old, new), (before, after), outside, inside, unchanged):
        entries.append(_Port(offer, offer.ports or str(offer.port), True))
        old[offer.key], new[offer.key] = was, now
    taken = {(offer.protocol, offer.port) for offer in wanted}
    changes = list(_class_changes(probe_classes(documents, taken, before, after, outside)))
    found: dict[tuple[ChangeKind, ChangeWords, str], list[_Port]] = {}
    for entry in entries:
        key = entry.offer.key
        for kind, words in compare_answers(_seen(old[key]), _seen(new[key])):
            found.setdefault((kind, words, _describe_place(entry)), []).append(entry)
    for (kind, words, place), what in found.items():
        sentence = _sentence(kind, _describe_ports(what), place, words)
        changes.append(Change(kind, sentence, _allow_forwards(what) if kind == "closed" else ()))
    return sort_changes(changes)


def sort_changes(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return changes with opened ports first, then closed ones."""
    order: tuple[ChangeKind, ...] = ("opened", "closed", "unknown")
    return tuple(sorted(changes, key=lambda change: order.index(change.kind)))


def _own_addresses(
    own: Sequence[Offer],
    rows: tuple[Mapping[OfferKey, ExposureRow], Mapping[OfferKey, ExposureRow]],
    rules: tuple[Mapping[Family, Prepared], Mapping[Family, Prepared]],
    outside: Sequence[HostInterface],
    inside: Sequence[HostInterface],
    unchanged: Unchanged,
) -> Iterator[tuple[Offer, ExposureRow, ExposureRow]]:
    """Yield the offers at containers' own addresses, with their rows before and after, without repeats."""
    was, now = expose_both(own, *rules, outside, inside, unchanged)
    repeats = find_repeats(rows[0].values(), was) & find_repeats(rows[1].values(), now)
    old, new = ({row.offer.key: row for row in each} for each in (was, now))
    for offer in own:
        if offer.key not in repeats:
            yield offer, old[offer.key], new[offer.key]


def _class_changes(classes: Iterable[PortClass]) -> Iterator[Change]:
    """Yield a sentence for the classes that change alike, such as TCP of the host and of containers."""
    found: dict[tuple[ChangeKind, ChangeWords], dict[ClassName, list[Place]]] = {}
    for each in classes:
        for change in compare_answers(each.before, each.after):
            found.setdefault(change, {}).setdefault(each.name, []).append(each.place)
    for (kind, words), places_of in found.items():
        alike: dict[tuple[Place, ...], list[ClassName]] = {}
        for name, places in places_of.items():
            if name == "ping":
                yield Change(kind, change_sentences.ping_changes(kind, *words))
            else:
                alike.setdefault(tuple(places), []).append(name)
        for where, names in alike.items():
            what, place = change_sentences.class_words(names, where, closed=kind == "closed")
            text = _sentence(kind, [(what, 1)], place, words)
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
    return rule.enabled and rule.is_for_host


def _seen(row: ExposureRow) -> tuple[Access, ...]:
    """Return the answers about interfaces that packets arrive on."""
    return tuple(each for each in row.access if each.interfaces)


def compare_answers(
    old: Sequence[Access | ClassReach], new: Sequence[Access | ClassReach]
) -> Iterator[tuple[ChangeKind, ChangeWords]]:
    """Yield what changes between two answers, in words.

    Where interfaces differ, each is compared by itself and named: one may close, and another stay open.
    """
    if _is_alike(old) and _is_alike(new):
        yield from _compare(old, new)
        return
    names = dict.fromkeys(name for each in (*old, *new) for name in each.interfaces)
    found: dict[tuple[ChangeKind, ChangeWords], list[str]] = {}
    for name in names:
        was, now = ([each for each in answers if name in each.interfaces] for answers in (old, new))
        for change in _compare(was, now):
            found.setdefault(change, []).append(name)
    for (kind, (sources, more)), where in found.items():
        through = change_sentences.through(where) if len(where) < len(names) else ""
        yield kind, (f"{sources}{through}", more)


def _is_alike(answers: Sequence[Access | ClassReach]) -> bool:
    """Return True if the same sources pass over all interfaces that have the family."""
    return all(
        (each.passes, each.unknown) == (other.passes, other.unknown)
        for each in answers
        for other in answers
        if each.family == other.family
    )


def _compare(
    old: Sequence[Access | ClassReach], new: Sequence[Access | ClassReach]
) -> Iterator[tuple[ChangeKind, ChangeWords]]:
    families = sorted({each.family for each in (*old, *new)})
    opened: dict[Family, AddressSet] = {}
    closed: dict[Family, AddressSet] = {}
    unclear: dict[Family, AddressSet] = {}
    left: dict[Family, AddressSet] = {}
    refused: dict[Family, AddressSet] = {}
    for family in families:
        never = UNROUTED[family]
        was, now = _passes(old, family), _passes(new, family)
        unsure, was_unsure = _unknown(new, family), _unknown(old, family)
        opened[family] = now.difference(was).difference(was_unsure).difference(never)
        closed[family] = was.difference(now).difference(unsure).difference(never)
        unclear[family] = unsure.difference(was_unsure).difference(never)
        left[family] = now.difference(never)
        refused[family] = was_unsure.difference(now).difference(unsure).difference(never)
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
    if any(refused.values()):
        # It is unknown whether they reach it today. A load that refuses them must not go unsaid.
        reason = next((_reason(each) for each in old if each.unknown), "")
        yield "unknown", (_from(refused), change_sentences.refused_after(reason))


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


def _describe_ports(entries: Sequence[_Port]) -> list[tuple[str, int]]:
    """Return the ports in words, each with the number of entries that it stands for; a run is one range."""
    runs: list[list[_Port]] = []
    for entry in entries:
        before = runs[-1][-1] if runs else None
        if before is not None and _follows(before, entry):
            runs[-1].append(entry)
        else:
            runs.append([entry])
    found: list[tuple[str, int]] = []
    for run in runs:
        if len(run) < _RUN:
            found += [(f"{entry.port}{_rest(entry)}", 1) for entry in run]
        else:
            ports = f"{port_range(run[0].port)[0]}-{port_range(run[-1].port)[1]}"
            found.append((f"{ports}{_rest(run[0])}", len(run)))
    return found


def _follows(before: _Port, entry: _Port) -> bool:
    if before.offer.ports or entry.offer.ports:
        return False
    return port_range(entry.port)[0] == port_range(before.port)[1] + 1 and _rest(entry) == _rest(before)


def _rest(entry: _Port) -> str:
    """Return what follows the port: `/tcp at 192.0.2.7 (nginx)`."""
    offer = entry.offer
    at = f" at {offer.address}" if offer.address is not None else ""
    who = f" ({offer.name})" if offer.name and not offer.reaches_container else ""
    # The words for several ports hold the protocol.
    return f"{at}{who}" if offer.ports else f"/{offer.protocol}{at}{who}"


def _describe_place(entry: _Port) -> str:
    offer = entry.offer
    if offer.reaches_container:
        if offer.name:
            return f"of container {offer.name}"
        if offer.direct:
            return "of a container"
        return f"of the container at {offer.inner[0]}" if offer.inner else "of a container"
    if offer.kind == "forward":
        return f"forwarded to {offer.detail}"
    return "of the host, where nothing listens now," if entry.listens is False else "of the host"


def _allow_forwards(entries: Sequence[_Port]) -> tuple[tuple[str, str], ...]:
    """Return the fields of a rule that would allow these ports, if rules of others forward all of them."""
    redirects = [each.offer.redirect for each in entries if each.offer.kind == "forward"]
    to = {each.to_address for each in redirects if each is not None}
    protocols = {each.offer.protocol for each in entries}
    if len(redirects) < len(entries) or len(to) != 1 or len(protocols) != 1 or len(entries) > MAX_PORTS:
        return ()
    ports = ", ".join(each.port for each in entries)
    return (("scope", "forwarded"), ("to", str(to.pop())), ("protocol", protocols.pop()), ("ports", ports))


def _sentence(kind: ChangeKind, what: Sequence[tuple[str, int]], place: str, words: ChangeWords) -> str:
    """Return a change as a sentence: `22/tcp (sshd) of the host is no longer reachable from anywhere`."""
    more, many = sum(count for _, count in what[5:]), sum(count for _, count in what) > 1
    shown = ", ".join(text for text, _ in what[:5]) + (f" and {more} more ports" if more else "")
    sources, reason = words
    if kind == "opened":
        return change_sentences.opened(shown, place, sources, many=many)
    if kind == "closed":
        return change_sentences.closed(shown, place, sources, reason, many=many)
    return change_sentences.change_unknown(shown, place, sources, reason, many=many)
