"""Ask Redis, with the user of this process, what doctor checks: also commands that Redis must refuse.

Every command only reads, and the ones that must be refused ask for keys that do not exist. Nothing here
raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.retry import Retry

from dockerfw.messages.about import MAX_BYTES as ABOUT_BYTES
from dockerfw.messages.about import About, about_key
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.loaded import MAX_BYTES as LOADED_BYTES
from dockerfw.messages.loaded import LoadedRules, loaded_key
from dockerfw.messages.snapshots import Snapshot, snapshot_key

SECONDS = 2.0
SNAPSHOT_BYTES = 64 * 1024 * 1024
ABSENT_KEY = "dockerfw:doctor:nothing"
# No process of dockerfw needs any of them (deploy/redis/users.acl).
FORBIDDEN: tuple[tuple[str, ...], ...] = (
    ("CONFIG", "GET", "port"),
    ("KEYS", ABSENT_KEY),
    ("ACL", "LIST"),
    ("CLIENT", "LIST"),
    ("SCRIPT", "EXISTS", "0" * 40),
    ("GET", ABSENT_KEY),
    ("DBSIZE",),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """What Redis answered; `error` is empty when it did. `seconds` is its clock, since 1970."""

    error: str
    user: str = ""
    version: str | None = None
    seconds: float | None = None
    anonymous: bool | None = None
    allowed: tuple[str, ...] | None = None


def probe(url: str) -> Probe:
    """Ask Redis everything."""
    user = str(_address(url).get("username") or "")
    try:
        connection = _connect(url)
        connection.ping()
        version, seconds = _server(connection)
        allowed = tuple(" ".join(words[:2]) for words in FORBIDDEN if _may(connection, words))
        return Probe("", user, version, seconds, _lets_in(url), allowed)
    except (redis.RedisError, OSError) as error:
        return Probe(str(error)[:300], user)


def read_stored(url: str, host: str) -> tuple[About | None, Snapshot | None]:
    """Return what the root worker stored in Redis, None for what this process may not read."""
    about: About | None = None
    snapshot: Snapshot | None = None
    try:
        connection = _connect(url)
        if (raw := _read(connection, about_key(host), ABOUT_BYTES)) is not None:
            about = About.from_json(load_json(raw, max_bytes=ABOUT_BYTES))
        if (raw := _read(connection, snapshot_key(host), SNAPSHOT_BYTES)) is not None:
            snapshot = Snapshot.from_json(load_json(raw, max_bytes=SNAPSHOT_BYTES))
    except (redis.RedisError, OSError, MessageError):
        pass
    return about, snapshot


def read_loaded(url: str, host: str) -> LoadedRules | None:
    """Return the rules that the root worker loaded last, None where this process may not read them."""
    try:
        raw = _read(_connect(url), loaded_key(host), LOADED_BYTES)
        return None if raw is None else LoadedRules.from_json(load_json(raw, max_bytes=LOADED_BYTES))
    except (redis.RedisError, OSError, MessageError):
        return None


def socket_folder(url: str) -> Path | None:
    """Return the folder of Redis' socket, None when Redis is reached over the network."""
    path = _address(url).get("path")
    return Path(str(path)).parent if path else None


def _read(connection: redis.Redis, key: str, most: int) -> bytes | None:
    size = connection.strlen(key)
    return cast(bytes, connection.getrange(key, 0, size)) if 0 < size <= most else None


def _address(url: str) -> dict[str, Any]:
    return dict(parse_url(url))  # type: ignore[no-untyped-call]


def _connect(url: str, **changes: Any) -> redis.Redis:
    options: dict[str, Any] = {"socket_connect_timeout": SECONDS, "socket_timeout": SECONDS}
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options, **changes)


def _server(connection: redis.Redis) -> tuple[str | None, float | None]:
    try:
        info: Any = connection.info("server")
    except ResponseError:
        return None, None
    if "valkey_version" in info:
        version = f"valkey {info['valkey_version']}"
    else:
        version = f"redis {info.get('redis_version', '')}"
    moment = info.get("server_time_usec")
    return version, None if moment is None else int(moment) / 1e6


def _may(connection: redis.Redis, words: tuple[str, ...]) -> bool:
    return _refusal(lambda: connection.execute_command(*words)) is None  # type: ignore[no-untyped-call]


def _lets_in(url: str) -> bool:
    """Return True if the same server answers a client without name and password."""
    address = _address(url)
    options = {name: value for name, value in address.items() if name not in ("username", "password")}
    pool = redis.ConnectionPool(
        socket_connect_timeout=SECONDS, socket_timeout=SECONDS, retry=Retry(NoBackoff(), 0), **options
    )
    return _refusal(redis.Redis(connection_pool=pool).ping) is None


def _refusal(call: Callable[[], object]) -> Exception | None:
    """Return how Redis refused a call, None when it did not. Other failures are raised."""
    try:
        call()
    except (NoPermissionError, AuthenticationError) as error:
        return error
    except ResponseError as error:
        # "unknown command": as good as refused, for a command that a server was built without.
        return error
    return None
