"""Give up applies without an outcome, so that they do not block the next one.

An order is taken out of the queue before its apply is given up, so that no root worker loads it afterwards.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from dockerfw.messages.orders import CLOCK_SKEW_SECONDS, EXPIRY_SECONDS
from rules.audit.actors import SYSTEM
from rules.audit.audit_services import audit_record
from rules.link import client
from rules.models import Apply

LOST_AFTER = timedelta(minutes=2)
# By then every host refuses the order as too old, also a host whose clock is a little behind.
TAKEN_WITHIN = timedelta(seconds=EXPIRY_SECONDS + CLOCK_SKEW_SECONDS)
REPORT_WITHIN = timedelta(minutes=15)
STEP = "queue"

NOT_TAKEN = (
    f"No root worker took the order within {TAKEN_WITHIN.seconds // 60} minutes, and hosts refuse older "
    "orders. The order was withdrawn and nothing was changed. "
    "Start the root worker on the host, then apply again."
)
LOST = (
    "The order is no longer in the queue and the root worker has not answered. "
    "Check on the dashboard what the kernel holds, then apply again."
)
SILENT = (
    "The root worker started and then reported nothing for 15 minutes. "
    "Check on the dashboard what the kernel holds, then apply again."
)
UNANSWERED = (
    "The confirmation window ended more than 15 minutes ago and the root worker has not reported since. "
    "The host restores the previous rules on its own, unless it is down. "
    "Check on the dashboard what the kernel holds, then apply again."
)


def applies_expire(*, now: datetime | None = None) -> int:
    """Give up applies whose time limit has passed; return how many. The clerk calls this when idle."""
    moment = now or timezone.now()
    expired = 0
    waiting = Apply.objects.filter(state__in=Apply.UNFINISHED)
    for apply in waiting.select_related("host", "revision"):
        summary = _summary(apply, moment)
        if summary and apply_give_up(apply=apply, summary=summary):
            expired += 1
    return expired


def apply_give_up(*, apply: Apply, summary: str) -> bool:
    """Mark an apply as failed without an outcome.

    Return True if it was still in the state that `apply` shows.
    """
    error = {
        "step": STEP,
        "summary": summary,
        "command": None,
        "exit_status": None,
        "stderr": "",
        "line_number": None,
        "line": None,
    }
    with transaction.atomic():
        unchanged = Apply.objects.filter(pk=apply.pk, state=apply.state, last_event=apply.last_event)
        changed = unchanged.update(state=Apply.State.FAILED, error=error, finished_at=timezone.now())
        if changed:
            target = f"revision {apply.revision.number}"
            before = {"apply": str(apply.pk), "state": apply.state}
            after = {"apply": str(apply.pk), "state": Apply.State.FAILED.value}
            audit_record(
                actor=SYSTEM,
                verb="apply-failed",
                host=apply.host,
                target=target,
                before=before,
                after=after,
                detail=summary,
            )
    return bool(changed)


def was_given_up(apply: Apply) -> bool:
    """Return True if an apply failed only because no outcome arrived."""
    return apply.state == Apply.State.FAILED and (apply.error or {}).get("step") == STEP


def _summary(apply: Apply, now: datetime) -> str:
    if apply.state == Apply.State.LOADING:
        return SILENT if now - (apply.started_at or apply.created_at) > REPORT_WITHIN else ""
    if apply.state == Apply.State.AWAITING:
        ended = apply.window_deadline or apply.created_at + timedelta(seconds=apply.window_seconds)
        return UNANSWERED if now - ended > REPORT_WITHIN else ""
    age = now - apply.created_at
    if age < LOST_AFTER:
        return ""
    try:
        place = client.order_place(host=apply.host.name, job_id=apply.job_id)
        if place == "taken":
            return SILENT if age > REPORT_WITHIN else ""
        if place == "queued" and age < TAKEN_WITHIN:
            return ""
        # If it cannot be withdrawn, a root worker has just taken it. A later turn decides.
        if place == "queued":
            back = client.order_withdraw(host=apply.host.name, job_id=apply.job_id)
            return NOT_TAKEN if back else ""
    except client.QueueError:
        # The queue cannot be read now. A later turn decides.
        return ""
    return LOST
