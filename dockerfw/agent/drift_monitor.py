"""The drift monitor: compares the kernel with the confirmed revision, reports drift and starts self-repair.

It reports each change once. An event is on disk before it is noted as reported. Self-repair restores jumps
and source lists only where the document asks for that, only while no other program changes rules, and it
pauses when a program keeps removing them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from dockerfw.agent import sentences
from dockerfw.agent.heal import Healed, heal_anchors
from dockerfw.chains.drift import ANCHORS, UNKNOWN, Drift
from dockerfw.document.document import digest
from dockerfw.host.clock import boot_id, boottime, utc_now
from dockerfw.host.errors import HostError
from dockerfw.host.files import LockHeld, locked, write_durably
from dockerfw.host.hooks import checkpoint
from dockerfw.host.observation import Around, observe, read_around
from dockerfw.host.reading import Seen, look
from dockerfw.host.static_sets import list_static_sets
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.tokens import printable
from dockerfw.messages.confirmed import Confirmed
from dockerfw.messages.events import ConsoleEvent, Verb
from dockerfw.messages.snapshot_values import drift_of, rule_packets
from dockerfw.messages.snapshots import Snapshot
from dockerfw.store.bootfiles import boot_apply, read_confirmed_again
from dockerfw.store.confirmed import ConfirmedRecord, DriftRecord, read_drift_record
from dockerfw.store.exact_rules import recall_exact_mark, store_exact_mark
from dockerfw.store.rule_uses import note_uses, read_uses
from dockerfw.store.state import StateDirectory
from dockerfw.store.static_sets import drop_static_sets
from dockerfw.worker.forked import uninterrupted

logger = logging.getLogger("dockerfw.drift")

ACTOR = "root worker"
# A program in the middle of a reload gets this long to finish before self-repair starts.
SETTLE_SECONDS = 1.0
# Self-repair pauses for a while after this many repairs in a row.
MOST_HEALS = 3
HEALS_WITHIN_SECONDS = 600.0
REST_SECONDS = 3600.0
MOST_LINES = 40
MAX_DETAIL = 7900


@dataclass(frozen=True, slots=True)
class _Sight:
    """One look: the snapshot, the confirmed revision, and the drift, None when it is unknown."""

    snapshot: Snapshot
    confirmed: ConfirmedRecord | None = None
    drift: Drift | None = None


class DriftMonitor:
    """Monitors one host; `tell` stores an event until it is delivered, or raises OSError."""

    def __init__(
        self,
        state: StateDirectory,
        *,
        host: str,
        tell: Callable[[ConsoleEvent], None],
        docker_socket: Path | None = None,
    ) -> None:
        self._state = state
        self._host = host
        self._tell = tell
        self._docker_socket = docker_socket
        self._known: ConfirmedRecord | None = None

    def remember(self) -> None:
        """Read once, for all processes that are forked from now on, what each of them would have to read.

        That is the confirmed revision, the uses of its rules, and the mark of rules that were exact.
        """
        try:
            self._known = self._confirmed()
        except (HostError, NetfilterError, OSError) as error:
            logger.warning("the confirmed revision cannot be read: %s", error)
        read_uses(self._state.path)
        recall_exact_mark(self._state.path)

    def confirmed(self) -> ConfirmedRecord | None:
        """Return the confirmed revision, None if there is none or it cannot be read."""
        try:
            return self._confirmed()
        except (HostError, NetfilterError, OSError):
            return None

    def _confirmed(self) -> ConfirmedRecord | None:
        return read_confirmed_again(self._known, self._state.boot)

    def look(self) -> Snapshot:
        """Observe the host, report new drift, and return the snapshot.

        Never raises: what cannot be reported now is reported by a later look.
        """
        return self._look().snapshot

    def look_and_heal(self) -> Snapshot:
        """Look, and restore jumps and source lists if only they differ and the document asks for that."""
        sight = self._look()
        if not _wants_healing(sight):
            return sight.snapshot
        time.sleep(SETTLE_SECONDS)
        again = self._look()
        if again.confirmed is None or not _wants_healing(again):
            return again.snapshot
        try:
            with self._memory() as path, uninterrupted():
                done = self._heal(again.confirmed, path)
        except LockHeld:
            done = False
        except (HostError, NetfilterError, OSError) as error:
            logger.warning("self-repair: %s", error)
            done = True
        return self._look().snapshot if done else again.snapshot

    def _look(self) -> _Sight:
        checkpoint("look-begin")
        undisturbed = not self._state.has_window()
        apply = boot_apply(self._state.boot)
        with ThreadPoolExecutor(1) as pool:
            existing = pool.submit(list_static_sets)
            seen, around = self._read() if undisturbed and apply else (None, None)
            known = self.confirmed()
            snapshot = observe(
                self._host,
                seen=seen,
                around=around,
                docker_socket=self._docker_socket,
                static_sets=known.sets if known else (),
            )
        store_exact_mark(self._state.path)
        self._drop_leftovers(snapshot, known, existing)
        try:
            confirmed = self._confirmed()
            if confirmed is None:
                with self._memory() as path:
                    record = read_drift_record(path)
                    _remember_docker(record, record, snapshot, path)
                return _Sight(snapshot)
            with self._memory() as path:
                record = self._record_of(confirmed, snapshot, path)
                snapshot = replace(snapshot, confirmed=self._since_confirmed(confirmed, snapshot, record))
                # While a window is open, and in the moment of its end, the kernel should hold other rules.
                same = apply == confirmed.apply == boot_apply(self._state.boot)
                if not (undisturbed and same and not self._state.has_window()):
                    known_uses = read_uses(self._state.path)
                    uses = known_uses.report() if known_uses else None
                    return _Sight(replace(snapshot, uses=uses), confirmed)
                rulesets = (
                    seen.rulesets
                    if seen
                    else {family: parse_save(snapshot.saves[family]) for family in snapshot.families}
                )
                snapshot = self._with_uses(snapshot, rulesets, confirmed)
                drift = drift_of(
                    snapshot, rulesets, confirmed.document, confirmed.revision, loaded=confirmed.loaded
                )
                codes = {finding.code for finding in drift.findings}
                # With Docker's rules in the other backend, a save of this one never shows everything.
                if not codes & UNKNOWN or "other-backend" in codes:
                    self._notice(confirmed, drift, record, path)
                return _Sight(snapshot, confirmed, drift)
        except LockHeld:
            return _Sight(snapshot)
        except (HostError, NetfilterError, OSError) as error:
            logger.warning("drift from the confirmed revision is unknown: %s", error)
            return _Sight(snapshot)

    def _with_uses(
        self, snapshot: Snapshot, rulesets: Mapping[Family, Ruleset], confirmed: ConfirmedRecord
    ) -> Snapshot:
        """Count which rules were used since the look before, if all counters could be read."""
        unread = snapshot.unread or any(error.command[:1] == ("ipset",) for error in snapshot.errors)
        if unread:
            return snapshot
        packets = rule_packets(snapshot, rulesets)
        rules = [rule.id for rule in confirmed.document.rules if rule.enabled]
        uses = note_uses(self._state.path, snapshot.taken_at, confirmed.apply, rules, packets)
        return replace(snapshot, uses=uses)

    def _read(self) -> tuple[Seen | None, Around]:
        """Return the rules, None where they cannot be read, and the rest of a snapshot, read meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            around = pool.submit(read_around, self._docker_socket)
            seen = _read_rules()
        return seen, around.result()

    def _drop_leftovers(
        self, snapshot: Snapshot, confirmed: ConfirmedRecord | None, existing: Future[tuple[str, ...]]
    ) -> None:
        """Destroy the static sets that killed applies have left, unless an apply is running now.

        `existing` are those that were there when the look began.
        """
        used = {each.name for each in snapshot.static_sets}
        used |= {one.name for one in confirmed.sets} if confirmed else set()
        # Without ipset there are none.
        with contextlib.suppress(HostError, OSError):
            if any(name not in used for name in existing.result()):
                with self._state.lock(seconds=0.0):
                    drop_static_sets(self._state)

    def _memory(self) -> _Memory:
        return _Memory(self._state.path)

    def _record_of(self, confirmed: ConfirmedRecord, snapshot: Snapshot, path: Path) -> DriftRecord:
        """Return the record of this apply, a new one if the last record is of another apply."""
        stored = record = read_drift_record(path)
        if record.apply != confirmed.apply or record.docker is None:
            docker = tuple(sorted(snapshot.docker_backends))
            record = DriftRecord(
                confirmed.apply,
                docker=docker,
                told=record.told,
                salt=record.salt,
                docker_boot=record.docker_boot,
                docker_calls=record.docker_calls,
            )
        return _remember_docker(stored, record, snapshot, path)

    def _since_confirmed(
        self, confirmed: ConfirmedRecord, snapshot: Snapshot, record: DriftRecord
    ) -> Confirmed:
        before = {*(record.docker or ()), confirmed.backend}
        moved = [backend for backend in snapshot.docker_backends if backend not in before]
        return Confirmed(
            revision=confirmed.revision,
            digest=digest(confirmed.document),
            backend=confirmed.backend,
            docker_moved_to=moved[0] if moved else None,
            rebooted=confirmed.boot != boot_id(),
            released=self._state.is_released(),
            docker_gone=record.docker_gone(snapshot),
        )

    def _notice(self, confirmed: ConfirmedRecord, drift: Drift, record: DriftRecord, path: Path) -> None:
        if drift.mark == record.mark:
            return
        if drift.findings:
            record = self._report("drift", describe_drift(drift), record)
        else:
            words = sentences.DRIFT_GONE.format(revision=confirmed.revision)
            record = self._report("drift-gone", words, record)
        write_durably(path, replace(record, mark=drift.mark).to_bytes())

    def _heal(self, confirmed: ConfirmedRecord, path: Path) -> bool:
        """Try to restore what differs unless that was tried too often; return True if it was tried."""
        record = read_drift_record(path)
        now, boot = boottime(), boot_id()
        heals = tuple(at for at in record.heals if record.boot == boot and now - at < REST_SECONDS)
        if sum(1 for at in heals if now - at < HEALS_WITHIN_SECONDS) >= MOST_HEALS or (
            heals and record.rests
        ):
            if not record.rests:
                words = sentences.SELF_REPAIR_PAUSED.format(most=MOST_HEALS, minutes=REST_SECONDS / 60)
                record = self._report("heal-rests", words, record)
                write_durably(path, replace(record, rests=True).to_bytes())
            return False
        healed = heal_anchors(self._state, confirmed, docker_socket=self._docker_socket)
        if healed is None:
            return False
        record = self._report(*_describe_repair(confirmed, healed), record)
        mark = record.mark if healed.problem else ""
        record = replace(record, mark=mark, boot=boot, heals=(*heals, now), rests=False)
        write_durably(path, record.to_bytes())
        return True

    def _report(self, verb: Verb, words: str, record: DriftRecord) -> DriftRecord:
        """Report an event; its id stays the same if this is cut off before the record is written."""
        seed = f"{record.salt} {record.told} {verb} {words}"
        identifier = UUID(bytes=hashlib.sha256(seed.encode("utf-8", "replace")).digest()[:16], version=4)
        self._tell(ConsoleEvent(str(identifier), self._host, verb, ACTOR, utc_now(), words))
        logger.warning("%s: %s", verb, words.splitlines()[0])
        return replace(record, told=record.told + 1)


def _remember_docker(stored: DriftRecord, record: DriftRecord, snapshot: Snapshot, path: Path) -> DriftRecord:
    """Return the record with what Docker has in the kernel now, after writing it if it is not as stored."""
    remembered = record.remember_docker(snapshot)
    if remembered != stored:
        write_durably(path, remembered.to_bytes())
    return remembered


class _Memory:
    """The file of the record, for one process at a time."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "seen.json"
        self._lock = locked(directory / "seen.lock", seconds=0.0)

    def __enter__(self) -> Path:
        self._lock.__enter__()
        return self._path

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)


def describe_drift(drift: Drift) -> str:
    """Return what differs, the probable cause, and the lines, for the audit."""
    words = []
    for finding in drift.findings:
        words.append(printable(f"{finding.message} {finding.cause}".strip()))
        words += [f"  {line.sign} {printable(line.text)}" for line in finding.lines[:MOST_LINES]]
        if len(finding.lines) > MOST_LINES:
            words.append(sentences.MORE_LINES.format(count=len(finding.lines) - MOST_LINES))
    return "\n".join(words)[:MAX_DETAIL]


def _wants_healing(sight: _Sight) -> bool:
    return (
        sight.confirmed is not None
        and sight.drift is not None
        and sight.drift.is_repairable
        and sight.confirmed.document.settings.heal_anchors
    )


def _describe_repair(confirmed: ConfirmedRecord, healed: Healed) -> tuple[Verb, str]:
    drift = describe_drift(healed.drift)
    what = sentences.JUMPS
    if healed.drift.changed_sets:
        only_sets = healed.drift.codes.isdisjoint(ANCHORS)
        what = sentences.SOURCE_LISTS if only_sets else sentences.JUMPS_AND_SOURCE_LISTS
    if healed.problem:
        words = sentences.SELF_REPAIR_FAILED.format(what=what, problem=healed.problem, drift=drift)
        return "heal-failed", words[:MAX_DETAIL]
    words = sentences.SELF_REPAIRED.format(what=what, revision=confirmed.revision, drift=drift)
    return "heal", words[:MAX_DETAIL]


def _read_rules() -> Seen | None:
    """Return the rules that the kernel holds, None where they cannot be read; the snapshot then says why."""
    try:
        return look()
    except (HostError, NetfilterError, OSError):
        return None
