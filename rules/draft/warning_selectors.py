"""Read the warnings about rules, compared with what listens on the host."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils import timezone

from dockerfw.document.document import DocumentRule
from dockerfw.messages.snapshot_values import containers_of, surroundings_of
from dockerfw.reach.condition_warnings import Conditions, condition_warnings, hides_warning
from dockerfw.reach.container_warnings import unbound_warnings
from dockerfw.reach.offers import Offer, find_offers
from dockerfw.reach.rule_warnings import RuleWarning, find_ports_without_rule, rule_warnings
from rules.draft.covering_selectors import hidden_rules, hidden_with
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
    host: Host, rules: Iterable[DocumentRule], view: SnapshotView | None, *, typed: bool = False
) -> Mapping[str, tuple[RuleWarning, ...]]:
    """Return the warnings about rules by their id; without a snapshot only those that need none.

    `typed`: the one rule is being typed, and may differ from the draft's rule with its id.
    """
    offers = offers_in(view) if view else ()
    sockets_known = view is not None and bool(view.snapshot.sockets)
    wanted = tuple(rules)
    unbound = _unbound(wanted, view) if view else {}
    hidden = hidden_with(host, wanted[0]) if typed and wanted else hidden_rules(host)
    around = _conditions(host, hidden)
    hiding: dict[str, list[str]] = defaultdict(list)
    for key, block in hidden.items():
        hiding[block.id].append(key)
    by_id = {rule.id: rule for rule in draft_document(host).rules} if hiding else {}
    found = {}
    for rule in wanted:
        warnings = rule_warnings(rule, offers, sockets_known=sockets_known)
        if view is None:
            warnings = tuple(each for each in warnings if each.code != "idle")
        if rule.id in unbound:
            # It says more than that nothing listens.
            warnings = (unbound[rule.id], *(each for each in warnings if each.code != "idle"))
        hides = hides_warning([by_id[key] for key in hiding.get(rule.id, ()) if key in by_id])
        warnings = (*warnings, *condition_warnings(rule, around), *((hides,) if hides else ()))
        if warnings:
            found[rule.id] = warnings
    return found


def _unbound(rules: Iterable[DocumentRule], view: SnapshotView) -> Mapping[str, RuleWarning]:
    interfaces = surroundings_of(view.snapshot).interfaces
    return unbound_warnings(rules, containers_of(view.snapshot), interfaces)


def moment_text(moment: datetime) -> str:
    """Return a moment as a document writes it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _conditions(host: Host, hidden: Mapping[str, DocumentRule]) -> Conditions:
    return Conditions(
        now=moment_text(timezone.now()),
        groups={group.name: group for group in draft_document(host).groups},
        hidden_by=hidden,
    )


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
