"""The journal on a real Redis: on disk first, sent until the clerk has it, in order, and bounded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from dockerfw.agent import journal as journal_module
from dockerfw.agent.journal import Journal
from dockerfw.messages.outcomes import Outcome
from dockerfw.worker.entries import done_key, job_key, read_call
from tests.messages.test_orders import OUTCOME
from tests.rig.redis_fixtures import RedisServer

pytestmark = pytest.mark.redis

FIRST = replace(OUTCOME, event=0, state="loading", error=None, loaded=None)
LAST = replace(OUTCOME, event=9)
NAME = f"local_outcome-{LAST.apply}-000009"


def waiting(redis: Redis) -> list[Outcome]:
    """Return the outcomes on the clerk's queue."""
    ids: Any = redis.lrange("rq:queue:clerk", 0, -1)
    found = []
    for raw in ids:
        data: Any = redis.hget(job_key(raw.decode()), "data")
        name, arguments = read_call(data)
        assert name == "record_outcome"
        found.append(Outcome.from_json(arguments[0]))
    return found


def take(redis: Redis, *, note: bool) -> None:
    """Do as the clerk's worker does with all of its queue: forget it, leave a note if it worked."""
    while (raw := redis.lpop("rq:queue:clerk")) is not None:
        assert isinstance(raw, bytes)
        redis.delete(job_key(raw.decode()))
        if note:
            redis.set(done_key(raw.decode()), "1")


def test_sent_in_order_and_once_while_they_wait(redis_client: Redis, tmp_path: Path) -> None:
    journal = Journal(tmp_path, host="local")
    journal.write(FIRST)
    journal.write(LAST)
    for _ in range(3):
        journal.deliver(redis_client)
    assert waiting(redis_client) == [FIRST, LAST]


def test_forgotten_when_the_clerk_has_written_them_down(redis_client: Redis, tmp_path: Path) -> None:
    journal = Journal(tmp_path, host="local")
    journal.write(FIRST)
    journal.write(LAST)
    journal.deliver(redis_client)
    take(redis_client, note=True)
    journal.deliver(redis_client)
    assert journal.pending() == []
    assert not redis_client.exists(done_key(NAME))
    assert not waiting(redis_client)
    # The last word stays known, so that the same order does not run twice.
    assert journal.settled(LAST.apply)
    assert not journal.settled("another")


def test_sent_again_when_the_clerk_failed(
    redis_client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "RETRY_SECONDS", (0.0,))
    journal = Journal(tmp_path, host="local")
    journal.write(LAST)
    for _ in range(3):
        journal.deliver(redis_client)
        assert waiting(redis_client) == [LAST]
        take(redis_client, note=False)
    assert journal.settled(LAST.apply)


def test_not_sent_without_pause(redis_client: Redis, tmp_path: Path) -> None:
    journal = Journal(tmp_path, host="local")
    journal.write(LAST)
    journal.deliver(redis_client)
    take(redis_client, note=False)
    journal.deliver(redis_client)
    assert not waiting(redis_client)


def test_sent_again_by_the_next_process_after_redis_forgot(redis_server: RedisServer, tmp_path: Path) -> None:
    journal = Journal(tmp_path, host="local")
    journal.write(LAST)
    journal.deliver(redis_server.client())
    redis_server.client().flushall()
    Journal(tmp_path, host="local").deliver(redis_server.client())
    assert waiting(redis_server.client()) == [LAST]


def test_file_that_is_no_outcome_stops_nothing(redis_client: Redis, tmp_path: Path) -> None:
    journal = Journal(tmp_path, host="local")
    (tmp_path / "outcome-0-000000.json").write_bytes(b"{junk")
    journal.write(LAST)
    journal.deliver(redis_client)
    assert waiting(redis_client) == [LAST]
    assert (tmp_path / "outcome-0-000000.unreadable").exists()


def test_bounded(redis_client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_PENDING", 3)
    journal = Journal(tmp_path, host="local")
    for event in range(6):
        journal.write(replace(LAST, event=event))
    journal.deliver(redis_client)
    assert [outcome.event for outcome in waiting(redis_client)] == [3, 4, 5]
