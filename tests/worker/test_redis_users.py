"""The Redis users on a real Redis and a real Valkey: each can do what it must, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from scripts.stack.redis_users import TEMPLATE, main, redis_url
from tests.rig.acl_server import (
    ALIEN_JOBS,
    KEYS,
    LIST_JOB,
    LIST_ORDER,
    ORDER_JOB,
    OTHERS_ORDER_JOB,
    OTHERS_OUTCOME_JOB,
    OUTCOME_JOB,
    Server,
    _server,
    server,
)

__all__ = ["_server", "server"]

pytestmark = pytest.mark.redis

# Commands that every client may send, also before it signs in (valkey.io/commands: NO_AUTH).
HARMLESS = {"ping", "multi", "exec", "discard", "unwatch", "auth", "hello", "quit", "reset"}
# The commands that a user may use, by key; the server refuses all others.
OWN_QUEUE = {"blmove", "lmove", "lrem", "type", "unlink"}
REGISTER = {"hset", "expire", "sadd", "srem", "unlink"}
TAKE_JOB = {"watch", "hstrlen", "hget", "unlink"}
MAY: dict[str, dict[str, set[str]]] = {
    "web": {
        "rq:queue:firewall-local": {"rpush", "lpos", "lrem"},
        "rq:queue:firewall-local:intermediate": {"rpush", "lpos", "lrem"},
        "rq:queue:firewall-other": {"rpush", "lpos", "lrem"},
        "rq:queues": {"sadd"},
        ORDER_JOB: {"hset", "expire"},
        OTHERS_ORDER_JOB: {"hset", "expire"},
        ALIEN_JOBS[2]: {"hset", "expire"},
        "dockerfw:snapshot:local": {"strlen", "getrange"},
        "dockerfw:snapshot:other": {"strlen", "getrange"},
        "dockerfw:progress:local:1": {"strlen", "getrange"},
        "dockerfw:progress:other:1": {"strlen", "getrange"},
        "dockerfw:refused:local": {"xread", "xrevrange"},
        "dockerfw:refused:other": {"xread", "xrevrange"},
        "dockerfw:observe:local": {"set"},
        "dockerfw:progress:local:about": {"strlen", "getrange"},
    },
    "clerk": {
        "rq:queue:clerk": OWN_QUEUE,
        "rq:queue:clerk:intermediate": OWN_QUEUE,
        "rq:queue:firewall-local": {"rpush", "lpos", "lrem"},
        "rq:queue:firewall-local:intermediate": {"rpush", "lpos", "lrem"},
        "rq:queue:firewall-other": {"rpush", "lpos", "lrem"},
        "rq:queue:lists": OWN_QUEUE | {"rpush"},
        "rq:queue:lists:intermediate": OWN_QUEUE | {"rpush"},
        "rq:queues": {"sadd"},
        LIST_JOB: TAKE_JOB | {"hset", "expire"},
        LIST_ORDER: {"hset", "expire"},
        "dockerfw:progress:local:about": {"strlen", "getrange"},
        "dockerfw:progress:local:1": {"strlen", "getrange"},
        "dockerfw:progress:other:1": {"strlen", "getrange"},
        "dockerfw:snapshot:local": {"strlen", "getrange"},
        "dockerfw:snapshot:other": {"strlen", "getrange"},
        "dockerfw:refused:local": {"xread", "xrevrange"},
        "dockerfw:refused:other": {"xread", "xrevrange"},
        "rq:worker:lists": REGISTER,
        "rq:workers": REGISTER,
        "rq:workers:clerk": REGISTER,
        "rq:worker:clerk": REGISTER,
        OUTCOME_JOB: TAKE_JOB,
        OTHERS_OUTCOME_JOB: TAKE_JOB,
        ALIEN_JOBS[3]: TAKE_JOB,
        "dockerfw:done:firewall-local_outcome-1": {"set"},
        "dockerfw:done:firewall-other_outcome-1": {"set"},
    },
    "root-local": {
        "rq:queue:firewall-local": OWN_QUEUE | {"lrange"},
        "rq:queue:firewall-local:intermediate": OWN_QUEUE | {"lrange"},
        "rq:queue:clerk": {"rpush"},
        "rq:queues": {"sadd"},
        "rq:workers": REGISTER,
        "rq:workers:firewall-local": REGISTER,
        "rq:worker:firewall-local": REGISTER,
        ORDER_JOB: TAKE_JOB,
        LIST_ORDER: TAKE_JOB,
        OUTCOME_JOB: {"exists", "hset", "expire"},
        "dockerfw:done:firewall-local_outcome-1": {"exists", "unlink"},
        "dockerfw:snapshot:local": {"set"},
        "dockerfw:refused:local": {"xadd"},
        "dockerfw:progress:local:about": {"set"},
        "dockerfw:progress:local:1": {"set"},
    },
    "watch": {"rq:workers": {"scard"}},
}


def words_of(command: str, arity: int, key: str) -> list[str]:
    """Return a call of the command in which every argument is the key, as many as it takes."""
    names = command.split("|")
    return [*names, *[key] * max(0, abs(arity) - len(names))]


# Commands whose key is not the first argument, or that need other arguments beside it.
SPECIAL_ARGUMENTS = {
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
    "lrem": ("{key}", "0", "none"),
    "expire": ("{key}", "1000"),
    "info": ("all",),
}


def commands(admin: Redis) -> dict[str, int]:
    """Return every command and subcommand of the server with its arity."""
    found: dict[str, int] = {}
    listed: Any = admin.command()
    for name, entry in listed.items():
        found[name] = entry["arity"]
    # As one word: otherwise the client parses the answer like that of COMMAND.
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
            special = SPECIAL_ARGUMENTS.get(name)
            calls[name] = (
                [name, *(word.format(key=key) for word in special)] if special else words_of(name, arity, key)
            )
        can = {name for name in allowed_calls(server.admin, user, calls) if name not in HARMLESS}
        assert can == MAY[user].get(key, set()), key


def allowed_calls(admin: Redis, user: str, calls: dict[str, list[str]]) -> list[str]:
    """Return the calls that the server would allow the user."""
    pipeline = admin.pipeline(transaction=False)
    for words in calls.values():
        pipeline.execute_command("ACL DRYRUN", user, *words)  # type: ignore[no-untyped-call]
    answers = pipeline.execute(raise_on_error=False)
    # A malformed call is refused with an error before the server looks at the user.
    return [name for name, answer in zip(calls, answers, strict=True) if answer in (b"OK", "OK")]


def test_no_client_signs_in_without_a_password(server: Server) -> None:
    with pytest.raises(AuthenticationError):
        Redis(unix_socket_path=str(server.socket)).get("dockerfw:snapshot:local")
    for user in ("default", "web", "root-local"):
        for password in ("", "x", server.passwords["clerk"]):
            with pytest.raises(AuthenticationError):
                Redis.from_url(redis_url(server.socket, user, password or "%20")).ping()


def test_the_command_writes_the_files_for_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_the_template_has_no_password_and_no_unlimited_right() -> None:
    text = TEMPLATE.read_text()
    rules = [line for line in text.splitlines() if line.startswith("user ")]
    assert rules
    assert not any(word in line for line in rules for word in ("nopass", "allkeys", "+@", "~* ", " >"))
