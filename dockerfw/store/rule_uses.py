"""When each rule of the confirmed revision was used last: its counters moved between two looks.

The record is one file of the state directory, so that it outlives the root worker and a boot. It counts only
what the kernel's counters prove: where they were set back, or where another revision was loaded in between, a
use may be missed, and none is made up.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Final

from dockerfw.document.moments import to_second
from dockerfw.host.files import read_bounded, write_durably
from dockerfw.messages.codec import AtMost, Message
from dockerfw.messages.shapes import Text, Time, TimeOrNone
from dockerfw.messages.surroundings import MAX_HITS, Counted, RuleUse, RuleUses
from dockerfw.store.records import StateError, StateFile

logger = logging.getLogger("dockerfw.uses")

FILE: Final = "uses.json"
MAX_BYTES: Final = 16 * 1024 * 1024
# Between two looks that are further apart counters may have been set back without a trace.
LONG_AGO: Final = timedelta(minutes=15)
_STORED_EVERY: Final = timedelta(minutes=5)
# A clock that was further ahead than this was wrong, and so are the times of the record.
_MOST_AHEAD: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CountedRule(Message):
    """A rule with the packets of the last look, the time since which it is counted, and its last use."""

    id: Annotated[str, Text(64)]
    packets: Counted
    since: Time
    last: TimeOrNone = ""


@dataclass(frozen=True, slots=True)
class UseRecord(StateFile):
    """The rules of the confirmed apply `apply` as the look at `looked` counted them, first at `since`."""

    FORMAT: ClassVar = "dockerfw-uses/1"
    MAX_BYTES: ClassVar = MAX_BYTES

    apply: Annotated[str, Text(36)]
    since: Time
    looked: Time
    rules: Annotated[tuple[CountedRule, ...], AtMost(MAX_HITS)] = ()

    def report(self) -> RuleUses:
        """Return what the dashboard is told."""
        plain = [each.id for each in self.rules if not each.last and each.since == self.since]
        others = [
            RuleUse(each.id, each.last, "" if each.since == self.since else each.since)
            for each in self.rules
            if each.last or each.since != self.since
        ]
        return RuleUses(self.since, tuple(plain), tuple(others))


def count_uses(
    before: UseRecord | None, at: str, apply: str, rules: Iterable[str], packets: Mapping[str, int]
) -> UseRecord:
    """Return the record after a look at a time that read all counters.

    `apply` is the confirmed apply, `rules` are the ids of its rules, and `packets` the counters by id.
    """
    now = to_second(at)
    if before is not None and _read(before.looked) - _read(now) > _MOST_AHEAD:
        logger.warning("the clock was ahead until %s: the use of rules is counted anew", before.looked)
        before = None
    if before is None:
        return UseRecord(
            apply, now, now, tuple(CountedRule(each, packets.get(each, 0), now) for each in sorted({*rules}))
        )
    now = max(now, before.looked)
    known = {each.id: each for each in before.rules}
    far = _read(now) - _read(before.looked) > LONG_AGO
    found = []
    for rule_id in sorted({*rules})[:MAX_HITS]:
        was, count = known.get(rule_id), packets.get(rule_id, 0)
        if was is None:
            found.append(CountedRule(rule_id, count, now))
            continue
        since, last = was.since, was.last
        if count > was.packets and apply == before.apply:
            last = now
        elif count > was.packets or (count < was.packets and far):
            # It may have been used before the load, or before the counters were set back.
            since = now
        # Most rules of most hosts are as they were.
        found.append(was if count == was.packets else CountedRule(rule_id, count, since, last))
    return UseRecord(apply, before.since, now, tuple(found))


def note_uses(
    directory: Path, at: str, apply: str, rules: Iterable[str], packets: Mapping[str, int]
) -> RuleUses:
    """Count a look in the record of a directory, and return what the dashboard is told.

    Never raises: a record that cannot be read starts anew, and one that cannot be written is as before.
    """
    before = read_uses(directory)
    after = count_uses(before, at, apply, rules, packets)
    try:
        if before is None or _is_news(before, after):
            write_durably(directory / FILE, after.to_bytes())
    except OSError as error:
        logger.warning("the use of rules cannot be stored: %s", error)
    return after.report()


def read_uses(directory: Path) -> UseRecord | None:
    """Return the record of a directory, None if there is none or it cannot be read."""
    with contextlib.suppress(OSError):
        raw = read_bounded(directory / FILE, most=MAX_BYTES)
        if raw is None:
            return None
        return _parse(raw)
    return None


@lru_cache(maxsize=1)
def _parse(raw: bytes) -> UseRecord | None:
    # The root worker reads the record between its jobs, so that a look mostly finds it parsed.
    try:
        return UseRecord.from_bytes(raw, FILE)
    except StateError as error:
        logger.warning("the use of rules is counted anew: %s", error)
        return None


def _is_news(before: UseRecord, after: UseRecord) -> bool:
    """Return True if a look has to be stored: not each one of an idle host wears out its disk."""
    same = (before.apply, before.since, before.rules) == (after.apply, after.since, after.rules)
    return not same or _read(after.looked) - _read(before.looked) > _STORED_EVERY


def _read(time: str) -> datetime:
    return datetime.fromisoformat(time)
