"""The clerk's jobs: record what root workers report in the database, and have lists fetched.

They run unprivileged, in a process forked by the locked worker, and validate each message from scratch. An
invalid message is logged and dropped. When the database refuses it, the error is raised, so that the root
worker sends the message again.
"""

from __future__ import annotations

import logging
import time

from django.db import DatabaseError, connections

from dockerfw.iptables.errors import NetfilterError
from dockerfw.messages.errors import MessageError
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.outcomes import Outcome
from dockerfw.worker.entries import AllowedJob, host_of_job
from rules.applying.expiry_services import applies_expire
from rules.applying.followed_list_services import lists_follow_all
from rules.applying.outcome_services import outcome_record
from rules.audit.event_services import console_record
from rules.audit.process_services import process_seen
from rules.lists.list_jobs import hand_out_hosts, hand_out_lists

TRIES = 3
PAUSE_SECONDS = 0.5

logger = logging.getLogger(__name__)


def record_outcome(job_id: str, value: dict[str, object]) -> None:
    """Record one outcome, once. Raises DatabaseError when the database refuses it."""
    try:
        outcome = Outcome.from_json(value)
        _check_author(job_id, outcome.host)
    except MessageError as error:
        logger.warning("an outcome that cannot be read was dropped: %s", error)
        return
    # The parent's connection must not be shared with its children.
    connections.close_all()
    try:
        _record(outcome)
    finally:
        connections.close_all()


def record_console(job_id: str, value: dict[str, object]) -> None:
    """Record one console event, once. Raises DatabaseError when the database refuses it."""
    try:
        event = ConsoleEvent.from_json(value)
        _check_author(job_id, event.host)
    except MessageError as error:
        logger.warning("a console event that cannot be read was dropped: %s", error)
        return
    connections.close_all()
    try:
        console_record(event=event)
    finally:
        connections.close_all()


def expire_applies() -> None:
    """Record that the clerk is running, and give up applies without an outcome.

    An unreachable database is retried at the next turn.
    """
    try:
        process_seen(name="clerk")
        applies_expire()
    except DatabaseError as error:
        logger.warning("applies could not be checked for expiry: %s", error)
    finally:
        # The worker forks after this and must not pass an open connection to its children.
        connections.close_all()


def follow_lists() -> None:
    """Have the lists follow the documents, and those that are due fetched. A later turn retries."""
    try:
        lists_follow_all()
        hand_out_lists()
        hand_out_hosts()
    except (DatabaseError, NetfilterError) as error:
        logger.warning("the lists could not be handed out: %s", error)
    finally:
        connections.close_all()


def when_idle() -> None:
    """Do between outcomes what the clerk has to do by itself."""
    expire_applies()
    follow_lists()


ALLOWED = {
    "record_outcome": AllowedJob(
        record_outcome, arguments=(dict,), seconds=60.0, acknowledged=True, named=True
    ),
    "record_console": AllowedJob(
        record_console, arguments=(dict,), seconds=60.0, acknowledged=True, named=True
    ),
}


def _check_author(job_id: str, host: str) -> None:
    """Raise MessageError when a root worker reports about another host."""
    if host_of_job(job_id) != host:
        raise MessageError("host", f"the job {job_id} is not one of the root worker of {host!r}")


def _record(outcome: Outcome) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            outcome_record(outcome=outcome)
        except DatabaseError as error:
            if attempt == TRIES:
                raise
            logger.warning("the database refused an outcome, retrying: %s", error)
            connections.close_all()
            time.sleep(PAUSE_SECONDS * attempt)
        else:
            return
