"""Read when the kernel's rules, or the sets that they match, last changed, as far as the dashboard knows.

A snapshot from before that moment does not show what the kernel holds now, however young it is: the root
worker reports the load, a Keep, a roll back or a filled list first, and looks at the kernel afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from dockerfw.messages.outcomes import Outcome
from rules.models import Apply, Host
from rules.pages.host_selectors import read_along
from rules.seen.about_selectors import read_about
from rules.seen.memory import Memory
from rules.seen.progress_selectors import progress_of

FRESH_SECONDS = 15.0
# An apply that changed nothing may come after one that did. What more of them hide is older than fresh.
RECENT = 3

# What finished applies changed, by their last event: one that was given up may be reported after all.
_finished: Memory[tuple[KernelChange, ...]] = Memory(32 * RECENT)
_LOAD_STEPS = ("load-ipv4", "load-ipv6", "read-back")


@dataclass(frozen=True, slots=True)
class KernelChange:
    """The moment of a change by the host's clock, and what changed, such as "revision 5 was loaded"."""

    at: datetime
    text: str

    @property
    def is_recent(self) -> bool:
        """Return True while the look that follows a change may still be on its way."""
        return timezone.now() - self.at <= timedelta(seconds=FRESH_SECONDS)


def last_change(host: Host) -> KernelChange | None:
    """Return the last change by an apply, a list or a container's new address, None when none is known.

    *Keep* changes no rule, so after it the load is still the last change. A moment in the future is left out:
    the host's clock was set back since.
    """
    newest: list[Apply] | None = read_along(host, "applies_newest")
    applied = _newest_changes(host) if newest is None else chain.from_iterable(map(_changes, newest))
    soon = timezone.now() + timedelta(seconds=FRESH_SECONDS)
    changes = (each for each in (*_set_changes(host), *applied) if each.at <= soon)
    return max(changes, key=lambda each: each.at, default=None)


def _newest_changes(host: Host) -> Iterator[KernelChange]:
    """Yield the changes of the newest applies, of which those that are finished are read once."""
    applies = Apply.objects.filter(host=host)
    # Pages of an open tab ask every two seconds: Django takes long to write the whole query.
    for key in applies.values_list("pk", "state", "last_event", "finished_at")[:RECENT]:
        if key[1] in Apply.UNFINISHED:
            yield from _read_changes(applies, key[0])
        else:
            yield from _finished.get_or_compute(key, partial(_read_changes, applies, key[0]))


def _read_changes(applies: QuerySet[Apply], key: UUID) -> tuple[KernelChange, ...]:
    found = applies.filter(pk=key).select_related("host", "revision").defer("revision__document")
    return tuple(chain.from_iterable(map(_changes, found)))


def _set_changes(host: Host) -> Iterator[KernelChange]:
    about = read_about(host.name)
    if about is not None and about.sets_changed:
        yield KernelChange(datetime.fromisoformat(about.sets_changed), about.sets_change)


def _changes(apply: Apply) -> Iterator[KernelChange]:
    """Yield the changes of one apply, also those that the clerk has not recorded yet."""
    outcome = None if apply.is_finished else progress_of(apply).outcome
    if outcome is not None and outcome.event > apply.last_event:
        steps, state = [(step.name, step.at) for step in outcome.steps], str(outcome.state)
        ended: datetime | None = datetime.fromisoformat(outcome.at)
        opened, closes = _window_of(outcome)
    else:
        steps, state = [(step["name"], step["at"]) for step in apply.steps], str(apply.state)
        ended, closes = apply.finished_at, apply.window_deadline
        opened = closes and closes - timedelta(seconds=apply.window_seconds)
    revision = f"revision {apply.revision.number}"
    loaded = _last_load(steps)
    if loaded is None and state == Apply.State.AWAITING:
        loaded = opened
    if loaded is not None:
        yield KernelChange(loaded, f"{revision} was loaded")
    if state == Apply.State.ROLLED_BACK and ended is not None:
        yield KernelChange(ended, f"{revision} was rolled back")
    elif state == Apply.State.FAILED and loaded is not None and ended is not None:
        yield KernelChange(ended, f"the apply of {revision} failed")
    elif state == Apply.State.AWAITING and closes is not None and closes <= timezone.now():
        yield KernelChange(closes, f"the confirmation window of {revision} ended")


def _last_load(steps: Iterable[tuple[str, str]]) -> datetime | None:
    """Return when the last step began that loads rules, or the one after them, which reads them back."""
    return max((datetime.fromisoformat(at) for name, at in steps if name in _LOAD_STEPS), default=None)


def _window_of(outcome: Outcome) -> tuple[datetime | None, datetime | None]:
    """Return when a window was opened and when it ends."""
    if outcome.window is None:
        return None, None
    closes = datetime.fromisoformat(outcome.window.deadline)
    return closes - timedelta(seconds=outcome.window.seconds), closes
