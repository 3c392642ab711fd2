"""The process beside the clerk that records samples of each host over time, from looks that happen anyway.

It reads each snapshot that is due, so that the clerk itself never waits for the simulation of the exposure.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from django.db import DatabaseError, connections
from django.utils import timezone

from dockerfw.chains.own_counts import count_own
from dockerfw.iptables.errors import NetfilterError
from dockerfw.messages.snapshot_values import rule_hits
from dockerfw.messages.snapshots import Snapshot
from dockerfw.reach.exposure import ExposureLevel
from dockerfw.worker.companion import Companion
from rules.applying.kernel_selectors import kernel_sentence
from rules.draft.basis_selectors import Basis, basis_of
from rules.draft.draft_selectors import pending_diff
from rules.link import client
from rules.models import Host
from rules.overview.sample_names import (
    ACCEPTED,
    CHECKS_FAILING,
    CONNTRACK,
    CONNTRACK_MOST,
    DRIFT,
    MOST_SETS,
    OPEN_PORTS,
    PENDING,
    REFUSED,
    SESSIONS,
    UNKNOWN_PORTS,
    UNPROTECTED,
    rule_series,
    set_series,
)
from rules.overview.sample_services import Kind, Reading, samples_due, samples_expire, samples_store
from rules.seen.consequence_selectors import findings_now
from rules.seen.snapshot_selectors import SnapshotView, look

EVERY_SECONDS: Final = 5.0
EXPIRE_SECONDS: Final = 3600.0

CountPorts = Callable[[Basis, SnapshotView], Mapping[ExposureLevel, int] | None]
"""Return the number of ports by the widest that can reach them, None where not all ports are known."""

logger = logging.getLogger(__name__)


class SampleRecorder:
    """Records the samples of all hosts; `count_ports` is the exposure's, from a folder beside this one."""

    def __init__(self, count_ports: CountPorts) -> None:
        self._count_ports = count_ports
        self._heads: dict[str, bytes] = {}
        self._expire_at = 0.0

    def record(self) -> None:
        """Record the last look at each host, if it is due. A later turn retries. Never raises."""
        try:
            for host in Host.objects.all():
                try:
                    self._record(host)
                except (client.QueueError, NetfilterError) as error:
                    logger.warning("no samples of %s are recorded now: %s", host, error)
            if time.monotonic() >= self._expire_at:
                samples_expire()
                self._expire_at = time.monotonic() + EXPIRE_SECONDS
        except DatabaseError as error:
            logger.warning("samples could not be stored: %s", error)
        finally:
            # Between the turns no connection of the database is held.
            connections.close_all()

    def _record(self, host: Host) -> None:
        due = [kind for kind in Kind if samples_due(host=host, kind=kind, at=timezone.now())]
        head = client.snapshot_head(host.name) if due else b""
        if not head or head == self._heads.get(host.name):
            return
        seen = look(host)
        if seen.view is not None:
            basis = basis_of(host, seen)
            if Kind.HOST in due:
                samples_store(host=host, kind=Kind.HOST, reading=self._read_host(basis, seen.view))
            if Kind.RULES in due:
                samples_store(host=host, kind=Kind.RULES, reading=_read_rules(seen.view))
        self._heads[host.name] = head

    def _read_host(self, basis: Basis, view: SnapshotView) -> Reading:
        snapshot, ports = view.snapshot, self._count_ports(basis, view)
        sentence = kernel_sentence(basis)
        known_state = sentence.level != "unknown"
        levels: dict[str, float | None] = {
            UNPROTECTED: sentence.level != "ok" if known_state else None,
            DRIFT: bool(sentence.drift and sentence.drift.findings) if known_state else None,
            OPEN_PORTS: ports["anywhere"] if ports else None,
            UNKNOWN_PORTS: ports["unknown"] if ports else None,
            PENDING: pending_diff(basis.host).count,
            CHECKS_FAILING: _failing(basis, view),
            CONNTRACK: snapshot.tracked.count if snapshot.tracked else None,
            CONNTRACK_MOST: snapshot.tracked.most if snapshot.tracked else None,
            SESSIONS: _sessions(snapshot),
        }
        known = {name: float(value) for name, value in levels.items() if value is not None}
        if snapshot.failed:
            return Reading(view.taken_at, levels=known)
        counts = count_own(snapshot.saves)
        return Reading(
            view.taken_at, counts.mark, {REFUSED: counts.refused, ACCEPTED: counts.accepted}, known
        )


def samples_companion(count_ports: CountPorts) -> Companion:
    """Return the process that records samples, not started yet."""
    return Companion("samples", lambda: _work(SampleRecorder(count_ports)))


def _work(recorder: SampleRecorder) -> None:
    connections.close_all()
    while True:
        recorder.record()
        time.sleep(EVERY_SECONDS)


def _failing(basis: Basis, view: SnapshotView) -> int | None:
    """Return how many expectations fail, None if of some that is not known."""
    states = [each.state for each in findings_now(view, basis.draft)]
    return None if "unknown" in states else states.count("fails")


def _sessions(snapshot: Snapshot) -> int | None:
    """Return the number of sessions from outside, None if not all of them are known."""
    if snapshot.sessions is None or not snapshot.sessions.whole:
        return None
    return sum(group.count for group in snapshot.sessions.groups)


def _read_rules(view: SnapshotView) -> Reading:
    snapshot = view.snapshot
    levels = dict(list(_set_sizes(snapshot))[:MOST_SETS])
    unread = snapshot.unread or any(error.command[:1] == ("ipset",) for error in snapshot.errors)
    if unread:
        return Reading(view.taken_at, levels=levels)
    counts = {
        rule_series(name): each.packets
        for name, each in rule_hits(snapshot, view.rulesets).items()
        if each.packets
    }
    return Reading(view.taken_at, count_own(snapshot.saves).mark, counts, levels)


def _set_sizes(snapshot: Snapshot) -> Iterator[tuple[str, float]]:
    static = {each.name: each.entries for each in snapshot.static_sets}
    for each in snapshot.sets:
        if each.members is not None and each.name not in static:
            yield set_series(each.name), float(len(each.members))
    for name, entries in static.items():
        if entries is not None:
            yield set_series(name), float(entries)
