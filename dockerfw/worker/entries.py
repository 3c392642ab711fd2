"""Reading of one queue entry, which any client of Redis may have written.

Of an entry only the field `data` is read, as JSON, with a bound before and after decompression; the name of
the function is looked up in a dict. Every other field of the hash (meta, callbacks, webhooks, retries,
repeats, dependencies, time limits, rate limits, group, status) is ignored. Nothing is imported by a name from
an entry, and nothing is unpickled.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from redis import Redis, WatchError
from rq.job import Job
from rq.serializers import JSONSerializer

from dockerfw.messages.codec import MAX_MESSAGE_BYTES, load_json
from dockerfw.messages.errors import MessageError

MAX_PACKED_BYTES = MAX_MESSAGE_BYTES
ANY_JOB_ID = re.compile(rb"[A-Za-z0-9_-]{1,128}", re.ASCII)
JOB_PREFIX = "rq:job:"
# A host's name contains no underscore (messages/shapes.py), and neither does the rest.
_HOST_JOB = re.compile(r"firewall-([a-z0-9][a-z0-9-]{0,49})_[a-z]{1,10}-[A-Za-z0-9-]{1,60}", re.ASCII)


class EntryError(Exception):
    """An entry of a queue is not a job that this worker runs; the text contains the reason."""


@dataclass(frozen=True, slots=True)
class AllowedJob:
    """A function that a queue may call: the exact types of its arguments and its time limit in seconds.

    With `acknowledged`, the worker sets a key in Redis when the call has returned (see `done_key`). With
    `named`, the job's id is passed before the arguments. One that `yields` is ended, or not begun, when a job
    that does not waits. `wanted` is asked before the call, which is left out if it returns False, and
    `on_done` is called after it returned: both in the worker's own process.
    """

    call: Callable[..., None]
    arguments: tuple[type, ...] = ()
    seconds: float = 60.0
    acknowledged: bool = False
    named: bool = False
    yields: bool = False
    wanted: Callable[[], bool] | None = None
    on_done: Callable[[], None] | None = None


def job_key(job_id: str) -> str:
    """Return the key of a job's Redis hash."""
    return JOB_PREFIX + job_id


def host_job_id(host: str, name: str) -> str:
    """Return the id of a job for this host or of it, which Redis hides from other hosts' root workers.

    `name` is `order-…` for a job of the dashboard, `list-…` for one of the clerk about lists, `outcome-…` or
    `console-…` for one of the root worker.
    """
    return f"firewall-{host}_{name}"


def host_of_job(job_id: str) -> str:
    """Return the host that a job belongs to, empty when it belongs to none."""
    found = _HOST_JOB.fullmatch(job_id)
    return found[1] if found else ""


def order_ids(host: str) -> re.Pattern[bytes]:
    """Return what matches the ids of the jobs that the dashboard and the clerk send to this host."""
    return _ids(re.escape(host), "order|list")


def report_ids() -> re.Pattern[bytes]:
    """Return what matches the ids of the jobs that root workers send to the clerk."""
    return _ids("[a-z0-9][a-z0-9-]{0,49}", "outcome|console")


def list_ids() -> re.Pattern[bytes]:
    """Return what matches the ids of the jobs that the clerk sends to those who fetch lists."""
    return re.compile(rb"lists_fetch-[0-9]{1,20}-[0-9a-f-]{36}", re.ASCII)


def list_job_id(key: int, unique: str) -> str:
    """Return the id of a job that fetches the list with this key; `unique` is a UUID."""
    return f"lists_fetch-{key}-{unique}"


def _ids(host: str, kinds: str) -> re.Pattern[bytes]:
    return re.compile(f"firewall-{host}_(?:{kinds})-[A-Za-z0-9-]{{1,60}}".encode(), re.ASCII)


def done_key(job_id: str) -> str:
    """Return the Redis key that exists once an acknowledged job is done."""
    return f"dockerfw:done:{job_id}"


class LockedJob(Job):
    """A job that has only the name of an allowed function and its checked arguments.

    It overrides everything in rq's Job that would import, unpickle, call back, post, retry or repeat, so that
    it stays harmless even when rq's own code uses it.
    """

    def __init__(
        self, id: str | None = None, connection: Redis | None = None, serializer: Any = None
    ) -> None:
        super().__init__(id=id, connection=connection, serializer=JSONSerializer)

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Read the field `data` and nothing else. Raises EntryError."""
        packed = raw_data.get(b"data")
        if packed is None:
            raise EntryError("the job has no data")
        name, arguments = read_call(packed)
        self._func_name, self._instance, self._args, self._kwargs = name, None, arguments, {}

    @property
    def func(self) -> NoReturn:
        """Refuse: rq would import the function that the entry names."""
        raise EntryError("a locked job does not import functions; the worker looks them up")

    def perform(self) -> NoReturn:
        """Refuse: rq would run the job itself."""
        raise EntryError("a locked job does not run itself; the locked worker runs it")

    success_callback = failure_callback = stopped_callback = property(lambda self: None)
    should_retry = property(lambda self: False)
    has_rate_limit = property(lambda self: False)

    def send_webhooks(self, *args: object, **kwargs: object) -> None:
        """Send nothing: an entry must not choose the address that this process connects to."""


def read_call(packed: bytes) -> tuple[str, list[object]]:
    """Decode a job's `data` into a function's name and its arguments. Raises EntryError."""
    try:
        call = load_json(unpack(packed))
    except MessageError as error:
        raise EntryError(str(error)) from None
    if not isinstance(call, list) or len(call) != 4:
        raise EntryError("the job's data is not a list of four")
    name, instance, arguments, keywords = call
    if not isinstance(name, str) or instance is not None or not isinstance(arguments, list) or keywords != {}:
        raise EntryError("the job's data is not [name, null, [arguments], {}]")
    return name, arguments


def unpack(packed: bytes) -> bytes:
    """Decompress to at most MAX_MESSAGE_BYTES. Raises EntryError, also for more."""
    if len(packed) > MAX_PACKED_BYTES:
        raise EntryError(f"the job has {len(packed)} bytes; at most {MAX_PACKED_BYTES} are allowed")
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, MAX_MESSAGE_BYTES + 1)
    except zlib.error as error:
        raise EntryError(f"the job's data is not compressed with zlib: {error}") from None
    if len(data) > MAX_MESSAGE_BYTES:
        raise EntryError(f"the job grows beyond {MAX_MESSAGE_BYTES} bytes when decompressed")
    if not stream.eof or stream.unused_data:
        raise EntryError("the job's compressed data is cut off, or more data follows it")
    return data


def fetch_entry(
    connection: Redis, raw_id: bytes, allowed: Mapping[str, AllowedJob], ids: re.Pattern[bytes]
) -> LockedJob:
    """Fetch and check the entry with this id, which `ids` has to match.

    Raises EntryError, and redis's errors.
    """
    if not ids.fullmatch(raw_id):
        raise EntryError(f"{raw_id[:80]!r} is not the id of a job for this queue")
    job_id = raw_id.decode("ascii")
    packed = _fetch_bounded(connection, job_key(job_id))
    if packed is None:
        raise EntryError("the job does not exist any more")
    job = LockedJob(id=job_id, connection=connection)
    job.restore({b"data": packed})
    check_call(str(job.func_name), list(job.args), allowed)
    return job


def check_call(name: str, arguments: Sequence[object], allowed: Mapping[str, AllowedJob]) -> AllowedJob:
    """Return the allowed function when the arguments are exactly what it takes. Raises EntryError."""
    entry = allowed.get(name)
    if entry is None:
        raise EntryError(f"{name[:80]!r} is not one of the allowed jobs: {', '.join(sorted(allowed))}")
    if len(arguments) != len(entry.arguments):
        raise EntryError(f"{name} takes {len(entry.arguments)} arguments, not {len(arguments)}")
    for number, (argument, wanted) in enumerate(zip(arguments, entry.arguments, strict=True), 1):
        if type(argument) is not wanted:
            raise EntryError(
                f"argument {number} of {name} is {type(argument).__name__}, not {wanted.__name__}"
            )
    return entry


def _fetch_bounded(connection: Redis, key: str) -> bytes | None:
    # With WATCH, the read fails if the value grows after its size was read.
    with connection.pipeline() as pipeline:
        pipeline.watch(key)  # type: ignore[no-untyped-call]
        length: Any = pipeline.hstrlen(key, "data")
        if length > MAX_PACKED_BYTES:
            raise EntryError(f"the job has {length} bytes; at most {MAX_PACKED_BYTES} are allowed")
        pipeline.multi()
        pipeline.hget(key, "data")
        try:
            value: bytes | None = pipeline.execute()[0]
        except WatchError:
            raise EntryError("the job changed while it was read") from None
    return value


def refuse_unpickling() -> None:
    """Make this process refuse to unpickle anything that names a class or function; this cannot be undone."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "pickle.find_class":
            raise RuntimeError(f"unpickling is refused here: {arguments!r}")

    sys.addaudithook(hook)
