"""Give up applies that nobody answers, with a sentence, so that they do not hold up the next one.

Owns the time limits. An order is taken out of the queue before its apply is given up, so that no root worker
loads it afterwards behind everybody's back.
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
# A host refuses an order that is older than it counts; by then also one whose clock is a little behind.
TAKEN_WITHIN = timedelta(seconds=EXPIRY_SECONDS + CLOCK_SKEW_SECONDS)
REPORT_WITHIN = timedelta(minutes=15)
STEP = "queue"

NOT_TAKEN = (
    f"No root worker took the order within {TAKEN_WITHIN.seconds // 60} minutes, and by now every host would "
    "refuse it as too old. Nothing was changed, and the order is taken back. "
    "Start the root worker on the host, then apply again."
)
LOST = (
    "The order is no longer in the queue and the root worker has not answered. "
    "Look at what the kernel holds, then apply again."
)
SILENT = (
    "The root worker began and then reported nothing more for 15 minutes. "
    "Look at what the kernel holds, then apply again."
)
UNANSWERED = (
    "The confirmation window ended more than 15 minutes ago and the root worker has not reported since. "
    "The host puts back by itself what was there before, unless it is down. "
    "Look at what the kernel holds, then apply again."
)


def applies_expire(*, now: datetime | None = None) -> int:
    """Give up applies that are over their time; return how many. The clerk calls this as it idles."""
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

    Say whether it was still in the state that `apply` shows.
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
    """Say whether an apply failed only for want of an answer."""
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
        # Where it cannot be taken back, a root worker has just taken it: a later turn will tell.
        if place == "queued":
            back = client.order_withdraw(host=apply.host.name, job_id=apply.job_id)
            return NOT_TAKEN if back else ""
    except client.QueueError:
        # What the queue holds is not known now; a later turn will tell.
        return ""
    return LOST
