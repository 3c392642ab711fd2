"""Compile a snapshot for the simulator: one family's rules, now or after a load, and their surroundings.

A family whose rules could not be read has nothing to simulate: that is None, and never "no rules".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Mapping

from dockerfw.chains.names import OWN_CHAINS
from dockerfw.chains.render import render_restore
from dockerfw.document.document import digest
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.replay import parse_restore
from dockerfw.messages.snapshot_values import container_families_of, surroundings_of
from dockerfw.simulation.simulate import Prepared, prepare
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView

_OWN_RULE = re.compile(rf"^(?:\[\d+:\d+\] )?-A (?:{'|'.join(OWN_CHAINS)}) .*\n", re.MULTILINE)
# Four for each family: the live rules, the draft, and two revisions that others are looking at.
_prepared: Memory[Prepared] = Memory(8)
_digests: Memory[str] = Memory(8)


def prepare_family(view: SnapshotView, family: Family) -> Prepared | None:
    """Return the kernel's compiled rules, None when this family's rules could not be read."""
    if not _was_read(view, family):
        return None
    return _prepared.get_or_compute(
        (family, content_key(view)),
        lambda: prepare(view.rulesets[family], surroundings_of(view.snapshot), family),
    )


def prepare_family_after(
    view: SnapshotView, document: Document, revision: int, family: Family
) -> Prepared | None:
    """Return the compiled rules after a load of a document; None as in `prepare_family`.

    Other rules stay as they are. Raises ParseError for a live table that cannot be replayed.
    """
    if not _was_read(view, family):
        return None
    return _prepared.get_or_compute(
        (family, content_key(view), digest(document), revision, _has_containers(view, document, family)),
        lambda: prepare(after_load(view, document, revision, family), surroundings_of(view.snapshot), family),
    )


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
    load = render_restore(document, family, live=live, revision=revision, containers=containers)
    # The load flushes our chains anyway, and replaying each rule takes time.
    kept = _OWN_RULE.sub("", view.snapshot.saves[family])
    return parse_restore(f"{kept.rstrip()}\n{load}", family=family)


def _has_containers(view: SnapshotView, document: Document, family: Family) -> bool:
    return family in container_families_of(view.snapshot, view.rulesets, document.settings)


def content_key(view: SnapshotView) -> Hashable:
    """Return what a simulation depends on: the rules without their counters, and the surroundings.

    Counters change with every packet, and compiling thousands of rules for each snapshot takes too long.
    """
    snapshot = view.snapshot
    routes = tuple(snapshot.default_routes[family] for family in sorted(snapshot.default_routes))
    rules = _digests.get_or_compute((snapshot.sha256, snapshot.unprinted), lambda: _rules_digest(view))
    return (rules, snapshot.interfaces, routes, snapshot.sets, snapshot.bridges_filtered)


def sight_key(view: SnapshotView) -> Hashable:
    """Return what access depends on: `content_key`, what could be read, and what listens.

    Two snapshots with the same content share it, so that nothing is computed again only because time passed.
    """
    snapshot = view.snapshot
    listening = (snapshot.sockets, snapshot.published, snapshot.containers)
    beside = (snapshot.docker_state, snapshot.foreign_tables, snapshot.redirecting_tables)
    return (content_key(view), snapshot.families, snapshot.unread, *listening, *beside)


def _rules_digest(view: SnapshotView) -> str:
    found = hashlib.sha256()
    for family, ruleset in sorted(view.rulesets.items()):
        found.update(repr(ruleset.unprinted).encode())
        for table in ruleset.tables.values():
            for chain in table.chains.values():
                head = f"{family} {table.name} {chain.name} {chain.policy}"
                text = "\n".join((head, *(rule.text for rule in chain.rules), ""))
                found.update(text.encode("utf-8", "surrogateescape"))
    return found.hexdigest()
