"""The clerk's one job: write an outcome of the root worker into the database.

Runs unprivileged, in a process forked by the locked worker. It checks the outcome from scratch; one that can
never be written is logged and let go, one that the database could not take now is raised, so that the root
worker sends it again.
"""

from __future__ import annotations

import logging
import time

from django.db import DatabaseError, connections

from dockerfw.messages.errors import MessageError
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.outcomes import Outcome
from dockerfw.worker.entries import AllowedJob, host_of_job
from rules.applying.expiry_services import applies_expire
from rules.applying.outcome_services import outcome_record
from rules.audit.event_services import console_record
from rules.audit.process_services import process_seen

TRIES = 3
PAUSE_SECONDS = 0.5

logger = logging.getLogger(__name__)


def record_outcome(job_id: str, value: dict[str, object]) -> None:
    """Write one outcome down, once. Raises DatabaseError when the database does not take it."""
    try:
        outcome = Outcome.from_json(value)
        _check_author(job_id, outcome.host)
    except MessageError as error:
        logger.warning("an outcome that cannot be read was dropped: %s", error)
        return
    # A connection of the parent must not be shared by its children.
    connections.close_all()
    try:
        _record(outcome)
    finally:
        connections.close_all()


def record_console(job_id: str, value: dict[str, object]) -> None:
    """Write down what was done on a host's console, once. Raises DatabaseError likewise."""
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
    """Tell that the clerk is here, and give up applies whose order was lost.

    A database that is away is met again at the next turn.
    """
    try:
        process_seen(name="clerk")
        applies_expire()
    except DatabaseError as error:
        logger.warning("lost applies could not be looked for: %s", error)
    finally:
        # The worker forks after this: it must not carry an open connection into its children.
        connections.close_all()


ALLOWED = {
    "record_outcome": AllowedJob(
        record_outcome, arguments=(dict,), seconds=60.0, acknowledged=True, named=True
    ),
    "record_console": AllowedJob(
        record_console, arguments=(dict,), seconds=60.0, acknowledged=True, named=True
    ),
}


def _check_author(job_id: str, host: str) -> None:
    """Raise MessageError when a host's root worker speaks of another host."""
    if host_of_job(job_id) != host:
        raise MessageError("host", f"the job {job_id} is not one of the root worker of {host!r}")


def _record(outcome: Outcome) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            outcome_record(outcome=outcome)
        except DatabaseError as error:
            if attempt == TRIES:
                raise
            logger.warning("the database did not take an outcome, trying again: %s", error)
            connections.close_all()
            time.sleep(PAUSE_SECONDS * attempt)
        else:
            return
