"""The root worker looks by itself: it tells what differs and puts anchors back, with or without Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from dockerfw.agent.jobs import RootJobs
from dockerfw.document.document import digest, parse_document
from dockerfw.messages.codec import load_json
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.snapshots import snapshot_key
from dockerfw.store.state import StateDirectory
from dockerfw.worker.entries import read_call
from tests.rig.host_states import add_foreign, answer, document, order, run
from tests.rig.namespace import FAMILIES, Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import HOST, RootWorker, pop
from tests.rig.signing import write_signer

pytestmark = [pytest.mark.kernel, pytest.mark.redis]

# The shortest that the setting allows; everything is waited for.
EVERY = {"DOCKERFW_OBSERVE_SECONDS": "5"}


@pytest.fixture
def worker(redis_server: RedisServer, namespace: Namespace, tmp_path: Path) -> Iterator[RootWorker]:
    """A root worker that looks often."""
    namespace.add_interface()
    one = RootWorker(redis_server, namespace, tmp_path).start(**EVERY)
    yield one
    one.stop()
    print(one.words())


def keep(worker: RootWorker, *, heal: bool) -> None:
    """Have revision 1 confirmed."""
    settings = {"external_interfaces": ["ens33"], "heal_anchors": heal}
    value = worker.order("22", sequence=1, send=False)
    value["document"]["settings"] = settings
    value["digest"] = digest(parse_document(value["document"]))
    worker.send(value)
    assert worker.kept(value).state == "confirmed"


def waiting(worker: RootWorker) -> list[ConsoleEvent]:
    """Return the events on disk, the oldest first."""
    paths = sorted(
        (worker.state / "journal").glob("console-*.json"), key=lambda path: path.stat().st_mtime_ns
    )
    return [ConsoleEvent.from_json(load_json(path.read_bytes())) for path in paths]


def sent(worker: RootWorker) -> list[ConsoleEvent]:
    """Return the events on the clerk's queue, in their order."""
    found = []
    while (raw := pop(worker.redis)) is not None:
        data: Any = worker.redis.hget(f"rq:job:{raw.decode()}", "data")
        name, arguments = read_call(data)
        if name == "record_console":
            found.append(ConsoleEvent.from_json(arguments[0]))
    return found


def test_snapshots_are_stored_repeatedly_without_a_request(worker: RootWorker) -> None:
    wait_until("a snapshot", lambda: worker.snapshot() is not None)
    first = worker.snapshot()
    assert first is not None
    assert (first.host, first.confirmed) == (HOST, None)

    def another() -> bool:
        found = worker.snapshot()
        return found is not None and found.taken_at != first.taken_at

    wait_until("another snapshot", another)


def test_drift_is_reported_after_redis_was_away(worker: RootWorker, redis_server: RedisServer) -> None:
    keep(worker, heal=False)
    redis_server.stop()
    try:
        for family in FAMILIES:
            worker.namespace.iptables("-D", "INPUT", "-j", "FILTERS-HOST", family=family)
        wait_until("the event on disk", lambda: [each.verb for each in waiting(worker)] == ["drift"])
    finally:
        redis_server.start()
    seen: list[ConsoleEvent] = []

    def delivered() -> bool:
        seen.extend(sent(worker))
        return bool(seen)

    wait_until("the event at the clerk's", delivered)
    assert {(each.verb, each.actor, each.host) for each in seen} == {("drift", "root worker", HOST)}
    assert "INPUT has no jump to dockerfw" in seen[0].detail


def test_self_repair_restores_the_jumps_where_the_document_asks_for_it(worker: RootWorker) -> None:
    keep(worker, heal=True)
    for family in FAMILIES:
        worker.namespace.iptables("-D", "INPUT", "-j", "FILTERS-HOST", family=family)
    wait_until("the anchors", lambda: worker.held().count("-A INPUT -j FILTERS-HOST") == 2)
    wait_until("the event", lambda: "heal" in [each.verb for each in waiting(worker)])
    # One family's call may have been seen missing before the other's.
    assert list(dict.fromkeys(each.verb for each in waiting(worker))) == ["drift", "heal"]

    def is_reported() -> bool:
        snapshot = worker.snapshot()
        return snapshot is not None and snapshot.confirmed is not None

    wait_until("the snapshot", is_reported)
    # An apply comes through as ever.
    value = worker.order("23", sequence=2)
    assert worker.kept(value).state == "confirmed"


def test_one_look_in_a_window_and_the_next_one_after_it(
    inside: Namespace, state: StateDirectory, redis_client: Redis
) -> None:
    add_foreign(inside, "nft")
    jobs = RootJobs(
        host=HOST,
        state=state,
        connection=redis_client,
        telling=redis_client,
        signer=write_signer(state.path),
    )
    assert jobs.wants_look()
    assert run(order(document("22")), state).state == "awaiting"
    # The pages have to see what was loaded.
    assert jobs.wants_look()
    jobs.observe()
    jobs.note_look()
    assert not jobs.wants_look()
    redis_client.delete(snapshot_key(HOST))
    assert answer("keep", state).state == "confirmed"
    assert jobs.wants_look()
    jobs.watch()
    assert redis_client.exists(snapshot_key(HOST))
    assert run(order(document("23"), sequence=2), state).state == "awaiting"
    assert jobs.wants_look()
