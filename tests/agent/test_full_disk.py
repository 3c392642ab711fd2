"""A state directory that is really full: nothing is loaded, healed or lost, and it is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockerfw.document.document import digest, parse_document
from dockerfw.messages.about import About, about_key
from dockerfw.messages.codec import load_json
from dockerfw.messages.outcomes import Outcome
from dockerfw.store.event_limit import read_event
from tests.faults.disk import SmallDisk
from tests.rig.namespace import Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import HOST, RootWorker

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.redis,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system"),
]

ANCHOR = "-A INPUT -j FILTERS-HOST"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 4 MiB that only the root worker sees."""
    small = SmallDisk(tmp_path / "disk", size="4m")
    yield small
    small.close()


@pytest.fixture
def worker(
    redis_server: RedisServer, namespace: Namespace, tmp_path: Path, disk: SmallDisk
) -> Iterator[RootWorker]:
    """A root worker on the small disk that looks often; what it has confirmed heals its anchors."""
    namespace.add_interface()
    one = RootWorker(redis_server, namespace, tmp_path)
    one.environment["DOCKERFW_STATE_DIR"] = str(disk.mount / "state")
    one.state = disk.seen / "state"
    one.start(*disk.prefix, DOCKERFW_OBSERVE_SECONDS="5")
    try:
        one.wait_until_serving()
        order = one.order("22", sequence=1, send=False)
        order["document"]["settings"]["heal_anchors"] = True
        order["digest"] = digest(parse_document(order["document"]))
        one.send(order)
        assert one.kept(order).state == "confirmed"
        yield one
    finally:
        one.stop()
        print(one.words())


def about(worker: RootWorker) -> About:
    raw: Any = worker.redis.get(about_key(HOST))
    return About.from_json(load_json(raw))


def room(worker: RootWorker) -> str:
    space = about(worker).state
    assert space is not None
    return space.room


def sentence(outcome: Outcome) -> str:
    assert outcome.state == "failed"
    assert outcome.error is not None
    return outcome.error.summary


def rules(worker: RootWorker) -> list[str]:
    """Return both families' filter tables without what changes by itself."""
    return [line for line in worker.held().splitlines() if not line.startswith(("#", ":"))]


def verbs(worker: RootWorker) -> set[str]:
    """Return what waits to be told of what was noticed."""
    events = (read_event(path) for path in (worker.state / "journal").glob("console-*.json"))
    return {event.verb for event in events if event is not None}


def test_an_apply_is_refused_before_the_load_and_works_again(worker: RootWorker, disk: SmallDisk) -> None:
    before, boot = rules(worker), sorted(path.read_bytes() for path in (worker.state / "boot").iterdir())
    disk.fill()
    refused = worker.order("443", sequence=2)
    words = sentence(worker.outcome(refused))
    assert words.startswith(f"The file system of {disk.mount}/state is full (No space left on device).")
    assert words.endswith("Nothing was changed in the kernel.")
    assert rules(worker) == before
    assert sorted(path.read_bytes() for path in (worker.state / "boot").iterdir()) == boot
    # The clerk hears of it: from the journal's reserve, or straight away.
    wait_until("the clerk's job", lambda: [o for o in worker.delivered() if o.state == "failed"])
    wait_until("the root worker telling that it is full", lambda: room(worker) == "scarce")
    disk.heal()
    again = worker.order("443", sequence=3)
    assert worker.kept(again).state == "confirmed"
    assert any("443" in line for line in rules(worker))


def test_a_read_only_file_system_is_named(worker: RootWorker, disk: SmallDisk) -> None:
    before = rules(worker)
    disk.make_read_only()
    words = sentence(worker.outcome(worker.order("443", sequence=2)))
    assert words.startswith(f"The file system of {disk.mount}/state is read-only.")
    assert rules(worker) == before
    wait_until("the root worker telling it", lambda: about(worker).state.read_only)  # type: ignore[union-attr]
    disk.heal()
    assert worker.kept(worker.order("443", sequence=3)).state == "confirmed"


def test_self_repair_waits_for_disk_space(worker: RootWorker, disk: SmallDisk) -> None:
    def looked() -> str:
        return about(worker).at

    disk.fill()
    worker.namespace.iptables("-D", "INPUT", "-j", "FILTERS-HOST")
    first = looked()
    wait_until("two looks", lambda: looked() > first)
    second = looked()
    wait_until("two looks", lambda: looked() > second)
    # How often that was tried could not be remembered, so it is not tried; the dashboard says why.
    assert ANCHOR not in worker.namespace.save("nft", 4).decode()
    assert room(worker) == "scarce"
    disk.heal()
    wait_until("the anchor", lambda: ANCHOR in worker.namespace.save("nft", 4).decode())
    wait_until("what was noticed and done", lambda: verbs(worker) >= {"drift", "heal"})
