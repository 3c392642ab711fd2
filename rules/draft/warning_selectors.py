"""Read the warnings about rules, compared with what listens on the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dockerfw.document.document import DocumentRule
from dockerfw.reach.offers import Offer, find_offers
from dockerfw.reach.rule_warnings import RuleWarning, find_ports_without_rule, rule_warnings
from rules.draft.draft_selectors import draft_document
from rules.models import Host
from rules.seen.listening_selectors import listening_of
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView
from rules.seen.surroundings_selectors import sight_key

_offers: Memory[tuple[Offer, ...]] = Memory(4)
_unruled: Memory[tuple[Unruled, ...]] = Memory(4)


@dataclass(frozen=True, slots=True)
class Unruled:
    """A published port without a rule, with the fields of a rule that would allow it."""

    offer: Offer
    values: Mapping[str, str]


def warnings_of(
    rules: Iterable[DocumentRule], view: SnapshotView | None
) -> Mapping[str, tuple[RuleWarning, ...]]:
    """Return the warnings about rules by their id; without a snapshot only those that need none."""
    offers = offers_in(view) if view else ()
    sockets_known = view is not None and bool(view.snapshot.sockets)
    found = {}
    for rule in rules:
        warnings = rule_warnings(rule, offers, sockets_known=sockets_known)
        if view is None:
            warnings = tuple(each for each in warnings if each.code != "idle")
        if warnings:
            found[rule.id] = warnings
    return found


def published_without_rule(host: Host, view: SnapshotView) -> tuple[Unruled, ...]:
    """Return the published ports without a rule in the draft."""
    key = (host.pk, host.created_at, host.draft_version, sight_key(view))
    return _unruled.get_or_compute(key, lambda: _read(host, view))


def offers_in(view: SnapshotView) -> tuple[Offer, ...]:
    """Return everything that the host offers to the network."""
    return _offers.get_or_compute(sight_key(view), lambda: find_offers(listening_of(view)))


def _read(host: Host, view: SnapshotView) -> tuple[Unruled, ...]:
    return tuple(
        Unruled(offer, _values(offer))
        for offer in find_ports_without_rule(draft_document(host).rules, offers_in(view))
    )


def _values(offer: Offer) -> dict[str, str]:
    values = {"scope": "container", "protocol": offer.protocol, "ports": str(offer.port)}
    return {**values, "comment": offer.name} if offer.name else values
