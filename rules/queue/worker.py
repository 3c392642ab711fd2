"""The locked worker: an rq worker that treats its queue and all of Redis as hostile ground.

Owns the loop that takes entries off one queue and runs them in forked processes under our own time limits.
It survives Redis going away, junk in the queue, and jobs that die. rq's machinery around a job (statuses,
results, registries, executions, dependents, callbacks, webhooks, retries, repeats, pub/sub commands,
suspension) is not used at all: most of it reads keys that others can write. What a job did is told by the job
itself, and its hash is removed when it ends, so nothing piles up.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer

from rules.queue.entries import AllowedJob, EntryError, LockedJob, check_call, done_key, fetch_entry, job_key

logger = logging.getLogger("dockerfw.worker")

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1

WORKER_TTL_SECONDS = 60
CHORE_SECONDS = 60.0
DONE_TTL_SECONDS = 7 * 24 * 60 * 60
# So long after the time for which it was asked to wait, a Redis that has not answered hangs.
HUNG_SECONDS = 1.0
PAUSE_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class LockedWorker(Worker):
    """Serve one queue: `LockedWorker("clerk", connection=..., allowed={"name": AllowedJob(...)}).work()`.

    `on_idle` is called in this process at the start, after each job and every `idle_seconds`. `on_tick` is
    called as often, also while a job runs and while Redis is away, and says in how many seconds it wants to
    be called again at the latest. `on_crash` is called in a forked process, with a job's name and arguments,
    when its process died or had to be killed. `on_chore` is called in a forked process every `chore_seconds`,
    also while Redis is away, but never while a job runs. `alive` is a file that is touched whenever Redis has
    answered, and while a job runs.
    """

    def __init__(
        self,
        queue: str,
        *,
        connection: Redis,
        allowed: Mapping[str, AllowedJob],
        on_idle: Callable[[], None] | None = None,
        on_tick: Callable[[], float | None] | None = None,
        on_crash: Callable[[str, list[object]], None] | None = None,
        idle_seconds: float = 5.0,
        on_chore: Callable[[], None] | None = None,
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
        self._allowed = dict(allowed)
        self._on_idle = on_idle
        self._on_tick = on_tick
        self._tick_seconds = idle_seconds
        self._on_crash = on_crash
        self._idle_seconds = idle_seconds
        self._on_chore = on_chore
        self._chore_seconds = chore_seconds
        self._next_chore = 0.0
        self._alive = alive
        self._queue_key = locked.key
        self._taken_key = locked.intermediate_queue_key
        self._waiting = False
        self._registered = False
        self._returned = False

    def work(self, *args: object, **kwargs: object) -> bool:
        """Serve the queue until SIGTERM or SIGINT; a job that runs is finished first."""
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
            # Whatever it is, going on serving is the job: the next entry may be the one that closes a hole.
            except Exception as error:  # noqa: BLE001
                pause = PAUSE_SECONDS[min(failures, len(PAUSE_SECONDS) - 1)]
                failures += 1
                self._registered = self._returned = False
                logger.warning("%s: trying again in %s s", _describe(error), pause)
                self._tick()
                self._chore()
                self._pause(min(pause, self._tick_seconds))
        self._sign_off()
        logger.info("stopped serving %s", self.name)
        return True

    def _serve_once(self) -> None:
        self._return_taken()
        self._sign_on()
        raw_id = self._wait_for_entry()
        if raw_id is None:
            # Nothing is being done now: whatever counts as taken was left behind by somebody.
            self._returned = False
            self._idle()
            return
        try:
            job = fetch_entry(self.connection, raw_id, self._allowed)
        except EntryError as error:
            logger.warning("skipped entry %r: %s", raw_id[:80], error)
            self._forget(raw_id)
            return
        except ResponseError as error:
            # Anything else (read-only, out of memory, no permission) is no fault of the entry.
            if not str(error).startswith("WRONGTYPE"):
                raise
            logger.warning("skipped entry %r: Redis said %s", raw_id[:80], error)
            self._forget(raw_id)
            return
        done = self._run(job)
        self._forget(raw_id, done=done and self._allowed[str(job.func_name)].acknowledged)
        self._idle()

    def _wait_for_entry(self) -> bytes | None:
        """Move the next entry's id to the list of taken ones and return it; None when none came in time."""
        self._waiting = True
        try:
            if self._stop_requested:
                raise StopRequested
            # The entry stays in Redis until it is done, so it is not lost when this process is killed.
            moved = self._move_entry()
        except ResponseError as error:
            self._waiting = False
            if not str(error).startswith("WRONGTYPE"):
                raise
            self._drop_impostors()
            return None
        finally:
            self._waiting = False
        self._show_life()
        return None if moved is None else bytes(moved)

    def _move_entry(self) -> Any:
        # The connection's own time limit is for answers that come at once; here Redis is asked to wait.
        pool = self.connection.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_command(  # type: ignore[no-untyped-call]
                "BLMOVE", self._queue_key, self._taken_key, "LEFT", "RIGHT", self._tick_seconds
            )
            return connection.read_response(timeout=self._tick_seconds + HUNG_SECONDS)
        except BaseException:
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        finally:
            pool.release(connection)

    def _drop_impostors(self) -> None:
        """Remove keys of the queue's name that are no lists; nothing could ever be served otherwise."""
        for key in (self._queue_key, self._taken_key):
            kind: Any = self.connection.type(key)
            if kind not in (b"list", b"none"):
                logger.warning("removed %s, which is a %s and no list", key, kind.decode())
                self.connection.unlink(key)

    def _return_taken(self) -> None:
        """Put entries that an earlier process had taken and not finished back in front, once."""
        if self._returned:
            return
        try:
            while self.connection.lmove(self._taken_key, self._queue_key, "RIGHT", "LEFT") is not None:
                logger.info("an unfinished entry of %s was put back", self.name)
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            self._drop_impostors()
        self._returned = True

    def _forget(self, raw_id: bytes, *, done: bool = False) -> None:
        with self.connection.pipeline(transaction=True) as pipeline:
            pipeline.lrem(self._taken_key, 0, raw_id)  # type: ignore[arg-type]
            with contextlib.suppress(UnicodeDecodeError):
                job_id = raw_id.decode("ascii")
                key = job_key(job_id)
                pipeline.unlink(key, f"{key}:dependents", f"{key}:dependencies")
                if done:
                    pipeline.set(done_key(job_id), "1", ex=DONE_TTL_SECONDS)
            pipeline.execute()

    def _run(self, job: LockedJob) -> bool:
        """Run a job in a forked process; say whether its function returned."""
        name = str(job.func_name)
        entry = check_call(name, list(job.args), self._allowed)
        logger.info("%s (%s) begins", name, job.id)
        began = time.monotonic()
        arguments = list(job.args)
        named = [job.id] if entry.named else []
        status = self._run_forked(lambda: entry.call(*named, *arguments), entry.seconds)
        took = time.monotonic() - began
        if status == 0:
            logger.info("%s (%s) done in %.3f s", name, job.id, took)
        else:
            logger.error("%s (%s) ended with status %d after %.3f s", name, job.id, status, took)
        if status not in (0, 1) and (on_crash := self._on_crash) is not None:
            self._run_forked(lambda: on_crash(name, arguments), entry.seconds)
        return status == 0

    def _run_forked(self, call: Callable[[], None], seconds: float) -> int:
        """Call in an own process, killed after `seconds`; its status, negative when a signal ended it."""
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _be_the_job(call, parent)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)
        self._horse_pid = pid
        try:
            self._wait_for_job(pid, seconds)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            self._horse_pid = 0
        return os.waitstatus_to_exitcode(status)

    def _wait_for_job(self, pid: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        redis_answers = True
        descriptor = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            while (left := deadline - time.monotonic()) > 0:
                if poll.poll(min(left, self._tick_seconds) * 1000):
                    return
                self._show_life()
                self._tick()
                if redis_answers:
                    try:
                        self._sign_on()
                    except RedisError:
                        # The next tick must not wait for it again.
                        redis_answers = False
            logger.error("the job's process %d is killed: not done within %s s", pid, seconds)
        finally:
            os.close(descriptor)

    def _tick(self) -> None:
        wanted = self._on_tick() if self._on_tick is not None else None
        self._tick_seconds = self._idle_seconds if wanted is None else min(self._idle_seconds, wanted)

    def _chore(self) -> None:
        if self._on_chore is None or time.monotonic() < self._next_chore:
            return
        self._next_chore = time.monotonic() + self._chore_seconds
        try:
            status = self._run_forked(self._on_chore, CHORE_SECONDS)
        # No process to be had now. Serving goes on: this is called where nobody else would catch it.
        except OSError as error:
            logger.error("the chore of %s could not begin: %s", self.name, error)
            return
        if status != 0:
            logger.error("the chore of %s ended with status %d", self.name, status)

    def _idle(self) -> None:
        self._tick()
        self._chore()
        if self._on_idle is None:
            return
        try:
            self._on_idle()
        except Exception as error:  # noqa: BLE001
            logger.warning("housekeeping will be tried again: %s", _describe(error))

    def _show_life(self) -> None:
        """Touch the file by which whoever looks after this process sees that it serves."""
        if self._alive is not None:
            with contextlib.suppress(OSError):
                self._alive.touch()

    def _sign_on(self) -> None:
        """Keep the worker's own hash alive, by which rq and the dashboard see that it serves."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        values: dict[Any, Any] = {
            "last_heartbeat": now,
            "queues": self.name,
            "pid": os.getpid(),
            "hostname": self.hostname or "",
        }
        if not self._registered:
            values["birth"] = now
        try:
            with self.connection.pipeline(transaction=True) as pipeline:
                if not self._registered:
                    pipeline.unlink(self.key)
                pipeline.hset(self.key, mapping=values)
                pipeline.expire(self.key, WORKER_TTL_SECONDS)
                pipeline.sadd(self.redis_workers_keys, self.key)
                pipeline.sadd(f"rq:workers:{self.name}", self.key)
                pipeline.execute()
        except ResponseError as error:
            if not self._registered:
                logger.warning("the worker cannot be registered, and serves all the same: %s", error)
        self._registered = True

    def _sign_off(self) -> None:
        with contextlib.suppress(RedisError, OSError), self.connection.pipeline(transaction=True) as pipeline:
            pipeline.srem(self.redis_workers_keys, self.key)
            pipeline.srem(f"rq:workers:{self.name}", self.key)
            pipeline.unlink(self.key)
            pipeline.execute()

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
        """Stop at once when waiting, else after the job that runs."""
        self._stop_requested = True
        if self._waiting:
            self._waiting = False
            raise StopRequested

    # What follows are rq's own ways in from outside; none of them is used here.

    def _set_connection(self, connection: Redis) -> Redis:
        """Leave the connection its time limits: rq would raise them to minutes, for its own long waits."""
        return connection

    def subscribe(self) -> None:
        """Listen to no pub/sub commands."""

    def handle_payload(self, message: object) -> None:
        """Ignore a pub/sub command."""

    def execute_job(self, job: object, queue: object) -> NoReturn:
        """Refuse rq's way to run a job."""
        raise EntryError("a locked worker runs jobs its own way")

    def perform_job(self, job: object, queue: object, execution: object) -> NoReturn:
        """Refuse rq's way to run a job."""
        raise EntryError("a locked worker runs jobs its own way")

    def clean_registries(self) -> None:
        """Leave rq's registries alone: cleaning them runs callbacks of jobs that others wrote."""

    def clean_group_registries(self) -> None:
        """Leave rq's groups alone."""


def _be_the_job(call: Callable[[], None], parent: int) -> NoReturn:
    """Run `call` as the forked process and leave: status 0 when it returned, 1 when it raised."""
    status = 1
    try:
        os.setpgid(0, 0)
        _die_with(parent)
        # A stop is for the worker, which waits for its job: half an apply helps nobody.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        call()
        status = 0
    except BaseException:
        logger.exception("the job failed")
    finally:
        with contextlib.suppress(Exception):
            logging.shutdown()
        os._exit(status)


def _die_with(parent: int) -> None:
    # Nobody would hold a job to its time limit whose worker was killed; the next one cleans up after it.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:500]}"
