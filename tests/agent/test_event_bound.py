"""What waits for a clerk that is away: so many events, the console's longest, and a count of the others."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from dockerfw.agent import event_bound as console_bound
from dockerfw.agent.event_bound import LEFT_OUT, read_event
from dockerfw.agent.event_journal import console_deliver, console_write
from dockerfw.messages.events import ConsoleEvent, Verb
from dockerfw.worker.entries import done_key, host_job_id
from rules.applying.clerk_jobs import record_console
from rules.models import AuditEvent, Host

MOST = 6


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the bound one that a test reaches soon."""
    monkeypatch.setattr(console_bound, "MAX_WAITING", MOST)


def tell(directory: Path, verb: Verb, second: int) -> ConsoleEvent:
    """Keep one event, as old as it says."""
    event = ConsoleEvent(str(uuid4()), "local", verb, "somebody", f"2026-05-03T12:00:{second:02}Z", "words")
    console_write(directory, event)
    path = directory / f"console-{event.id}.json"
    if path.exists():
        os.utime(path, (1_000_000 + second,) * 2)
    return event


def waiting(directory: Path) -> list[str]:
    """Return the verbs and seconds that wait, the oldest first."""
    events = [event for path in directory.glob("console-*.json") if (event := read_event(path))]
    return [f"{event.verb} {event.at[17:19]}" for event in sorted(events, key=lambda event: event.at)]


def test_the_newest_stay_and_the_console_stays_longest(tmp_path: Path) -> None:
    tell(tmp_path, "panic", 0)
    for second in range(1, 20):
        tell(tmp_path, "drift", second)
    assert waiting(tmp_path) == ["panic 00", *(f"drift {second}" for second in range(15, 20))]
    for second in range(20, 30):
        tell(tmp_path, "release", second)
    assert waiting(tmp_path) == [f"release {second}" for second in range(24, 30)]


def test_up_to_the_bound_nothing_is_left_out(tmp_path: Path) -> None:
    for second in range(MOST):
        tell(tmp_path, "drift", second)
    assert len(waiting(tmp_path)) == MOST
    assert not (tmp_path / LEFT_OUT).exists()


@pytest.mark.redis
@pytest.mark.django_db
def test_what_was_left_out_is_told_once_somebody_listens(tmp_path: Path, redis_client: Redis) -> None:
    Host.objects.create(name="local")
    for second in range(20):
        tell(tmp_path, "drift", second)
    left = console_bound._read(tmp_path)
    assert left is not None
    assert (left.count, left.first, left.last) == (14, "2026-05-03T12:00:00Z", "2026-05-03T12:00:13Z")
    console_deliver(tmp_path, redis_client, host="local")
    assert not (tmp_path / LEFT_OUT).exists()
    told = [event for path in tmp_path.glob("console-*.json") if (event := read_event(path))]
    assert len(told) == MOST + 1
    (event,) = [event for event in told if event.verb == "left-out"]
    assert event.id == left.id
    assert event.detail.startswith("14 events were left out, from 2026-05-03T12:00:00Z to")
    # The clerk takes it like any other.
    job_id = host_job_id("local", f"console-{event.id}")
    record_console(job_id, dict(event.to_json()))
    assert AuditEvent.objects.get(verb="left-out").detail == event.detail
    redis_client.set(done_key(job_id), "1")
    console_deliver(tmp_path, redis_client, host="local")
    assert not (tmp_path / f"console-{event.id}.json").exists()


def test_an_unreadable_file_goes_first_and_a_broken_count_begins_anew(tmp_path: Path) -> None:
    (tmp_path / LEFT_OUT).write_text("nonsense")
    broken = tmp_path / "console-broken.json"
    broken.write_text("nonsense")
    os.utime(broken, (1, 1))
    for second in range(MOST):
        tell(tmp_path, "panic", second)
    assert not broken.exists()
    left = console_bound._read(tmp_path)
    assert left is not None
    assert left.count == 1
