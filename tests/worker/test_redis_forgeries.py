"""Commands that an attacker with the password of one Redis user could try: Redis refuses all of them."""

from __future__ import annotations

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from tests.rig.acl_server import (
    ALIEN_JOBS,
    ORDER_JOB,
    OTHERS_ORDER_JOB,
    OTHERS_OUTCOME_JOB,
    OUTCOME_JOB,
    Server,
    _server,
    contents,
    fill,
    server,
)

__all__ = ["_server", "server"]

pytestmark = pytest.mark.redis

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
            ("SET", "dockerfw:done:firewall-local_outcome-1", "1"),
            ("SET", "dockerfw:observe:local", "1", "GET"),
            ("XADD", "dockerfw:refused:local", "*", "batch", "forged"),
            ("XTRIM", "dockerfw:refused:local", "MAXLEN", "0"),
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
            ("LPUSH", "rq:queue:firewall-local", "x"),
            ("LMOVE", "rq:queue:clerk", "rq:queue:firewall-local", "LEFT", "RIGHT"),
            ("BLMOVE", "rq:queue:clerk", "rq:queue:firewall-local", "LEFT", "RIGHT", "0.01"),
            ("HSET", ORDER_JOB, "data", "forged"),
            ("HGET", ORDER_JOB, "data"),
            ("UNLINK", ORDER_JOB),
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
            # Neither read another host's jobs nor remove them, nor those of a host with a longer name.
            *(
                words
                for key in (OTHERS_ORDER_JOB, OTHERS_OUTCOME_JOB, *ALIEN_JOBS)
                for words in (("HGET", key, "data"), ("HSTRLEN", key, "data"), ("UNLINK", key))
            ),
            ("UNLINK", OUTCOME_JOB),
            ("SET", "dockerfw:snapshot:other", "forged"),
            ("SET", "dockerfw:progress:other:1", "forged"),
            ("XADD", "dockerfw:refused:other", "*", "batch", "forged"),
            ("UNLINK", "rq:worker:firewall-other"),
            ("SET", "dockerfw:done:firewall-local_outcome-1", "1"),
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


def test_redis_refuses_every_forbidden_command_of_a_signed_in_user(server: Server) -> None:
    fill(server.admin)
    before = contents(server.admin)
    for user, words in FORGERIES:
        with server.as_user(user) as redis, pytest.raises(ResponseError) as refused:
            redis.execute_command(*words)
        # DEBUG is off for all users, so its error is another one.
        assert isinstance(refused.value, NoPermissionError) or words[0] == "DEBUG", (user, words)
    assert contents(server.admin) == before
