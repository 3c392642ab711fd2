"""Read the last snapshot of a host from Redis, with its rulesets parsed once and cached by their digest.

A Redis that is down is a result with a sentence, never an exception: pages still open.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

from django.utils import timezone

from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.recount import parse_save_after
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.loaded import LoadedRules
from dockerfw.messages.snapshot_values import with_static_members
from dockerfw.messages.snapshots import Snapshot
from rules.link import client
from rules.models import Host
from rules.pages.wording import describe_age, from_the_future
from rules.seen.change_selectors import FRESH_SECONDS, KernelChange, last_change
from rules.seen.loaded_selectors import loaded_rules, loaded_static_sets
from rules.seen.memory import LONGEST_WAIT, Memory, paused_collector

_TAKEN_AT = re.compile(rb'"taken_at":"([0-9A-Za-z:.+-]{1,40})"')

logger = logging.getLogger(__name__)


def count_rules(*rulesets: Ruleset) -> int:
    """Return how many rules these hold, of all tables."""
    tables = (table for each in rulesets for table in each.tables.values())
    return sum(len(chain.rules) for table in tables for chain in table.chains.values())


# A viewer of the live page compares with the snapshot of two seconds before, and the root worker looks once a
# second. What did not change from one to the next, they share.
_views: Memory[SnapshotView] = Memory(8, lambda view: count_rules(*view.rulesets.values()), least=4)
# The newest snapshot that this process has seen of each host, by its name.
_newest: dict[str, SnapshotView] = {}
# While a thread reads a new snapshot of a host, others that ask for it wait.
_reading: defaultdict[str, Lock] = defaultdict(Lock)


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """A snapshot with its saves parsed; `saves` hold the counters of that moment.

    `loaded` are the rules that the root worker loaded last, None where it did not report them.
    `overtaken_by` is the change of the kernel's rules that came after this snapshot, None when none is known.
    """

    snapshot: Snapshot
    rulesets: Mapping[Family, Ruleset]
    taken_at: datetime
    loaded: LoadedRules | None = None
    overtaken_by: KernelChange | None = None

    @property
    def age(self) -> float:
        """Seconds since the root worker took the snapshot."""
        return max(0.0, (timezone.now() - self.taken_at).total_seconds())

    @property
    def ahead(self) -> float:
        """Seconds by which its time lies in the future."""
        return max(0.0, (self.taken_at - timezone.now()).total_seconds())

    @property
    def stale(self) -> bool:
        """Return True if it cannot show what the kernel holds now: too old, from the future, or overtaken.

        One from the future would pass for a new one until that time, also when the root worker is dead.
        """
        return self.overtaken_by is not None or self.age > FRESH_SECONDS or self.ahead > FRESH_SECONDS

    @property
    def when(self) -> str:
        """Return when the rules were read, for sentences about a stale snapshot."""
        return from_the_future(self.ahead) if self.ahead > FRESH_SECONDS else f"{describe_age(self.age)} ago"

    @property
    def expected(self) -> bool:
        """Return True if the look that follows the change is still on its way."""
        return self.overtaken_by is not None and self.overtaken_by.is_recent

    @property
    def overtaken(self) -> str:
        """Say what has changed since and what comes next, empty when no change is known."""
        if self.overtaken_by is None:
            return ""
        silent = "The root worker has not reported since."
        follows = "The next look comes at once." if self.expected else silent
        return f"The kernel was read {self.when}, before {self.overtaken_by.text}. {follows}"


@dataclass(frozen=True, slots=True)
class Look:
    """The last snapshot, or the reason why there is none."""

    view: SnapshotView | None
    problem: str


def latest_snapshot(host: Host) -> SnapshotView | None:
    """Return the last snapshot, None when none can be read; `look` has the reason."""
    return look(host).view


def look(host: Host) -> Look:
    """Return the last snapshot of a host, or the sentence that a page shows instead.

    Here alone is decided whether it was read before the last change of the kernel's rules.
    """
    seen = _look(host)
    if seen.view is None:
        return seen
    # Read after the snapshot: a change that is known by then is not missed.
    change = last_change(host)
    if change is None or change.at <= seen.view.taken_at:
        return seen
    return replace(seen, view=replace(seen.view, overtaken_by=change))


def _look(host: Host) -> Look:
    try:
        view = _known_snapshot(host)
        if view is None:
            with _alone_with(host) as waited:
                # The thread that this one waited for has mostly read it.
                view = (_known_snapshot(host) if waited else None) or _read_snapshot(host)
    except client.QueueError as error:
        return Look(None, str(error))
    except (MessageError, ParseError) as error:
        logger.warning("snapshot of %s cannot be read: %s", host.name, error)
        return Look(None, f"The root worker's report cannot be read: {error}")
    if view is None:
        return Look(None, "The root worker has not reported what the kernel holds yet.")
    return Look(view, "")


@contextlib.contextmanager
def _alone_with(host: Host) -> Iterator[bool]:
    """Let one thread at a time read a snapshot of a host, and tell it whether it had to wait for another.

    After a very long wait both read.
    """
    lock = _reading[host.name]
    at_once = lock.acquire(blocking=False)
    alone = at_once or lock.acquire(timeout=LONGEST_WAIT)
    try:
        yield not at_once
    finally:
        if alone:
            lock.release()


def observe_request(host: Host) -> bool:
    """Ask the root worker for a new snapshot, at most once a second for all viewers.

    Return True if this call asked.
    """
    try:
        return client.observe_send(host.name)
    except client.QueueError:
        return False


def redis_answers() -> bool:
    """Return True if Redis can be reached now."""
    try:
        client.ping()
    except client.QueueError:
        return False
    return True


def previous_snapshot(host: Host, taken_at: str) -> SnapshotView | None:
    """Return an earlier snapshot of a viewer, None when this process has forgotten it."""
    return _views.get((host.name, taken_at))


def _taken_at(head: bytes) -> str:
    found = _TAKEN_AT.search(head)
    return found[1].decode() if found else ""


def _known_snapshot(host: Host) -> SnapshotView | None:
    """Return the newest snapshot if its head shows that this process has parsed it. Raises QueueError."""
    known = _views.get((host.name, _taken_at(client.snapshot_head(host.name))))
    return None if known is None else _keep_newest(host, known)


def _read_snapshot(host: Host) -> SnapshotView | None:
    """Return the newest snapshot of a host. Raises QueueError, MessageError or ParseError."""
    data = client.snapshot_read(host.name)
    if data is None:
        return None
    with paused_collector():
        snapshot = Snapshot.from_json(load_json(data))
        if snapshot.host != host.name:
            raise MessageError("host", f"it is a snapshot of {snapshot.host}")
        view = _views.get_or_compute((host.name, snapshot.taken_at), lambda: _parsed(host, snapshot))
    return _keep_newest(host, view)


def _keep_newest(host: Host, view: SnapshotView) -> SnapshotView:
    """Return the newer one of a snapshot and the newest seen before: an old one that returns is ignored.

    A snapshot from the future is newer than none, or nothing would be new after the clock was set back.
    """
    newest = _newest.get(host.name)
    if newest is not None and newest.taken_at > view.taken_at and newest.ahead <= FRESH_SECONDS:
        return newest
    _newest[host.name] = view
    return view


def _parsed(host: Host, snapshot: Snapshot) -> SnapshotView:
    before = _newest.get(host.name)
    rulesets = {family: _parsed_save(snapshot.saves[family], family, before) for family in FAMILIES}
    if before is not None and all(_is_unmoved(rulesets[each], before.rulesets[each]) for each in FAMILIES):
        # Only the time in the comments differs: one copy of megabytes of text is enough.
        snapshot, rulesets = replace(snapshot, saves=before.snapshot.saves), dict(before.rulesets)
    taken_at = datetime.fromisoformat(snapshot.taken_at)
    loaded = loaded_rules(host)
    return SnapshotView(with_static_members(snapshot, loaded_static_sets(loaded)), rulesets, taken_at, loaded)


def _is_unmoved(ruleset: Ruleset, before: Ruleset) -> bool:
    """Return True if a ruleset holds the tables of the one before itself, with all counters."""
    tables, known = ruleset.tables, before.tables
    same = tables.keys() == known.keys() and all(tables[name] is known[name] for name in tables)
    return same and ruleset.unprinted == before.unprinted


def _parsed_save(text: str, family: Family, before: SnapshotView | None) -> Ruleset:
    """Return a save parsed, of which only what differs from the snapshot before is read anew."""
    if before is None:
        return parse_save(text)
    return parse_save_after(text, before.snapshot.saves[family], before.rulesets[family])
