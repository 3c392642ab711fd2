"""The web's end of the queue: hand orders to a host's root worker, read its snapshots and progress.

Owns the web's connection to Redis, with short time limits so that a page never hangs on it. It runs no job,
and what it reads it bounds in size and leaves to the validators of orders.py.
"""

from __future__ import annotations

import functools
import time
from typing import Any, Literal, cast

import redis
from django.conf import settings
from django_rq.queues import get_queue
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

from dockerfw.messages.about import MAX_BYTES as ABOUT_BYTES_MAX
from dockerfw.messages.about import about_key
from dockerfw.messages.orders import EXPIRY_SECONDS, Answer, Order, firewall_queue, observe_key
from dockerfw.messages.outcomes import progress_key
from dockerfw.messages.snapshots import snapshot_key

SNAPSHOT_BYTES_MAX = 64 * 1024 * 1024
HEAD_BYTES = 300
PROGRESS_BYTES_MAX = 1024 * 1024
OBSERVE_EVERY_MS = 1000
OBSERVE_WAITS_SECONDS = 10
ORDER_WAITS_SECONDS = 24 * 60 * 60
ORDER_TIMEOUT_SECONDS = 300
# A page asks several times: one time limit is enough to learn that a Redis hangs.
SILENCE_SECONDS = 2.0
_silent_until = 0.0
ANSWER_TIMEOUT_SECONDS = 120

OrderPlace = Literal["queued", "taken", "gone"]


class QueueError(Exception):
    """Redis cannot be reached or refused what was asked of it."""


@functools.cache
def connection() -> redis.Redis:
    """Return this process's connection to Redis: 1 s to connect, 3 s for an answer, no retries."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=3, retry=Retry(NoBackoff(), 0)
    )


def ping() -> None:
    """Return when Redis answers, asking also one that kept silent a moment ago. Raises QueueError."""
    global _silent_until
    _silent_until = 0.0
    _asked(connection().ping)


def order_send(*, order: Order, job_id: str) -> None:
    """Hand an order to its host's root worker, as the job `job_id`. Raises QueueError."""
    _enqueue(
        order.host,
        "apply",
        args=[order.to_json()],
        job_id=job_id,
        ttl=ORDER_WAITS_SECONDS,
        timeout=ORDER_TIMEOUT_SECONDS,
    )


def answer_send(answer: Answer) -> None:
    """Hand an answer to the root worker whose window is open. Raises QueueError."""
    _enqueue(
        answer.host,
        "answer",
        args=[answer.to_json()],
        job_id=None,
        ttl=EXPIRY_SECONDS,
        timeout=ANSWER_TIMEOUT_SECONDS,
    )


def observe_send(host: str) -> bool:
    """Ask for a new snapshot unless somebody did within the last second; say whether this call did.

    Raises QueueError.
    """
    asked = _asked(lambda: connection().set(observe_key(host), "1", nx=True, px=OBSERVE_EVERY_MS))
    if not asked:
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
    return cast(bytes, _asked(lambda: connection().getrange(snapshot_key(host), 0, HEAD_BYTES - 1)))


def progress_read(host: str, apply: str) -> bytes | None:
    """Return the stored progress of an apply as JSON, None when there is none. Raises QueueError."""
    return _read(progress_key(host, apply), PROGRESS_BYTES_MAX)


def about_read(host: str) -> bytes | None:
    """Return what the root worker tells about itself, None when it tells nothing. Raises QueueError."""
    return _read(about_key(host), ABOUT_BYTES_MAX)


def order_place(*, host: str, job_id: str) -> OrderPlace:
    """Say whether an order is in its queue, taken and not finished, or gone. Raises QueueError."""
    queue = _queue(host)
    places: dict[OrderPlace, str] = {"queued": queue.key, "taken": queue.intermediate_queue_key}
    for place, key in places.items():
        if _asked(lambda key=key: connection().lpos(key, job_id)) is not None:
            return place
    return "gone"


def order_take_back(*, host: str, job_id: str) -> bool:
    """Take an order out of its queue, so that no root worker takes it any more; say whether it was there.

    Raises QueueError.
    """
    return bool(_asked(lambda: connection().lrem(_queue(host).key, 0, job_id)))


def _queue(host: str) -> Queue:
    name = firewall_queue(host)
    if name in settings.RQ_QUEUES:
        return get_queue(name, connection=connection(), commit_mode="auto")
    # A host that this process was not configured with: the same queue, made by hand.
    return Queue(name, connection=connection(), serializer=JSONSerializer)


def _enqueue(host: str, func: str, *, args: list[Any], job_id: str | None, ttl: int, timeout: int) -> None:
    _asked(
        lambda: _queue(host).enqueue_call(
            func,
            args=args,
            job_id=job_id,
            # rq's own would be made of all that the call holds.
            description=func,
            ttl=ttl,
            timeout=timeout,
            result_ttl=60,
            failure_ttl=3600,
        )
    )


def _read(key: str, most: int) -> bytes | None:
    size = cast(int, _asked(lambda: connection().strlen(key)))
    if size == 0:
        return None
    if size > most:
        raise QueueError(f"{key} holds {size} bytes, more than the {most} that are read")
    return cast(bytes, _asked(lambda: connection().getrange(key, 0, most)))


def _asked(call: Any) -> Any:
    global _silent_until
    if time.monotonic() < _silent_until:
        raise QueueError("Redis does not answer: it kept silent a moment ago")
    try:
        return call()
    except redis.TimeoutError as error:
        _silent_until = time.monotonic() + SILENCE_SECONDS
        raise QueueError(f"Redis does not answer: {error}") from error
    except (redis.RedisError, OSError) as error:
        raise QueueError(f"Redis does not answer: {error}") from error


def worker_connection() -> redis.Redis:
    """Return a connection for a worker, which waits on Redis longer than any page may: 15 s for an answer."""
    # Options that a unix socket has too: socket_keepalive is TCP's.
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=5, socket_timeout=15, retry=Retry(NoBackoff(), 0)
    )
