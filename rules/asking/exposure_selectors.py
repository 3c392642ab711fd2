"""Read the exposure of a host: its listeners and published ports, and the clients that can reach them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dockerfw.chains.ways_in import find_ways_in_problems, inside_interfaces, outside_interfaces
from dockerfw.document.document import DocumentRule
from dockerfw.document.values import Settings
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.messages.snapshot_values import surroundings_of
from dockerfw.reach.elsewhere import containers_past_host
from dockerfw.reach.exposure import (
    LEVELS,
    ExposureLevel,
    ExposureRow,
    expose,
    find_idle_rules,
)
from dockerfw.reach.offers import find_offers
from dockerfw.reach.sentences import describe_exposure
from dockerfw.simulation.simulate import Prepared
from rules.draft.basis_selectors import Basis
from rules.seen.listening_selectors import listening_of
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView
from rules.seen.surroundings_selectors import prepare_family, sight_key

_rows: Memory[tuple[ExposureRow, ...]] = Memory(4)


@dataclass(frozen=True, slots=True)
class Exposure:
    """All rows with their summary.

    `outside` are the interfaces that packets from outside arrive on; `chosen` is true if the settings name
    external ones. `problems` are sentences about external interfaces that do not match these. `idle` are
    confirmed rules behind which nothing listens.
    """

    rows: tuple[ExposureRow, ...]
    sentence: str
    outside: tuple[str, ...]
    chosen: bool
    problems: tuple[str, ...]
    containers_known: bool
    idle: tuple[DocumentRule, ...]

    @property
    def counts(self) -> Mapping[ExposureLevel, int]:
        """The number of rows of each level."""
        found = Counter(row.level for row in self.rows)
        return {level: found[level] for level in LEVELS}


def read_exposure(basis: Basis, view: SnapshotView) -> Exposure:
    """Return the exposure under the kernel's rules of `view`, the basis's snapshot."""
    document = basis.base_document
    settings = (document or basis.draft).settings
    found = _rows.get_or_compute(
        (sight_key(view), settings.external_interfaces, settings.trusted_interfaces),
        lambda: exposure_rows(
            view,
            {family: made for family in FAMILIES if (made := prepare_family(view, family))},
            settings,
        ),
    )
    surroundings = surroundings_of(view.snapshot)
    outside = outside_interfaces(settings, surroundings)
    problems = find_ways_in_problems(settings, surroundings, docker=False)
    past_host = containers_past_host(listening_of(view), surroundings, outside)
    return Exposure(
        rows=found,
        sentence=describe_exposure(found, view.snapshot.unread, past_host),
        outside=tuple(each.name for each in outside),
        chosen=bool(settings.external_interfaces),
        problems=tuple(each.message for each in problems),
        containers_known=view.snapshot.containers is not None,
        idle=find_idle_rules(document, found) if document else (),
    )


def exposure_rows(
    view: SnapshotView, prepared: Mapping[Family, Prepared], settings: Settings
) -> tuple[ExposureRow, ...]:
    """Return a row for each listener of a snapshot under the rules of `prepared`, live or hypothetical."""
    surroundings = surroundings_of(view.snapshot)
    outside = outside_interfaces(settings, surroundings)
    inside = inside_interfaces(settings, surroundings)
    return expose(find_offers(listening_of(view)), prepared, outside, inside)
