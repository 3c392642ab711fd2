"""The journal on a real Redis: letters are on disk first, sent in order until recorded, and limited."""

from __future__ import annotations

import json
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
APPLY, EVENT, LEFT_OUT = LAST.apply, f"{LAST.apply[:-1]}1", f"{LAST.apply[:-1]}2"
# As earlier versions wrote them: JSON without spaces, under these names.
OLD_LETTERS = {
    f"outcome-{APPLY}-000009.json": (
        '{"format":"dockerfw-outcome/1","apply":"0b8d6a1e-9c2f-4d53-8a77-0123456789ab","host":"renamed","event":9,'
        '"state":"failed","at":"2026-01-31T12:00:00.123456Z","steps":[{"name":"lock","state":"done",'
        '"at":"2026-01-31T12:00:00.123456Z","seconds":0.001,"detail":""}],"error":{"step":"load-ipv4",'
        '"summary":"did not load","command":["iptables-nft-restore","-n"],"exit_status":1,"stderr":"",'
        '"line_number":3,"line":"-A X"},"loaded":null,"window":null,"way_back":null}'
    ),
    f"console-{EVENT}.json": (
        '{"format":"dockerfw-console/1","id":"0b8d6a1e-9c2f-4d53-8a77-0123456789a1","host":"local",'
        '"verb":"panic","actor":"alice (console)","at":"2026-01-31T12:00:00Z","detail":"All."}'
    ),
    "left-out.json": json.dumps(
        {"id": LEFT_OUT, "count": 14, "first": "2026-05-03T12:00:00Z", "last": "2026-05-03T12:00:13Z"}
    ),
}
NAME = f"firewall-local_outcome-{LAST.apply}-000009"


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
    """Empty the clerk's queue as its worker does, and leave a note if the jobs worked."""
    while (raw := redis.lpop("rq:queue:clerk")) is not None:
        assert isinstance(raw, bytes)
        redis.delete(job_key(raw.decode()))
        if note:
            redis.set(done_key(raw.decode()), "1")


def test_letters_are_sent_in_order_and_once_while_they_wait(redis_client: Redis, tmp_path: Path) -> None:
    journal = Journal(tmp_path, host="local")
    journal.write(FIRST)
    journal.write(LAST)
    for _ in range(3):
        journal.deliver(redis_client)
    assert waiting(redis_client) == [FIRST, LAST]


def test_letters_are_forgotten_when_the_clerk_has_recorded_them(redis_client: Redis, tmp_path: Path) -> None:
    journal = Journal(tmp_path, host="local")
    journal.write(FIRST)
    journal.write(LAST)
    journal.deliver(redis_client)
    take(redis_client, note=True)
    journal.deliver(redis_client)
    assert journal.pending() == []
    assert not redis_client.exists(done_key(NAME))
    assert not waiting(redis_client)
    # The last outcome stays known, so that the same order does not run twice.
    assert journal.settled(LAST.apply)
    assert not journal.settled("another")


def test_a_letter_is_sent_again_when_the_clerk_failed(
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


def test_a_letter_is_not_sent_again_without_a_pause(redis_client: Redis, tmp_path: Path) -> None:
    journal = Journal(tmp_path, host="local")
    journal.write(LAST)
    journal.deliver(redis_client)
    take(redis_client, note=False)
    journal.deliver(redis_client)
    assert not waiting(redis_client)


def test_the_next_process_sends_again_what_redis_forgot(redis_server: RedisServer, tmp_path: Path) -> None:
    journal = Journal(tmp_path, host="local")
    journal.write(LAST)
    journal.deliver(redis_server.client())
    redis_server.client().flushall()
    Journal(tmp_path, host="local").deliver(redis_server.client())
    assert waiting(redis_server.client()) == [LAST]


def test_an_unreadable_letter_does_not_hold_back_the_others(redis_client: Redis, tmp_path: Path) -> None:
    journal = Journal(tmp_path, host="local")
    (tmp_path / "outcome-0-000000.json").write_bytes(b"{junk")
    (tmp_path / "console-0.json").mkdir()
    journal.write(LAST)
    with pytest.raises(IsADirectoryError):
        journal.deliver(redis_client)
    assert waiting(redis_client) == [LAST]
    assert (tmp_path / "outcome-0-000000.unreadable").exists()


def test_letters_of_earlier_versions_are_delivered(redis_client: Redis, tmp_path: Path) -> None:
    for name, content in OLD_LETTERS.items():
        (tmp_path / name).write_text(content)
    Journal(tmp_path, host="renamed").deliver(redis_client)
    ids: Any = redis_client.lrange("rq:queue:clerk", 0, -1)
    sent = {}
    for raw in ids:
        data: Any = redis_client.hget(job_key(raw.decode()), "data")
        sent[raw.decode()] = read_call(data)
    name, (outcome,) = sent[f"firewall-renamed_outcome-{APPLY}-000009"]
    assert (name, outcome) == ("record_outcome", json.loads(OLD_LETTERS[f"outcome-{APPLY}-000009.json"]))
    name, (event,) = sent[f"firewall-renamed_console-{EVENT}"]
    # Only the root worker knows its host for sure.
    expected = {**json.loads(OLD_LETTERS[f"console-{EVENT}.json"]), "host": "renamed"}
    assert (name, event) == ("record_console", expected)
    name, (left,) = sent[f"firewall-renamed_console-{LEFT_OUT}"]
    assert isinstance(left, dict)
    assert left["detail"].startswith(
        "14 events were dropped, from 2026-05-03T12:00:00Z to 2026-05-03T12:00:13Z"
    )
    assert not (tmp_path / "left-out.json").exists()


def test_the_oldest_outcomes_are_dropped(
    redis_client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_OUTCOMES", 3)
    journal = Journal(tmp_path, host="local")
    for event in range(6):
        journal.write(replace(LAST, event=event))
    journal.deliver(redis_client)
    assert [outcome.event for outcome in waiting(redis_client)] == [3, 4, 5]
