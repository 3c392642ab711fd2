"""When an apply last changed the kernel's rules, by what the database and the root worker's reports say."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from dockerfw.messages.about import About, about_key
from dockerfw.messages.outcomes import REFUSED_EVENT
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.models import Apply, Host
from rules.seen.change_selectors import KernelChange, last_change
from rules.seen.snapshot_selectors import latest_snapshot
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import outcome_of, progress_store, snapshot_store, window_of
from tests.rig.redis_fixtures import RedisServer

# What happened before the tests began, so that nothing depends on how long they take.
NOON = timezone.now() - timedelta(minutes=10)
# Of a moment that no run of the tests reaches.
IN_A_DAY = -86_400

pytestmark = [pytest.mark.django_db, pytest.mark.redis]


@pytest.fixture
def apply(host: Host, alice: Actor, queue: RedisServer) -> Apply:
    """An unfinished apply of revision 2, after one of revision 1 of which no step is known."""
    confirm(host, alice)
    revision = confirm(host, alice)
    newest = revision.applies.get()
    Apply.objects.filter(pk=newest.pk).update(state="queued", finished_at=None, steps=[], last_event=-1)
    newest.refresh_from_db()
    return newest


def steps(*ages: tuple[str, float]) -> dict[str, Any]:
    """Return the steps that began so many seconds before NOON."""
    return {
        "steps": [
            {"name": name, "state": "done", "at": ago(age), "seconds": 0.1, "detail": ""}
            for name, age in ages
        ]
    }


def ago(seconds: float) -> str:
    return (NOON - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def told(change: KernelChange | None) -> tuple[str, int] | None:
    """Return what changed and how many seconds before NOON."""
    return None if change is None else (change.text, round((NOON - change.at).total_seconds()))


LOADED = steps(("lock", 9), ("load-ipv4", 7), ("load-ipv6", 6), ("read-back", 5), ("report", 4))


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(
    ("state", "changes", "expected"),
    [
        ("loading", steps(("lock", 9), ("rehearse", 8)), None),
        ("loading", steps(("lock", 9), ("load-ipv4", 7)), ("revision 2 was loaded", 7)),
        ("awaiting", LOADED, ("revision 2 was loaded", 5)),
        ("confirmed", LOADED, ("revision 2 was loaded", 5)),
        ("rolled_back", {**LOADED, "at": ago(2)}, ("revision 2 was rolled back", 2)),
        ("rolled_back", {"at": ago(2)}, ("revision 2 was rolled back", 2)),
        ("failed", steps(("lock", 9)), None),
        ("failed", {**LOADED, "at": ago(1)}, ("the apply of revision 2 failed", 1)),
    ],
)
def test_each_state(
    apply: Apply, state: str, changes: dict[str, object], expected: tuple[str, int] | None, recorded: bool
) -> None:
    outcome = outcome_of(apply, state, 3, changes)
    # The clerk may be slow: the root worker's own report counts before.
    outcome_record(outcome=outcome) if recorded else progress_store(outcome)
    assert told(last_change(apply.host)) == expected


def test_a_window_without_steps_was_opened_after_the_load(apply: Apply) -> None:
    window: dict[str, Any] = {"window": window_of(60, left=40)}
    outcome_record(outcome=outcome_of(apply, "awaiting", 0, window))
    opened = datetime.fromisoformat(window["window"]["deadline"]) - timedelta(seconds=60)
    assert last_change(apply.host) == KernelChange(opened, "revision 2 was loaded")


def test_at_the_end_of_its_window_a_revision_counts_as_replaced(apply: Apply) -> None:
    outcome_record(outcome=outcome_of(apply, "awaiting", 0, LOADED))
    Apply.objects.update(window_deadline=NOON)
    assert told(last_change(apply.host)) == ("the confirmation window of revision 2 ended", 0)


def test_an_apply_that_changed_nothing_does_not_hide_an_earlier_one(apply: Apply, alice: Actor) -> None:
    outcome_record(outcome=outcome_of(apply, "confirmed", 0, LOADED))
    third = confirm(apply.host, alice).applies.get()
    Apply.objects.filter(pk=third.pk).update(state="failed", steps=steps(("lock", 1))["steps"])
    assert told(last_change(apply.host)) == ("revision 2 was loaded", 5)


def test_finished_applies_are_read_once_until_they_are_reported_anew(
    apply: Apply, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # One that was given up counts as failed until the root worker reports after all.
    Apply.objects.filter(pk=apply.pk).update(state="failed", last_event=REFUSED_EVENT)
    assert last_change(apply.host) is None
    with django_assert_num_queries(1):
        assert last_change(apply.host) is None
    outcome_record(outcome=outcome_of(apply, "failed", REFUSED_EVENT + 1, {**LOADED, "at": ago(1)}))
    assert told(last_change(apply.host)) == ("the apply of revision 2 failed", 1)
    with django_assert_num_queries(1):
        assert told(last_change(apply.host)) == ("the apply of revision 2 failed", 1)


def about_store(host: Host, queue: RedisServer, age: float) -> None:
    about = About(
        host.name,
        ago(0),
        "1",
        "boot",
        0.0,
        60,
        None,
        sets_changed=ago(age),
        sets_change="a list was filled",
    )
    queue.client().set(about_key(host.name), json.dumps(about.to_json()))


def test_a_list_and_a_new_address_of_a_container_change_what_the_rules_match(
    apply: Apply, queue: RedisServer
) -> None:
    about_store(apply.host, queue, 3)
    assert told(last_change(apply.host)) == ("a list was filled", 3)
    outcome_record(outcome=outcome_of(apply, "confirmed", 0, LOADED))
    assert told(last_change(apply.host)) == ("a list was filled", 3)
    about_store(apply.host, queue, 8)
    assert told(last_change(apply.host)) == ("revision 2 was loaded", 5)
    about_store(apply.host, queue, IN_A_DAY)
    assert told(last_change(apply.host)) == ("revision 2 was loaded", 5)


def test_a_look_from_before_a_filled_list_is_overtaken(apply: Apply, queue: RedisServer) -> None:
    about_store(apply.host, queue, 0)
    age = (timezone.now() - NOON).total_seconds()
    snapshot_store(apply.host, age=age + 60)
    view = latest_snapshot(apply.host)
    assert view is not None
    assert view.stale
    assert "before a list was filled." in view.overtaken
    snapshot_store(apply.host, age=age - 2)
    view = latest_snapshot(apply.host)
    assert view is not None
    assert view.overtaken_by is None


def test_a_moment_in_the_future_is_of_a_clock_that_was_set_back(apply: Apply) -> None:
    outcome_record(outcome=outcome_of(apply, "confirmed", 0, steps(("read-back", IN_A_DAY))))
    assert last_change(apply.host) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-600, "revision 2 was loaded. The root worker has not reported since."),
        # By a clock that is a little ahead, so that the test may take its time.
        (14, "revision 2 was loaded. The next look comes at once."),
    ],
)
def test_only_a_snapshot_from_before_the_change_is_overtaken(
    apply: Apply, seconds: float, words: str
) -> None:
    at = timezone.now() + timedelta(seconds=seconds)
    begun = steps(("read-back", (NOON - at).total_seconds()))
    outcome_record(outcome=outcome_of(apply, "confirmed", 0, begun))
    snapshot_store(apply.host, age=(timezone.now() - at).total_seconds() + 60)
    view = latest_snapshot(apply.host)
    assert view is not None
    assert view.stale
    assert view.expected is (seconds > 0)
    assert view.overtaken.endswith(f"ago, before {words}")
    snapshot_store(apply.host, age=(timezone.now() - at).total_seconds() - 2)
    view = latest_snapshot(apply.host)
    assert view is not None
    assert (view.overtaken, view.expected) == ("", False)
