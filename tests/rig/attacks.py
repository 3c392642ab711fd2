"""The attacks of a client that can write to Redis: each one writes an entry that must have no effect.

Every attack that got through would make the file `proof`.
"""

from __future__ import annotations

import json
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis

Attack = Callable[[Redis, str, Path], None]
GOOD_ID = "attack-1"


class Exploding:
    """Makes the file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._proof}",)


def named(queue: str, name: str) -> str:
    """Return the id of a job that the queue of a host's root worker may name; any, for another queue."""
    return f"{queue}_order-{name}" if queue.startswith("firewall-") and "_" not in name else name


def put(redis: Redis, queue: str, job_id: str | bytes, fields: dict[Any, Any] | None = None) -> None:
    """Put an entry on the queue as rq's client does, with any fields; a text names a job of the queue."""
    if isinstance(job_id, str):
        job_id = named(queue, job_id)
    if fields:
        name = job_id if isinstance(job_id, bytes) else job_id.encode()
        redis.hset(b"rq:job:" + name, mapping=fields)
    redis.sadd("rq:queues", f"rq:queue:{queue}")
    redis.rpush(f"rq:queue:{queue}", job_id)


def packed(name: object, arguments: object, keywords: object = None, instance: object = None) -> bytes:
    """Pack a call as rq does with its JSON serializer."""
    return zlib.compress(
        json.dumps([name, instance, arguments, {} if keywords is None else keywords]).encode()
    )


def job_fields(data: bytes, queue: str, **more: Any) -> dict[Any, Any]:
    """Return the fields that rq's client writes for a job."""
    return {
        "data": data,
        "created_at": "2026-01-01T00:00:00.000000Z",
        "origin": queue,
        "status": "queued",
        "timeout": 60,
        **more,
    }


def harmless(redis: Redis, queue: str, **more: Any) -> None:
    """Put an entry whose call is unknown, with fields that must be ignored."""
    put(redis, queue, GOOD_ID, job_fields(packed("nothing", []), queue, **more))


def _touch(proof: Path) -> list[str]:
    return [f"touch {proof}"]


def _system(redis: Redis, queue: str, proof: Path) -> None:
    put(redis, queue, GOOD_ID, job_fields(packed("os.system", _touch(proof)), queue))


def _subprocess(redis: Redis, queue: str, proof: Path) -> None:
    put(redis, queue, GOOD_ID, job_fields(packed("subprocess.call", [["touch", str(proof)]]), queue))


def _method(redis: Redis, queue: str, proof: Path) -> None:
    data = packed("dockerfw.agent.jobs.RootJobs.apply", _touch(proof), instance="os")
    put(redis, queue, GOOD_ID, job_fields(data, queue))


def _dunder(redis: Redis, queue: str, proof: Path) -> None:
    for number, name in enumerate(["__class__", "apply.__globals__", "get", "keys", "", "observe\n"]):
        put(redis, queue, f"dunder-{number}", job_fields(packed(name, _touch(proof)), queue))


def _keywords(redis: Redis, queue: str, proof: Path) -> None:
    put(redis, queue, GOOD_ID, job_fields(packed("observe", [], {"command": f"touch {proof}"}), queue))


def _pickled_data(redis: Redis, queue: str, proof: Path) -> None:
    data = pickle.dumps(("os.system", None, tuple(_touch(proof)), {}))
    put(redis, queue, "pickle-1", job_fields(zlib.compress(data), queue))
    put(redis, queue, "pickle-2", job_fields(data, queue))
    put(redis, queue, "pickle-3", job_fields(zlib.compress(pickle.dumps(Exploding(proof))), queue))


def _pickled_fields(redis: Redis, queue: str, proof: Path) -> None:
    bomb = pickle.dumps(Exploding(proof))
    harmless(redis, queue, meta=bomb, result=bomb, exc_info=bomb)
    fields = job_fields(packed("fail", []), queue, meta=bomb, result=bomb)
    put(redis, queue, "pickle-meta", fields)
    redis.xadd(
        f"rq:results:{named(queue, 'pickle-meta')}", {"type": "1", "return_value": bomb, "created_at": "0"}
    )


def _callbacks(redis: Redis, queue: str, proof: Path) -> None:
    names = {f"{kind}_callback_name": "os.system" for kind in ("success", "failure", "stopped")}
    harmless(redis, queue, **names)
    put(redis, queue, "callback-good", job_fields(packed("observe", []), queue, **names))


def _webhook(redis: Redis, queue: str, proof: Path) -> None:
    hooks = json.dumps(
        [{"url": f"file://{proof}", "job_status": status} for status in ("finished", "failed")]
    )
    put(redis, queue, "hook-good", job_fields(packed("observe", []), queue, webhooks=hooks))
    harmless(redis, queue, webhooks=hooks)


def _repeat(redis: Redis, queue: str, proof: Path) -> None:
    repeat = {"repeats_left": 1000, "repeat_intervals": "[0]"}
    put(redis, queue, "repeat-good", job_fields(packed("observe", []), queue, **repeat))
    harmless(redis, queue, **repeat)


def _retry(redis: Redis, queue: str, proof: Path) -> None:
    retry = {"retries_left": 1000, "retry_intervals": "[0]", "number_of_retries": 0}
    put(redis, queue, "retry-good", job_fields(packed("apply", [{}]), queue, **retry))
    harmless(redis, queue, **retry)


def _dependents(redis: Redis, queue: str, proof: Path) -> None:
    good, dependent = named(queue, "depends-good"), named(queue, "dependent")
    fields = job_fields(packed("os.system", _touch(proof)), queue, dependency_ids=json.dumps([good]))
    redis.hset(f"rq:job:{dependent}", mapping={**fields, "status": "deferred"})
    redis.sadd(f"rq:job:{good}:dependents", dependent)
    redis.zadd(f"rq:deferred:{queue}", {dependent: 1})
    put(redis, queue, "depends-good", job_fields(packed("observe", []), queue))


def _registries(redis: Redis, queue: str, proof: Path) -> None:
    registered = named(queue, "registered")
    fields = job_fields(packed("os.system", _touch(proof)), queue, failure_callback_name="os.system")
    redis.hset(f"rq:job:{registered}", mapping={**fields, "status": "started"})
    for name in ("wip", "failed", "finished", "scheduled", "canceled", "ready"):
        redis.zadd(f"rq:{name}:{queue}", {registered: 1, f"{registered}:x": 1})
    redis.rpush(f"rq:queue:{queue}:intermediate", registered)


def _bad_status(redis: Redis, queue: str, proof: Path) -> None:
    put(redis, queue, "status-1", {**job_fields(packed("nothing", []), queue), "status": "exploded"})
    put(redis, queue, "status-2", {**job_fields(packed("nothing", []), queue), "status": b"\xff\xfe"})
    put(redis, queue, "status-3", {**job_fields(packed("nothing", []), queue), "timeout": "soon", "ttl": "x"})
    put(redis, queue, "status-4", {**job_fields(packed("nothing", []), queue), "created_at": "yesterday"})


def _ids_of_others(redis: Redis, queue: str, proof: Path) -> None:
    for name in ("firewall-other_order-1", "firewall-local_outcome-1", "local_order-1", "firewall-_order-1"):
        put(redis, queue, name.encode(), job_fields(packed("os.system", _touch(proof)), queue))
        put(redis, queue, name.encode(), job_fields(packed("observe", []), queue))


def _bad_ids(redis: Redis, queue: str, proof: Path) -> None:
    for raw in (
        b"",
        b"\xff\xfe\x00",
        b"a:b",
        b"../../etc",
        b"a" * 5000,
        b"new\nline",
        "ünï".encode(),
        b"a b",
    ):
        put(redis, queue, raw)
        put(redis, queue, raw, job_fields(packed("os.system", _touch(proof)), queue))


def _wrong_types(redis: Redis, queue: str, proof: Path) -> None:
    calls: list[Any] = [None, 1, "x", {}, [], [1, 2], [[], None, [], {}], [None, None, [], {}]]
    for number, call in enumerate(calls):
        data = zlib.compress(json.dumps(call).encode())
        put(redis, queue, f"types-{number}", job_fields(data, queue))
    wrong: list[Any] = [None, "x", {}, [1], ["x"], [{}, {}], [[]], [None], [True]]
    for number, arguments in enumerate(wrong):
        put(redis, queue, f"arguments-{number}", job_fields(packed("observe", arguments or ["x"]), queue))
        put(redis, queue, f"apply-{number}", job_fields(packed("apply", arguments), queue))


def _missing(redis: Redis, queue: str, proof: Path) -> None:
    put(redis, queue, "there-is-no-hash")
    put(redis, queue, "no-data", {"origin": queue, "status": "queued"})
    put(redis, queue, "empty-data", {"data": b""})


def _binary(redis: Redis, queue: str, proof: Path) -> None:
    for number, data in enumerate(
        [b"\x00" * 100, os.urandom(500), b"\x80\x05.", zlib.compress(os.urandom(99))]
    ):
        put(redis, queue, f"binary-{number}", job_fields(data, queue))
    nested = b"[" * 100_000
    put(redis, queue, "nested", job_fields(zlib.compress(nested), queue))
    put(redis, queue, "truncated", job_fields(packed("observe", [])[:-3], queue))
    put(redis, queue, "trailing", job_fields(packed("observe", []) + b"more", queue))
    twice = zlib.compress(b'["observe", null, [{"a": 1, "a": 2}], {}]')
    put(redis, queue, "twice", job_fields(twice, queue))
    put(redis, queue, "nan", job_fields(zlib.compress(b'["apply", null, [{"x": NaN}], {}]'), queue))
    huge = zlib.compress(b'["apply", null, [{"x": ' + b"9" * 10_000 + b"}], {}]")
    put(redis, queue, "digits", job_fields(huge, queue))


def _other_keys(redis: Redis, queue: str, proof: Path) -> None:
    redis.rpush(f"rq:job:{named(queue, 'a-list')}", "x")
    put(redis, queue, "a-list")
    redis.set(f"rq:job:{named(queue, 'a-string')}", "x")
    put(redis, queue, "a-string")


def _queue_is_no_list(redis: Redis, queue: str, proof: Path) -> None:
    redis.delete(f"rq:queue:{queue}")
    redis.set(f"rq:queue:{queue}", "junk")


def _taken_is_no_list(redis: Redis, queue: str, proof: Path) -> None:
    redis.delete(f"rq:queue:{queue}:intermediate")
    redis.hset(f"rq:queue:{queue}:intermediate", "a", "b")


def _worker_key_is_no_hash(redis: Redis, queue: str, proof: Path) -> None:
    for key in (f"rq:worker:{queue}", "rq:workers", f"rq:workers:{queue}"):
        redis.delete(key)
        redis.rpush(key, "junk")


def _zlib_bomb(redis: Redis, queue: str, proof: Path) -> None:
    put(redis, queue, GOOD_ID, job_fields(_bomb(1500), queue))


def _bomb(megabytes: int) -> bytes:
    """Return so many megabytes of blanks, compressed: one of them is, and its blocks are repeated."""
    blanks = b" " * (1 << 20)
    squeezer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    blocks = squeezer.compress(blanks) + squeezer.flush(zlib.Z_FULL_FLUSH)
    check = 1
    for _ in range(megabytes):
        check = zlib.adler32(blanks, check)
    return b"\x78\xda" + blocks * megabytes + squeezer.flush() + check.to_bytes(4, "big")


def _oversized(redis: Redis, queue: str, proof: Path) -> None:
    put(redis, queue, GOOD_ID, job_fields(b"x" * (20 << 20), queue))
    put(redis, queue, "o-2", job_fields(packed("apply", [{"document": "x" * (8 << 20)}]), queue))


def _commands(redis: Redis, queue: str, proof: Path) -> None:
    for command in ("shutdown", "kill-horse", "stop-job", "stop-execution", "nonsense"):
        payload = json.dumps({"command": command, "job_id": GOOD_ID, "execution_id": "x"})
        redis.publish(f"rq:pubsub:{queue}", payload)
    redis.publish(f"rq:pubsub:{queue}", pickle.dumps(Exploding(proof)))


def _suspension(redis: Redis, queue: str, proof: Path) -> None:
    redis.set("rq:suspended", 1)


ATTACKS: dict[str, Attack] = {
    "os.system as a job": _system,
    "subprocess as a job": _subprocess,
    "a method with an instance": _method,
    "attributes of allowed names": _dunder,
    "keyword arguments": _keywords,
    "pickled data": _pickled_data,
    "pickled meta and result": _pickled_fields,
    "callbacks": _callbacks,
    "webhook": _webhook,
    "repeat": _repeat,
    "retry": _retry,
    "dependents": _dependents,
    "registries": _registries,
    "bad status": _bad_status,
    "bad ids": _bad_ids,
    "ids of others": _ids_of_others,
    "wrong types": _wrong_types,
    "missing hash": _missing,
    "binary junk": _binary,
    "a list instead of a hash": _other_keys,
    "the queue is no list": _queue_is_no_list,
    "the list of taken entries is no list": _taken_is_no_list,
    "the worker's key is no hash": _worker_key_is_no_hash,
    "zlib bomb": _zlib_bomb,
    "oversized": _oversized,
    "pub/sub commands": _commands,
    "suspension": _suspension,
}
