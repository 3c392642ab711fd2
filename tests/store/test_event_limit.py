"""Events that wait for the clerk: how many, which are dropped first, and the count of the dropped ones."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from dockerfw.agent.journal import Journal
from dockerfw.messages.events import ConsoleEvent, Verb
from dockerfw.store import event_limit
from dockerfw.store.event_limit import LEFT_OUT, read_event
from dockerfw.store.outbox import Outbox
from dockerfw.worker.entries import done_key, host_job_id
from rules.applying.clerk_jobs import record_console
from rules.models import AuditEvent, Host

MOST = 6


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limit, so that a test reaches it soon."""
    monkeypatch.setattr(event_limit, "MAX_EVENTS", MOST)


def tell(directory: Path, verb: Verb, second: int) -> ConsoleEvent:
    """Write one event, with the age that it names."""
    event = ConsoleEvent(str(uuid4()), "local", verb, "alice", f"2026-05-03T12:00:{second:02}Z", "words")
    Outbox(directory).write(event)
    path = directory / f"console-{event.id}.json"
    if path.exists():
        os.utime(path, (1_000_000 + second,) * 2)
    return event


def waiting(directory: Path) -> list[str]:
    """Return the verbs and seconds of the waiting events, the oldest first."""
    events = [event for path in directory.glob("console-*.json") if (event := read_event(path))]
    return [f"{event.verb} {event.at[17:19]}" for event in sorted(events, key=lambda event: event.at)]


def test_the_oldest_events_are_dropped_first_and_console_events_last(tmp_path: Path) -> None:
    tell(tmp_path, "panic", 0)
    for second in range(1, 20):
        tell(tmp_path, "drift", second)
    assert waiting(tmp_path) == ["panic 00", *(f"drift {second}" for second in range(15, 20))]
    for second in range(20, 30):
        tell(tmp_path, "release", second)
    assert waiting(tmp_path) == [f"release {second}" for second in range(24, 30)]


def test_up_to_the_limit_no_event_is_dropped(tmp_path: Path) -> None:
    for second in range(MOST):
        tell(tmp_path, "drift", second)
    assert len(waiting(tmp_path)) == MOST
    assert not (tmp_path / LEFT_OUT).exists()


@pytest.mark.redis
@pytest.mark.django_db
def test_the_number_of_dropped_events_is_sent_as_an_event(tmp_path: Path, redis_client: Redis) -> None:
    Host.objects.create(name="local")
    for second in range(20):
        tell(tmp_path, "drift", second)
    left = event_limit._read(tmp_path)
    assert left is not None
    assert (left.count, left.first, left.last) == (14, "2026-05-03T12:00:00Z", "2026-05-03T12:00:13Z")
    Journal(tmp_path, host="local").deliver(redis_client)
    assert not (tmp_path / LEFT_OUT).exists()
    told = [event for path in tmp_path.glob("console-*.json") if (event := read_event(path))]
    assert len(told) == MOST + 1
    (event,) = [event for event in told if event.verb == "left-out"]
    assert event.id == left.id
    assert event.detail.startswith("14 events were dropped, from 2026-05-03T12:00:00Z to")
    # The clerk records it like any other event.
    job_id = host_job_id("local", f"console-{event.id}")
    record_console(job_id, dict(event.to_json()))
    assert AuditEvent.objects.get(verb="left-out").detail == event.detail
    redis_client.set(done_key(job_id), "1")
    Journal(tmp_path, host="local").deliver(redis_client)
    assert not (tmp_path / f"console-{event.id}.json").exists()


def test_an_unreadable_file_is_dropped_first_and_a_broken_count_starts_anew(tmp_path: Path) -> None:
    (tmp_path / LEFT_OUT).write_text("nonsense")
    broken = tmp_path / "console-broken.json"
    broken.write_text("nonsense")
    os.utime(broken, (1, 1))
    for second in range(MOST):
        tell(tmp_path, "panic", second)
    assert not broken.exists()
    left = event_limit._read(tmp_path)
    assert left is not None
    assert left.count == 1
