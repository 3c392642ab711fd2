"""Reads one queue entry as what it is: bytes that anybody may have written.

Owns the locked job class and the list of what may run. Of an entry it reads the one field `data`, bounded
before and after decompression, as JSON, and looks the function's name up in a dict. Every other field of the
hash (meta, callbacks, webhooks, retries, repeats, dependencies, time limits, rate limits, group, status) is
never read. It must not import anything that an entry names, and must not unpickle.
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
JOB_ID = re.compile(rb"[A-Za-z0-9_-]{1,128}", re.ASCII)
JOB_PREFIX = "rq:job:"


class EntryError(Exception):
    """An entry of a queue is not a job that this worker runs; the text says why."""


@dataclass(frozen=True, slots=True)
class AllowedJob:
    """A function that a queue may call: the exact types of its arguments and its time limit in seconds.

    With `acknowledged`, the worker leaves a note in Redis when the call has returned (see `done_key`). With
    `named`, the call gets the job's id before its arguments.
    """

    call: Callable[..., None]
    arguments: tuple[type, ...] = ()
    seconds: float = 60.0
    acknowledged: bool = False
    named: bool = False


def job_key(job_id: str) -> str:
    """Name the Redis hash of a job."""
    return JOB_PREFIX + job_id


def host_job_id(host: str, name: str) -> str:
    """Name a job that only this host's root worker can write: its Redis user can write no other host's."""
    return f"{host}_{name}"


def host_of_job(job_id: str) -> str:
    """Return the host whose root worker wrote the job; an ordinary name when no host's did.

    The names of hosts have no underscore (see fields.py).
    """
    return job_id.partition("_")[0]


def done_key(job_id: str) -> str:
    """Name the Redis key that says that an acknowledged job has been done."""
    return f"dockerfw:done:{job_id}"


class LockedJob(Job):
    """A job of which nothing is known but the name of an allowed function and its checked arguments.

    It overrides whatever of rq's Job would import, unpickle, call back, post, retry or repeat, so that it
    stays harmless even where rq's own code gets hold of it.
    """

    def __init__(
        self, id: str | None = None, connection: Redis | None = None, serializer: Any = None
    ) -> None:
        super().__init__(id=id, connection=connection, serializer=JSONSerializer)

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Take over the field `data` and nothing else. Raises EntryError."""
        packed = raw_data.get(b"data")
        if packed is None:
            raise EntryError("the job has no data")
        name, arguments = read_call(packed)
        self._func_name, self._instance, self._args, self._kwargs = name, None, arguments, {}

    @property
    def func(self) -> NoReturn:
        """Refuse rq's way to a function, which is to import what the entry names."""
        raise EntryError("a locked job does not import functions; the worker looks them up")

    def perform(self) -> NoReturn:
        """Refuse to run by rq's own means."""
        raise EntryError("a locked job is run by the locked worker only")

    success_callback = failure_callback = stopped_callback = property(lambda self: None)
    should_retry = property(lambda self: False)
    has_rate_limit = property(lambda self: False)

    def send_webhooks(self, *args: object, **kwargs: object) -> None:
        """Send nothing: an entry does not choose what this process connects to."""


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
    """Decompress at most MAX_MESSAGE_BYTES, however much the bytes would become. Raises EntryError."""
    if len(packed) > MAX_PACKED_BYTES:
        raise EntryError(f"the job has {len(packed)} bytes; at most {MAX_PACKED_BYTES} are taken")
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, MAX_MESSAGE_BYTES + 1)
    except zlib.error as error:
        raise EntryError(f"the job's data is not compressed as rq does it: {error}") from None
    if len(data) > MAX_MESSAGE_BYTES:
        raise EntryError(f"the job grows beyond {MAX_MESSAGE_BYTES} bytes when decompressed")
    if not stream.eof or stream.unused_data:
        raise EntryError("the job's compressed data is cut off or has something behind it")
    return data


def fetch_entry(connection: Redis, raw_id: bytes, allowed: Mapping[str, AllowedJob]) -> LockedJob:
    """Fetch and check the entry with this id. Raises EntryError, and redis's errors."""
    if not JOB_ID.fullmatch(raw_id):
        raise EntryError(f"{raw_id[:80]!r} is not a job id")
    job_id = raw_id.decode("ascii")
    packed = _fetch_bounded(connection, job_key(job_id))
    if packed is None:
        raise EntryError("there is no such job (any more)")
    job = LockedJob(id=job_id, connection=connection)
    job.restore({b"data": packed})
    check_call(str(job.func_name), list(job.args), allowed)
    return job


def check_call(name: str, arguments: Sequence[object], allowed: Mapping[str, AllowedJob]) -> AllowedJob:
    """Return the allowed function when the arguments are exactly what it takes. Raises EntryError."""
    entry = allowed.get(name)
    if entry is None:
        raise EntryError(f"{name[:80]!r} is not one of the jobs {', '.join(sorted(allowed))}")
    if len(arguments) != len(entry.arguments):
        raise EntryError(f"{name} takes {len(entry.arguments)} arguments, not {len(arguments)}")
    for number, (argument, wanted) in enumerate(zip(arguments, entry.arguments, strict=True), 1):
        if type(argument) is not wanted:
            raise EntryError(
                f"argument {number} of {name} is {type(argument).__name__}, not {wanted.__name__}"
            )
    return entry


def _fetch_bounded(connection: Redis, key: str) -> bytes | None:
    # WATCH ties the read to the size that was seen, so the value cannot grow in between.
    with connection.pipeline() as pipeline:
        pipeline.watch(key)  # type: ignore[no-untyped-call]
        length: Any = pipeline.hstrlen(key, "data")
        if length > MAX_PACKED_BYTES:
            raise EntryError(f"the job has {length} bytes; at most {MAX_PACKED_BYTES} are taken")
        pipeline.multi()
        pipeline.hget(key, "data")
        try:
            value: bytes | None = pipeline.execute()[0]
        except WatchError:
            raise EntryError("the job was changed while it was read") from None
    return value


def refuse_unpickling() -> None:
    """Make this process refuse, for ever, to unpickle anything that names a class or function."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "pickle.find_class":
            raise RuntimeError(f"unpickling is refused here: {arguments!r}")

    sys.addaudithook(hook)
