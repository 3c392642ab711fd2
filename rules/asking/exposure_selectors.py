"""Read the exposure of a host: its listeners and published ports, and the clients that can reach them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from dockerfw.chains.ways_in import find_ways_in_problems, inside_interfaces, outside_interfaces
from dockerfw.document.document import Document, DocumentRule
from dockerfw.document.moments import to_second
from dockerfw.document.values import Settings
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.messages.snapshot_values import forwarded_connections, surroundings_of
from dockerfw.reach.container_offers import find_container_offers, past_host_offers
from dockerfw.reach.elsewhere import containers_past_host
from dockerfw.reach.exposure import (
    LEVELS,
    ExposureLevel,
    ExposureRow,
    expose,
    find_idle_rules,
)
from dockerfw.reach.forwarded_reach import ForwardedRow, expose_destinations
from dockerfw.reach.offers import find_offers
from dockerfw.reach.own_addresses import add_own_addresses
from dockerfw.reach.sentences import describe_exposure
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import HostInterface
from rules.draft.basis_selectors import Basis
from rules.seen.destination_selectors import destinations_of
from rules.seen.listening_selectors import listening_of
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView
from rules.seen.surroundings_selectors import document_key, prepare_family, sight_key

_forwarded: Memory[tuple[ForwardedRow, ...]] = Memory(4)
_rows: Memory[tuple[ExposureRow, ...]] = Memory(4)
_idle: Memory[tuple[DocumentRule, ...]] = Memory(4)


@dataclass(frozen=True, slots=True)
class Exposure:
    """All rows with their summary.

    `outside` are the interfaces that packets from outside arrive on; `chosen` is true if the settings name
    external ones. `problems` are sentences about external interfaces that do not match these. `idle` are
    confirmed rules behind which nothing listens; none if the list of what listens is not `complete`.
    `forwarded` are the destinations behind the host that are no container's.
    """

    rows: tuple[ExposureRow, ...]
    sentence: str
    outside: tuple[str, ...]
    chosen: bool
    problems: tuple[str, ...]
    containers_known: bool
    idle: tuple[DocumentRule, ...]
    complete: bool
    forwarded: tuple[ForwardedRow, ...] = ()

    @property
    def counts(self) -> Mapping[ExposureLevel, int]:
        """The number of rows of each level."""
        found = Counter(row.level for row in self.rows)
        return {level: found[level] for level in LEVELS}


def read_exposure(basis: Basis, view: SnapshotView) -> Exposure:
    """Return the exposure under the kernel's rules of `view`, the basis's snapshot."""
    document = basis.base_document
    settings = (document or basis.draft).settings
    surroundings = surroundings_of(view.snapshot)
    outside = outside_interfaces(settings, surroundings)
    sight, loaded = sight_key(view), document and document_key(view, document)
    forwarded = _forwarded_rows(view, document, settings, outside, (sight, loaded))
    key = (sight, settings.external_interfaces, settings.trusted_interfaces)
    found = _rows.get_or_compute(
        key,
        lambda: exposure_rows(
            view,
            {family: made for family in FAMILIES if (made := prepare_family(view, family))},
            settings,
        ),
    )
    problems = find_ways_in_problems(settings, surroundings, docker=False)
    listed = view.snapshot.listeners_known
    past_host = containers_past_host(listening_of(view), surroundings, outside)
    return Exposure(
        rows=found,
        sentence=describe_exposure(
            found,
            view.snapshot.unread,
            tuple(each.container.name for each in past_host),
            forwarded,
            listed=listed,
        ),
        outside=tuple(each.name for each in outside),
        chosen=bool(settings.external_interfaces),
        problems=tuple(each.message for each in problems),
        containers_known=view.snapshot.containers is not None,
        idle=_idle.get_or_compute(
            (key, loaded), lambda: find_idle_rules(document, found, to_second(view.snapshot.taken_at))
        )
        if document and listed
        else (),
        complete=listed and not view.snapshot.unread,
        forwarded=forwarded,
    )


def exposure_counts(basis: Basis, view: SnapshotView) -> Mapping[ExposureLevel, int] | None:
    """Return the number of rows of each level, None if there may be more rows than those."""
    found = read_exposure(basis, view)
    return found.counts if found.complete else None


def _forwarded_rows(
    view: SnapshotView,
    document: Document | None,
    settings: Settings,
    outside: Sequence[HostInterface],
    key: Hashable,
) -> tuple[ForwardedRow, ...]:
    """Return what reaches the destinations behind the host under the kernel's rules.

    `key` is that of what was seen and of the document.
    """

    def read() -> tuple[ForwardedRow, ...]:
        prepared = {family: made for family in FAMILIES if (made := prepare_family(view, family))}
        behind = destinations_of(view, prepared, (document,), outside, settings.external_interfaces)
        return expose_destinations(behind, (document,), prepared, outside)

    connections = frozenset(forwarded_connections(view.snapshot, outside))
    names = tuple(each.name for each in outside)
    return _forwarded.get_or_compute((key, settings.external_interfaces, names, connections), read)


def exposure_rows(
    view: SnapshotView, prepared: Mapping[Family, Prepared], settings: Settings
) -> tuple[ExposureRow, ...]:
    """Return a row for each listener of a snapshot under the rules of `prepared`, live or hypothetical."""
    surroundings = surroundings_of(view.snapshot)
    outside = outside_interfaces(settings, surroundings)
    inside = inside_interfaces(settings, surroundings)
    listening = listening_of(view)
    offers = find_offers(listening)
    own = find_container_offers(listening, (prepared,), outside, offers)
    past_host = past_host_offers(containers_past_host(listening, surroundings, outside))
    external = settings.external_interfaces
    rows = expose((*offers, *past_host), prepared, outside, inside, external)
    return add_own_addresses(rows, expose(own, prepared, outside, inside, external))
