"""Questions of the doctor to Redis, asked as this process's own user, with commands that Redis must refuse.

Every command here only reads, and the ones that Redis must refuse name a key that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.retry import Retry

SECONDS = 2.0
UNUSED_KEY = "dockerfw:doctor:nothing"
# No process of dockerfw needs these (deploy/redis/users.acl).
FORBIDDEN: tuple[tuple[str, ...], ...] = (
    ("CONFIG", "GET", "port"),
    ("KEYS", UNUSED_KEY),
    ("ACL", "LIST"),
    ("CLIENT", "LIST"),
    ("SCRIPT", "EXISTS", "0" * 40),
    ("GET", UNUSED_KEY),
    ("DBSIZE",),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """Redis's answers; `error` is empty when it answered. `seconds` is its clock, since 1970.

    `anonymous` is True when Redis also answers clients without a name and password. `allowed` are the
    forbidden commands that it allowed.
    """

    error: str
    user: str = ""
    version: str | None = None
    seconds: float | None = None
    anonymous: bool | None = None
    allowed: tuple[str, ...] | None = None


def probe(url: str) -> Probe:
    """Ask all questions; errors are in the result."""
    user = str(_address(url).get("username") or "")
    try:
        connection = _connect(url)
        connection.ping()
        version, seconds = _server(connection)
        allowed = tuple(" ".join(words[:2]) for words in FORBIDDEN if _is_permitted(connection, words))
        return Probe("", user, version, seconds, _answers_anonymous(url), allowed)
    except (redis.RedisError, OSError) as error:
        return Probe(str(error)[:300], user)


def socket_folder(url: str) -> Path | None:
    """Return the folder of Redis's socket, None when Redis is reached over the network."""
    path = _address(url).get("path")
    return Path(str(path)).parent if path else None


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


def _is_permitted(connection: redis.Redis, words: tuple[str, ...]) -> bool:
    return _refusal(lambda: connection.execute_command(*words)) is None  # type: ignore[no-untyped-call]


def _answers_anonymous(url: str) -> bool:
    """Return True if the same server answers a client without a name and password."""
    address = _address(url)
    options = {name: value for name, value in address.items() if name not in ("username", "password")}
    pool = redis.ConnectionPool(
        socket_connect_timeout=SECONDS, socket_timeout=SECONDS, retry=Retry(NoBackoff(), 0), **options
    )
    return _refusal(redis.Redis(connection_pool=pool).ping) is None


def _refusal(call: Callable[[], object]) -> Exception | None:
    """Return the error with which Redis refused a call, None when it did not. Raises other errors."""
    try:
        call()
    except (NoPermissionError, AuthenticationError) as error:
        return error
    except ResponseError as error:
        # "unknown command" counts as refused: the server was built without the command.
        return error
    return None
