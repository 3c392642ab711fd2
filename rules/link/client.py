"""The web's client of Redis: it sends orders to a host's root worker and reads its snapshots and progress.

Its time limits are short, so that a page never hangs when Redis does. It returns bytes of a bounded size, and
dockerfw.messages decodes and checks them.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

import redis
from django.conf import settings
from django_rq.queues import get_queue
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

from dockerfw.messages.about import MAX_BYTES as ABOUT_BYTES_MAX
from dockerfw.messages.about import about_key
from dockerfw.messages.loaded import MAX_BYTES as LOADED_BYTES_MAX
from dockerfw.messages.loaded import loaded_key
from dockerfw.messages.orders import EXPIRY_SECONDS, Answer, Order, firewall_queue, observe_key
from dockerfw.messages.outcomes import progress_key
from dockerfw.messages.refusals import BATCH_FIELD, refusals_key
from dockerfw.messages.snapshots import snapshot_key
from dockerfw.worker.entries import host_job_id, list_job_id
from rules.link.signing import SigningError, sign_message

SNAPSHOT_BYTES_MAX = 64 * 1024 * 1024
HEAD_BYTES = 300
PROGRESS_BYTES_MAX = 1024 * 1024
OBSERVE_EVERY_MS = 1000
OBSERVE_WAITS_SECONDS = 10
ORDER_WAITS_SECONDS = 24 * 60 * 60
ORDER_TIMEOUT_SECONDS = 300
LIST_WAITS_SECONDS = 300
# After a timeout, further calls fail at once for so long: a page makes several.
SILENCE_SECONDS = 2.0
_silent_until = 0.0
ANSWER_TIMEOUT_SECONDS = 120

OrderPlace = Literal["queued", "taken", "gone"]


StreamEntry = tuple[str, bytes]
"""The id of a stream's entry, and its batch; empty for an entry that has none."""


class QueueError(Exception):
    """Redis cannot be reached or refused a command, or an order cannot be signed."""


@functools.cache
def connection() -> redis.Redis:
    """Return this process's connection to Redis: 1 s to connect, 3 s for an answer, no retries."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=3, retry=Retry(NoBackoff(), 0)
    )


def ping() -> None:
    """Return when Redis answers; ask also after a recent timeout. Raises QueueError."""
    global _silent_until
    _silent_until = 0.0
    _ask(connection().ping)


def check_sending() -> None:
    """Return when an order could be signed and Redis answers. Raises QueueError."""
    _signed({})
    ping()


def order_send(*, order: Order, job_id: str) -> None:
    """Send an order to its host's root worker, as the job `job_id`. Raises QueueError."""
    _enqueue(
        order.host,
        "apply",
        args=[_signed(order.to_json())],
        job_id=job_id,
        ttl=ORDER_WAITS_SECONDS,
        timeout=ORDER_TIMEOUT_SECONDS,
    )


def answer_send(answer: Answer) -> None:
    """Send an answer to the root worker whose window is open. Raises QueueError."""
    _enqueue(
        answer.host,
        "answer",
        args=[_signed(answer.to_json())],
        job_id=None,
        ttl=EXPIRY_SECONDS,
        timeout=ANSWER_TIMEOUT_SECONDS,
    )


def list_job_send(*, queue: str, func: str, key: int) -> None:
    """Hand a job to those who fetch lists, with the key of a list or a host. Raises QueueError."""
    _ask(
        lambda: Queue(queue, connection=connection(), serializer=JSONSerializer).enqueue_call(
            func,
            args=[key],
            job_id=list_job_id(key, str(uuid4())),
            description=func,
            ttl=LIST_WAITS_SECONDS,
            timeout=LIST_WAITS_SECONDS,
            result_ttl=60,
            failure_ttl=60,
        )
    )


def list_message_send(*, host: str, func: str, message: dict[str, object]) -> None:
    """Send a message about lists, signed with their key, to a host's root worker. Raises QueueError."""
    _enqueue_job(
        host,
        func,
        args=[_signed(message, settings.ENVIRONMENT.lists_key_file)],
        name=host_job_id(host, f"list-{uuid4()}"),
        ttl=EXPIRY_SECONDS,
        timeout=ORDER_TIMEOUT_SECONDS,
    )


def observe_send(host: str) -> bool:
    """Request a new snapshot and return True; return False if one was requested within the last second.

    Raises QueueError.
    """
    is_first = _ask(lambda: connection().set(observe_key(host), "1", nx=True, px=OBSERVE_EVERY_MS))
    if not is_first:
        return False
    _enqueue(host, "observe", args=[], job_id=None, ttl=OBSERVE_WAITS_SECONDS, timeout=60)
    return True


def snapshot_read(host: str) -> bytes | None:
    """Return the stored snapshot's JSON, None when there is none.

    Raises QueueError, also when it is too large.
    """
    return _read(snapshot_key(host), SNAPSHOT_BYTES_MAX)


def snapshot_head(host: str) -> bytes:
    """Return the first bytes of the stored snapshot, empty when there is none. Raises QueueError."""
    return cast(bytes, _ask(lambda: connection().getrange(snapshot_key(host), 0, HEAD_BYTES - 1)))


def progress_read(host: str, apply: str) -> bytes | None:
    """Return the stored progress of an apply as JSON, None when there is none. Raises QueueError."""
    return _read(progress_key(host, apply), PROGRESS_BYTES_MAX)


def about_read(host: str) -> bytes | None:
    """Return the root worker's report about itself as JSON, None when there is none. Raises QueueError."""
    return _read(about_key(host), ABOUT_BYTES_MAX)


def loaded_read(host: str) -> bytes | None:
    """Return the rules that the root worker loaded last, as JSON; None without any. Raises QueueError."""
    return _read(loaded_key(host), LOADED_BYTES_MAX)


def loaded_head(host: str) -> bytes:
    """Return the first bytes of the loaded rules, empty without any. Raises QueueError."""
    return cast(bytes, _ask(lambda: connection().getrange(loaded_key(host), 0, HEAD_BYTES - 1)))


def refusals_after(host: str, entry: str, *, most: int) -> tuple[StreamEntry, ...]:
    """Return the first entries of a host's refused packets after an id, oldest first. Raises QueueError."""
    found = _ask(lambda: connection().xread({refusals_key(host): entry}, count=most))
    return tuple(_stream_entry(each) for _, entries in found for each in entries)


def refusals_newest(host: str, *, most: int) -> tuple[StreamEntry, ...]:
    """Return the last entries of a host's refused packets, oldest first. Raises QueueError."""
    found = _ask(lambda: connection().xrevrange(refusals_key(host), count=most))
    return tuple(_stream_entry(each) for each in reversed(found))


def order_place(*, host: str, job_id: str) -> OrderPlace:
    """Return whether an order waits in its queue, was taken and is not finished, or is gone.

    Raises QueueError.
    """
    queue, name = _queue(host), _order_job(host, job_id)
    places: dict[OrderPlace, str] = {"queued": queue.key, "taken": queue.intermediate_queue_key}
    for place, key in places.items():
        if _ask(lambda key=key: connection().lpos(key, name)) is not None:
            return place
    return "gone"


def order_withdraw(*, host: str, job_id: str) -> bool:
    """Remove an order from its queue, so that no root worker takes it; return True if it was still there.

    Raises QueueError.
    """
    return bool(_ask(lambda: connection().lrem(_queue(host).key, 0, _order_job(host, job_id))))


def _signed(message: dict[str, object], key: Path | None = None) -> dict[str, object]:
    try:
        return sign_message(message, key or settings.SIGNING_KEY_FILE)
    except SigningError as error:
        raise QueueError(str(error)) from error


def _queue(host: str) -> Queue:
    name = firewall_queue(host)
    if name in settings.RQ_QUEUES:
        return get_queue(name, connection=connection(), commit_mode="auto")
    # This process is not configured for the host's queue.
    return Queue(name, connection=connection(), serializer=JSONSerializer)


def _order_job(host: str, job_id: str) -> str:
    return host_job_id(host, f"order-{job_id}")


def _enqueue(host: str, func: str, *, args: list[Any], job_id: str | None, ttl: int, timeout: int) -> None:
    name = _order_job(host, job_id or str(uuid4()))
    _enqueue_job(host, func, args=args, name=name, ttl=ttl, timeout=timeout)


def _enqueue_job(host: str, func: str, *, args: list[Any], name: str, ttl: int, timeout: int) -> None:
    _ask(
        lambda: _queue(host).enqueue_call(
            func,
            args=args,
            job_id=name,
            # rq's default would contain all arguments of the call.
            description=func,
            ttl=ttl,
            timeout=timeout,
            result_ttl=60,
            failure_ttl=3600,
        )
    )


def _read(key: str, most: int) -> bytes | None:
    size = cast(int, _ask(lambda: connection().strlen(key)))
    if size == 0:
        return None
    if size > most:
        raise QueueError(f"{key} has {size} bytes; at most {most} are read")
    return cast(bytes, _ask(lambda: connection().getrange(key, 0, most)))


def _stream_entry(found: tuple[bytes, dict[bytes, bytes] | None]) -> StreamEntry:
    entry, values = found
    return entry.decode("ascii"), (values or {}).get(BATCH_FIELD, b"")


def _ask(call: Any) -> Any:
    global _silent_until
    if time.monotonic() < _silent_until:
        raise QueueError("Redis does not answer: it timed out a moment ago")
    try:
        return call()
    except redis.TimeoutError as error:
        _silent_until = time.monotonic() + SILENCE_SECONDS
        raise QueueError(f"Redis does not answer: {error}") from error
    except (redis.RedisError, OSError) as error:
        raise QueueError(f"Redis does not answer: {error}") from error


def worker_connection() -> redis.Redis:
    """Return a connection for a worker, which may wait longer than a page: 15 s for an answer."""
    # Only options that also work for a Unix socket, which socket_keepalive does not.
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=5, socket_timeout=15, retry=Retry(NoBackoff(), 0)
    )
