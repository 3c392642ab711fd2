"""The locked worker: an rq worker that trusts neither its queue nor anything else in Redis.

Its loop survives that Redis is unavailable, that the queue contains junk, and that jobs die. rq's machinery
around a job (statuses, results, registries, executions, dependents, callbacks, webhooks, retries, repeats,
pub/sub commands, suspension) is not used at all: most of it reads keys that other clients can write. A job
reports its own result, and its hash is removed when it ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer

from dockerfw.worker.entries import AllowedJob, EntryError, LockedJob, check_call, fetch_entry
from dockerfw.worker.forked import GAVE_WAY, run_forked
from dockerfw.worker.heartbeat import Heartbeat
from dockerfw.worker.reliable_queue import ReliableQueue, is_wrong_type

logger = logging.getLogger("dockerfw.worker")

CHORE = "chore"
# How often a call that yields is interrupted by a look at the queue, and how far that look goes.
YIELD_SECONDS = 0.1
MOST_WAITING = 256
PAUSE_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class LockedWorker(Worker):
    """Serve one queue: `LockedWorker("clerk", connection=..., ids=..., allowed={...}).work()`.

    An entry that names a job whose id `ids` does not match is skipped, and that job is not touched.

    `on_idle` is called in this process at the start, after each job and every `idle_seconds`. `on_tick` is
    called as often, also while a job runs and while Redis is unavailable; it returns the number of seconds
    after which it must be called again at the latest. `on_crash` is called in a forked process, with a job's
    name and arguments, when the job's process died or was killed, unless it gave way to another job. `chore`
    is called in a forked process after each job that does not yield and every `chore_seconds`, also while
    Redis is unavailable, but never while a job runs; its crash is one of a job named CHORE. `alive` is a file
    that is touched whenever Redis answers, and while a job runs.
    """

    def __init__(
        self,
        queue: str,
        *,
        connection: Redis,
        ids: re.Pattern[bytes],
        allowed: Mapping[str, AllowedJob],
        on_idle: Callable[[], None] | None = None,
        on_tick: Callable[[], float | None] | None = None,
        on_crash: Callable[[str, list[object]], None] | None = None,
        idle_seconds: float = 5.0,
        chore: AllowedJob | None = None,
        chore_seconds: float = 60.0,
        alive: Path | None = None,
    ) -> None:
        locked = Queue(queue, connection=connection, job_class=LockedJob, serializer=JSONSerializer)
        super().__init__(
            [locked],
            name=queue,
            connection=connection,
            job_class=LockedJob,
            serializer=JSONSerializer,
            prepare_for_work=False,
        )
        self.hostname = socket.gethostname()
        self.pid = os.getpid()
        self._ids = ids
        self._allowed = dict(allowed)
        self._on_idle = on_idle
        self._on_tick = on_tick
        self._tick_seconds = idle_seconds
        self._on_crash = on_crash
        self._idle_seconds = idle_seconds
        self._chore_job = chore
        self._chore_seconds = chore_seconds
        self._next_chore = 0.0
        self._alive = alive
        self._reliable_queue = ReliableQueue(locked, ids)
        self._heartbeat = Heartbeat(
            connection, queue=queue, key=self.key, workers=self.redis_workers_keys, hostname=self.hostname
        )
        self._waiting = False
        # The names of the waiting jobs that yield, empty for entries that are no jobs: each is read once.
        self._unhurried: dict[bytes, str] = {}

    def work(self, *args: object, **kwargs: object) -> bool:
        """Serve the queue until SIGTERM or SIGINT; a running job is finished first."""
        if args or kwargs:
            raise TypeError("a locked worker takes no options")
        signal.signal(signal.SIGINT, self.request_stop)
        signal.signal(signal.SIGTERM, self.request_stop)
        logger.info("serving %s with pid %d: %s", self.name, os.getpid(), ", ".join(sorted(self._allowed)))
        self._idle()
        failures = 0
        while not self._stop_requested:
            try:
                self._serve_once()
                failures = 0
            except StopRequested:
                break
            # Any error: the worker must go on, since the next entry may be the one that closes a hole.
            except Exception as error:  # noqa: BLE001
                pause = PAUSE_SECONDS[min(failures, len(PAUSE_SECONDS) - 1)]
                failures += 1
                self._heartbeat.register_again()
                self._reliable_queue.recover_again()
                logger.warning("%s: retrying in %s s", _describe(error), pause)
                self._tick()
                self._chore()
                self._pause(min(pause, self._tick_seconds))
        self._heartbeat.remove()
        logger.info("stopped serving %s", self.name)
        return True

    def _serve_once(self) -> None:
        self._reliable_queue.recover()
        self._heartbeat.renew()
        raw_id = self._wait_for_entry()
        if raw_id is None:
            self._idle()
            return
        try:
            job = fetch_entry(self.connection, raw_id, self._allowed, self._ids)
        except EntryError as error:
            logger.warning("skipped entry %r: %s", raw_id[:80], error)
            self._reliable_queue.remove(raw_id)
            return
        except ResponseError as error:
            # Any other error (read-only, out of memory, no permission) is not caused by the entry.
            if not is_wrong_type(error):
                raise
            logger.warning("skipped entry %r: Redis answered %s", raw_id[:80], error)
            self._reliable_queue.remove(raw_id)
            return
        entry = self._allowed[str(job.func_name)]
        if not self._is_wanted(str(job.func_name), entry):
            self._reliable_queue.remove(raw_id)
            self._idle()
            return
        done = self._run(job)
        self._reliable_queue.remove(raw_id, done=done and entry.acknowledged)
        if not entry.yields:
            self.chore_soon()
        self._idle()

    def _wait_for_entry(self) -> bytes | None:
        self._waiting = True
        try:
            if self._stop_requested:
                raise StopRequested
            raw_id = self._reliable_queue.take(self._tick_seconds)
        finally:
            self._waiting = False
        self._touch_alive_file()
        return raw_id

    def _run(self, job: LockedJob) -> bool:
        """Run a job in a forked process; return True if its function returned."""
        name = str(job.func_name)
        entry = check_call(name, list(job.args), self._allowed)
        logger.info("%s (%s) started", name, job.id)
        named = [job.id] if entry.named else []
        return self._call(f"{name} ({job.id})", name, entry, named, list(job.args))

    def _call(
        self, label: str, name: str, entry: AllowedJob, named: Sequence[object], arguments: list[object]
    ) -> bool:
        """Call an allowed function in a forked process, with what follows; return True if it returned."""
        began = time.monotonic()
        status = self._run_forked(lambda: entry.call(*named, *arguments), entry.seconds, yields=entry.yields)
        took = time.monotonic() - began
        if status == 0:
            logger.log(logging.DEBUG if name == CHORE else logging.INFO, "%s done in %.3f s", label, took)
            if entry.on_done is not None:
                entry.on_done()
        elif entry.yields and status == GAVE_WAY:
            logger.info("%s gave way to another job after %.3f s", label, took)
        else:
            logger.error("%s ended with status %d after %.3f s", label, status, took)
            if status != 1 and (on_crash := self._on_crash) is not None:
                self._run_forked(lambda: on_crash(name, arguments), entry.seconds)
        return status == 0

    def _run_forked(self, call: Callable[[], None], seconds: float, *, yields: bool = False) -> int:
        redis_answers = True
        next_tick = time.monotonic() + self._tick_seconds

        def meanwhile() -> float | None:
            nonlocal redis_answers, next_tick
            if time.monotonic() >= next_tick:
                self._touch_alive_file()
                self._tick()
                next_tick = time.monotonic() + self._tick_seconds
                if redis_answers:
                    try:
                        self._heartbeat.renew()
                    except RedisError:
                        # The next tick must not wait for Redis again.
                        redis_answers = False
            if not yields or not redis_answers:
                return max(0.0, next_tick - time.monotonic())
            if self._stop_requested:
                return None
            try:
                return None if self._is_awaited() else min(YIELD_SECONDS, self._tick_seconds)
            except RedisError:
                redis_answers = False
                return self._tick_seconds

        pause = min(YIELD_SECONDS, self._tick_seconds) if yields else self._tick_seconds
        return run_forked(call, seconds=seconds, pause=pause, meanwhile=meanwhile, yields=yields)

    def _is_wanted(self, name: str, entry: AllowedJob) -> bool:
        """Return False for a job that yields if one that does not, or the same again, waits.

        Raises RedisError.
        """
        if entry.wanted is not None and not entry.wanted():
            return False
        return not entry.yields or not (self._is_awaited() or name in self._unhurried.values())

    def _is_awaited(self) -> bool:
        """Return True if a job waits that does not yield. Raises RedisError."""
        waiting = self._reliable_queue.waiting(MOST_WAITING)
        known, self._unhurried = self._unhurried, {}
        for raw_id in waiting:
            name = known.get(raw_id)
            if name is None:
                name = self._name_of(raw_id)
                if name and not self._allowed[name].yields:
                    return True
            self._unhurried[raw_id] = name
        return False

    def _name_of(self, raw_id: bytes) -> str:
        """Return the name of a waiting job, empty for junk, which is skipped when its turn comes."""
        try:
            return str(fetch_entry(self.connection, raw_id, self._allowed, self._ids).func_name)
        except (EntryError, ResponseError):
            return ""

    def _tick(self) -> None:
        wanted = self._on_tick() if self._on_tick is not None else None
        self._tick_seconds = self._idle_seconds if wanted is None else min(self._idle_seconds, wanted)

    def chore_soon(self) -> None:
        """Let the chore be due in the next idle moment."""
        self._next_chore = 0.0

    def _chore(self) -> None:
        entry = self._chore_job
        if entry is None or time.monotonic() < self._next_chore:
            return
        with contextlib.suppress(RedisError):
            if entry.yields and self._is_awaited():
                return
        self._next_chore = time.monotonic() + self._chore_seconds
        if entry.wanted is not None and not entry.wanted():
            return
        try:
            self._call(f"the chore of {self.name}", CHORE, entry, (), [])
        # No process can be forked now. The caller does not catch this error, and the worker must go on.
        except OSError as error:
            logger.error("the chore of %s could not start: %s", self.name, error)

    def _idle(self) -> None:
        self._tick()
        self._chore()
        if self._on_idle is None:
            return
        try:
            self._on_idle()
        except Exception as error:  # noqa: BLE001
            logger.warning("housekeeping failed and will be retried: %s", _describe(error))

    def _touch_alive_file(self) -> None:
        """Touch the file that shows the process's health check that it serves the queue."""
        if self._alive is not None:
            with contextlib.suppress(OSError):
                self._alive.touch()

    def _pause(self, seconds: float) -> None:
        self._waiting = True
        try:
            if not self._stop_requested:
                time.sleep(seconds)
        except StopRequested:
            self._stop_requested = True
        finally:
            self._waiting = False

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop at once when waiting, otherwise after the running job."""
        self._stop_requested = True
        if self._waiting:
            self._waiting = False
            raise StopRequested

    # The methods below are rq's entry points from outside; this worker uses none of them.

    def _set_connection(self, connection: Redis) -> Redis:
        """Keep the connection's time limits: rq would raise them to minutes for its own long waits."""
        return connection

    def subscribe(self) -> None:
        """Listen to no pub/sub commands."""

    def handle_payload(self, message: object) -> None:
        """Ignore a pub/sub command."""

    def execute_job(self, job: object, queue: object) -> NoReturn:
        """Refuse: rq would run the job itself."""
        raise EntryError("a locked worker does not run jobs with rq's methods")

    def perform_job(self, job: object, queue: object, execution: object) -> NoReturn:
        """Refuse: rq would run the job itself."""
        raise EntryError("a locked worker does not run jobs with rq's methods")

    def clean_registries(self) -> None:
        """Do not touch rq's registries: cleaning them runs callbacks of jobs that others wrote."""

    def clean_group_registries(self) -> None:
        """Do not touch rq's groups."""


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:500]}"
