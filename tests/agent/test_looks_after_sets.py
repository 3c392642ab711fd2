"""A list that is filled and a set that the binder fills: the root worker says so, and looks at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dockerfw.chains.group_sets import bound_set_name, group_definition
from dockerfw.document.document import digest, parse_document
from dockerfw.document.values import Group
from dockerfw.host.clock import utc_now
from dockerfw.messages.about import About, about_key
from dockerfw.messages.codec import load_json
from dockerfw.messages.signatures import sign
from dockerfw.messages.snapshots import Snapshot, snapshot_key
from tests.rig.bound_sets import published
from tests.rig.docker_proxy import docker_proxy
from tests.rig.list_orders import LISTS_KEY, bound_list, list_order, write_lists_signer
from tests.rig.namespace import Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import HOST, RootWorker

pytestmark = [pytest.mark.redis, pytest.mark.kernel]

FEED = {"kind": "feed", "url": "https://lists.example.org/partners"}
DEFINITION = group_definition(Group("partners", "feed", url=FEED["url"]))
LISTED: dict[str, Any] = {
    "format": "dockerfw/2",
    "settings": {"external_interfaces": ["ens33"]},
    "groups": {"partners": FEED},
    "rules": [{"id": "a1b2", "scope": "host", "sources": ["@partners"]}],
}


@pytest.fixture
def worker(redis_server: RedisServer, namespace: Namespace, tmp_path: Path) -> Iterator[RootWorker]:
    """A root worker that looks after orders, and otherwise once an hour."""
    namespace.add_interface()
    worker = RootWorker(redis_server, namespace, tmp_path)
    signer = str(write_lists_signer(tmp_path))
    worker.start(DOCKERFW_OBSERVE_SECONDS="3600", DOCKERFW_LISTS_SIGNER_FILE=signer).wait_until_serving()
    yield worker
    worker.stop()
    print(worker.words())


def about(worker: RootWorker) -> About:
    raw: Any = worker.redis.get(about_key(HOST))
    return About.from_json(load_json(raw))


def snapshot(worker: RootWorker) -> Snapshot | None:
    raw: Any = worker.redis.get(snapshot_key(HOST))
    return None if raw is None else Snapshot.from_json(load_json(raw))


def members(worker: RootWorker, name: str) -> tuple[str, ...]:
    """Return what the last look has of a set."""
    seen = snapshot(worker)
    return next((each.members or () for each in seen.sets if each.name == name), ()) if seen else ()


def holds(worker: RootWorker, name: str, member: str) -> bool:
    return members(worker, name) == (member,)


def load(worker: RootWorker, document: dict[str, Any], sequence: int) -> dict[str, Any]:
    """Load a document and wait for the look in its window."""
    order = worker.order(
        sequence=sequence, send=False, document=document, digest=digest(parse_document(document))
    )
    worker.send(order)
    wait_until("the window", lambda: (told := worker.progress(order)) and told.state == "awaiting")
    opened = utc_now()
    wait_until("the look", lambda: (seen := snapshot(worker)) and seen.taken_at > opened[:19])
    return order


def send_list(worker: RootWorker, sequence: int, *networks: str) -> None:
    one, parts = bound_list(networks, definition=DEFINITION, number=sequence)
    for part in parts:
        worker.put("list_part", sign(part.to_json(), LISTS_KEY))
    worker.put("bind_lists", sign(list_order(one, sequence=sequence).to_json(), LISTS_KEY))


@pytest.mark.parametrize("keep", [False, True])
def test_a_filled_list_is_told_and_seen_at_once(worker: RootWorker, keep: bool) -> None:
    order = load(worker, LISTED, 1)
    if keep:
        worker.answer(order, "keep")
        wait_until("Keep", lambda: (told := worker.progress(order)) and told.state == "confirmed")
    name = bound_set_name(DEFINITION, 4)
    for sequence, network in enumerate(("192.0.2.0/24", "198.51.100.0/24"), 2):
        before = utc_now()
        send_list(worker, sequence, network)
        wait_until("the look after the list", partial(holds, worker, name, network))
        told, seen = about(worker), snapshot(worker)
        assert told.sets_change == "a list was filled"
        assert seen is not None
        assert before < told.sets_changed < seen.taken_at
        time.sleep(0.01)


def test_a_set_that_follows_the_host_is_told_and_seen(worker: RootWorker) -> None:
    order = load(worker, published("8080"), 1)
    worker.answer(order, "keep")
    wait_until("Keep", lambda: (told := worker.progress(order)) and told.state == "confirmed")
    before = utc_now()
    with docker_proxy(worker.namespace, 8080):
        wait_until("the look after the change", lambda: members(worker, "dockerfw4-proxy") != ())
    told, seen = about(worker), snapshot(worker)
    assert told.sets_change == "the addresses of containers changed"
    assert seen is not None
    assert before < told.sets_changed < seen.taken_at
