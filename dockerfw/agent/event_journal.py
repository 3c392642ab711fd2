"""What was done on the console, on disk until the clerk has written it down.

Owns files in the journal directory beside the outcomes' and the sending: like an outcome, an event is on disk
first, and is sent again until the clerk has left its note.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer

from dockerfw.agent.event_bound import MAX_BYTES, bound_events, tell_left_out
from dockerfw.host.files import make_directory, read_bounded, sync_directory, write_durably
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.orders import CLERK_QUEUE
from dockerfw.worker.entries import done_key, host_job_id, job_key

logger = logging.getLogger("dockerfw.console")

WAITS_SECONDS = 3600


def console_write(directory: Path, event: ConsoleEvent) -> None:
    """Keep an event in the journal directory until it is delivered. Raises OSError."""
    make_directory(directory)
    write_durably(directory / f"console-{event.id}.json", dump_json(event.to_json()))
    bound_events(directory)


def console_deliver(directory: Path, connection: Redis, *, host: str) -> None:
    """Send the events that wait, as those of `host`, and forget those that were written down.

    Raises OSError and redis's errors.
    """
    tell_left_out(directory, host=host)
    found = [(path.stat().st_mtime_ns, path) for path in directory.glob("console-*.json")]
    for _, path in sorted(found):
        job_id = host_job_id(host, path.stem)
        if connection.exists(done_key(job_id)):
            path.unlink(missing_ok=True)
            sync_directory(directory)
            connection.unlink(done_key(job_id))
        elif not connection.exists(job_key(job_id)):
            _send(path, connection, host)


def _send(path: Path, connection: Redis, host: str) -> None:
    try:
        event = ConsoleEvent.from_json(load_json(read_bounded(path, most=MAX_BYTES) or b""))
    except MessageError as error:
        logger.error("%s is put aside: %s", path, error)
        path.rename(path.with_suffix(".unreadable"))
        return
    queue = Queue(CLERK_QUEUE, connection=connection, serializer=JSONSerializer)
    # Which host this is, its root worker knows; who sat at the console need not have.
    arguments: Any = [replace(event, host=host).to_json()]
    job_id = host_job_id(host, path.stem)
    queue.enqueue_call(
        "record_console", args=arguments, job_id=job_id, ttl=WAITS_SECONDS, result_ttl=0, failure_ttl=60
    )


def and_console(
    deliver: Callable[[], None], directory: Path, connection: Redis, *, host: str
) -> Callable[[], None]:
    """Return what calls `deliver` and then sends the console's events; what fails is tried again later."""

    def both() -> None:
        deliver()
        try:
            console_deliver(directory, connection, host=host)
        except (RedisError, OSError) as error:
            logger.warning("what was done on the console will be sent later: %s", error)

    return both
