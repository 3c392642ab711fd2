"""Compile a snapshot for the simulator: one family's rules, now or after a load, and their surroundings.

A family whose rules could not be read has nothing to simulate: that is None, and never "no rules".
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping

from dockerfw.chains.after_load import replay_load
from dockerfw.chains.container_sets import container_definitions
from dockerfw.chains.names import BRIDGES_SETS, PROXY_SETS, own_chains
from dockerfw.chains.render import render, render_restore
from dockerfw.document.document import digest
from dockerfw.document.values import Document
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.messages.snapshot_values import (
    container_families_of,
    limits_of,
    surroundings_of,
    with_loaded_sets,
)
from dockerfw.reach.bound_sets import with_bound_sets
from dockerfw.simulation.moments import seconds_of
from dockerfw.simulation.simulate import Prepared, prepare
from dockerfw.simulation.surroundings import Surroundings
from dockerfw.simulation.time_answers import TIME_MATCH, time_answers
from rules.seen.list_member_selectors import list_marks, list_set_names, with_list_sets
from rules.seen.listening_selectors import listening_of
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView, count_rules

_OUR_RULE = re.compile(r"^(?:\[\d+:\d+\] )?-A (FILTERS\S*) .*\n", re.MULTILINE)
# Four for each family: the live rules, the draft, and two revisions that others are looking at.
_prepared: Memory[Prepared] = Memory(8, lambda made: count_rules(made.ruleset), least=4)
_timed: Memory[tuple[Family, ...]] = Memory(8)
_ends: Memory[tuple[int | None, ...]] = Memory(8)


def prepare_family(view: SnapshotView, family: Family) -> Prepared | None:
    """Return the kernel's compiled rules, None when this family's rules could not be read."""
    if not _was_read(view, family):
        return None
    found = _prepared.get_or_compute(
        (family, content_key(view)),
        lambda: prepare(view.rulesets[family], surroundings_of(view.snapshot), family),
    )
    return found.at(_moment(view))


def prepare_family_after(
    view: SnapshotView, document: Document, revision: int, family: Family
) -> Prepared | None:
    """Return the compiled rules after a load of a document; None as in `prepare_family`.

    Other rules stay as they are. Raises ParseError for a live table that cannot be replayed.
    """
    if not _was_read(view, family):
        return None
    around = surroundings_after(view, document, revision)
    names = (BRIDGES_SETS[family], PROXY_SETS[family], *container_definitions(document))
    bound = tuple(around.sets.get(name) for name in (*names, *list_set_names(document)))
    containers = _has_containers(view, document, family)
    found = _prepared.get_or_compute(
        (family, content_key(view), digest(document), revision, containers, bound),
        lambda: prepare(after_load(view, document, revision, family), around, family),
    )
    return found.at(_moment(view))


def surroundings_after(view: SnapshotView, document: Document, revision: int) -> Surroundings:
    """Return the surroundings with the sets that the root worker makes before it loads a document."""
    limits = limits_of(view.snapshot)
    sets = (one for family in FAMILIES for one in render(document, family, revision, limits=limits).sets)
    return with_loaded_sets(surroundings_bound(view, document), sets)


def surroundings_bound(view: SnapshotView, document: Document) -> Surroundings:
    """Return the surroundings with the bound sets of a document: those that exist, and those to be made."""
    external, definitions = document.settings.external_interfaces, container_definitions(document)
    around = with_bound_sets(surroundings_of(view.snapshot), listening_of(view), external, definitions)
    return with_list_sets(around, document, view.snapshot.host)


def rulesets_read(view: SnapshotView) -> Mapping[Family, Ruleset]:
    """Return the rulesets of the families that could be read."""
    return {family: ruleset for family, ruleset in view.rulesets.items() if _was_read(view, family)}


def _was_read(view: SnapshotView, family: Family) -> bool:
    """Return True if there is a save of this family; that of a family without rules is empty, too.

    What a save does not show, the simulator knows from the save itself.
    """
    return family in view.snapshot.families and family not in view.snapshot.failed


def after_load(view: SnapshotView, document: Document, revision: int, family: Family) -> Ruleset:
    """Return the ruleset that a load of a document would leave behind. Raises ParseError."""
    live = view.rulesets[family]
    containers = _has_containers(view, document, family)
    limits = limits_of(view.snapshot)
    load = render_restore(
        document, family, live=live, revision=revision, containers=containers, limits=limits
    )
    # The load flushes our chains anyway, and replaying each rule takes time.
    ours = set(own_chains(live))
    kept = _OUR_RULE.sub(lambda found: "" if found[1] in ours else found[0], view.snapshot.saves[family])
    return replay_load(kept.rstrip(), load, family)


def _has_containers(view: SnapshotView, document: Document, family: Family) -> bool:
    return family in container_families_of(view.snapshot, view.rulesets, document.settings)


def content_key(view: SnapshotView) -> Hashable:
    """Return what a simulation depends on: the rules without their counters, and the surroundings.

    Counters change with every packet, and compiling thousands of rules for each snapshot takes too long. Of
    the moment only the answers of `-m time` count.
    """
    snapshot = view.snapshot
    routes = tuple(snapshot.default_routes[family] for family in sorted(snapshot.default_routes))
    families = sorted(view.rulesets)
    rules = tuple((view.rulesets[each].rules_digest, view.rulesets[each].unprinted) for each in families)
    timed = _timed.get_or_compute(rules, lambda: _timed_families(view))
    moment = _moment(view)
    times = tuple(time_answers(view.rulesets[family], family, moment) for family in timed)
    return (
        rules,
        times,
        snapshot.interfaces,
        routes,
        snapshot.sets,
        snapshot.bridges_filtered,
        snapshot.lacks_ip_set,
    )


def document_key(view: SnapshotView, document: Document) -> Hashable:
    """Return what a load of a document depends on: its digest, its lists, and which of its times are over."""
    return (digest(document), list_marks(document, view.snapshot.host), times_over(view, document))


def times_over(view: SnapshotView, document: Document) -> Hashable:
    """Return which of a document's times are over at the moment of a snapshot."""
    moment = _moment(view)
    ends = _ends.get_or_compute(digest(document), lambda: _read_ends(document))
    return tuple(None if end is None or moment is None else (end < moment) - (end > moment) for end in ends)


def _read_ends(document: Document) -> tuple[int | None, ...]:
    """Return the moments from which, and until which, rules of a document count, in UTC seconds."""
    return tuple(seconds_of(text) for rule in document.rules for text in (rule.starts, rule.expires) if text)


def _moment(view: SnapshotView) -> int | None:
    """Return the moment of a snapshot by its host's clock, in UTC seconds."""
    return seconds_of(view.snapshot.taken_at)


def sight_key(view: SnapshotView) -> Hashable:
    """Return what access depends on: `content_key`, what could be read, and what listens.

    Two snapshots with the same content share it, so that nothing is computed again only because time passed.
    """
    snapshot = view.snapshot
    listening = (snapshot.sockets, snapshot.published, snapshot.containers, snapshot.listeners_known)
    beside = (snapshot.docker_state, snapshot.foreign_tables, snapshot.redirecting_tables)
    return (content_key(view), snapshot.families, snapshot.unread, *listening, *beside)


def _timed_families(view: SnapshotView) -> tuple[Family, ...]:
    """Return the families with rules that apply at some times only."""
    return tuple(each for each in sorted(view.rulesets) if TIME_MATCH in view.snapshot.saves[each])
