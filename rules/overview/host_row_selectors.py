"""Read a row for each host: its state, confirmed revision, differences, last report and open window.

The number of queries does not grow with the hosts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Prefetch

from rules.applying.apply_selectors import ApplyView, unfinished_view
from rules.applying.frame_selectors import StatePill, frame_state, state_of
from rules.applying.kernel_selectors import describe_kernel
from rules.applying.unknown_apply_selectors import held_unknown
from rules.draft.draft_selectors import base_revision
from rules.lists.list_selectors import wanted_lists
from rules.models import Apply, Host, Revision
from rules.pages.host_selectors import MOST_IN_SWITCHER
from rules.seen.change_selectors import RECENT
from rules.seen.snapshot_selectors import look


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host. `drift` is the number of differences, None where they are not known."""

    host: Host
    pill: StatePill
    base: Revision | None
    drift: int | None
    seen_at: datetime | None
    unfinished: ApplyView | None


def host_rows() -> tuple[HostRow, ...]:
    """Return a row for each host by name, those that need attention first."""
    rows = [_row(host) for host in _hosts()]
    return tuple(sorted(rows, key=lambda row: ("bad", "warn", "wait", "ok").index(row.pill.tone)))


def _hosts() -> list[Host]:
    """Return the hosts, with all rows that describing them needs."""
    applies = Apply.objects.select_related("host", "revision").defer("revision__document")
    unfinished = applies.filter(state__in=Apply.UNFINISHED)
    hosts = Host.objects.select_related("confirmed_revision").annotate(
        may_hold_unknown=Exists(held_unknown().filter(host=OuterRef("pk")))
    )
    return list(
        hosts.prefetch_related(
            Prefetch("applies", applies[:RECENT], to_attr="applies_newest"),
            Prefetch("applies", unfinished, to_attr="applies_unfinished"),
            Prefetch("lists", wanted_lists(), to_attr="lists_wanted"),
        ).order_by("name")[:MOST_IN_SWITCHER]
    )


def _row(host: Host) -> HostRow:
    base, seen, running = base_revision(host), look(host), unfinished_view(host)
    sentence = describe_kernel(host, base, seen)
    state = state_of(sentence)
    if running is not None and running.state == Apply.State.LOADING:
        state = frame_state(host, running)
    known = sentence.drift is not None and not sentence.drift.unknown
    drift = len(sentence.drift.findings) if sentence.drift is not None and known else None
    return HostRow(
        host=host,
        pill=state.pill,
        base=base,
        drift=0 if sentence.level == "ok" or sentence.by_lists else drift,
        seen_at=seen.view.taken_at if seen.view else None,
        unfinished=running,
    )
