"""What the root worker tells about itself: beside the snapshot, within the rights that release 0.1.0 gave."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from dockerfw.messages.about import About, about_key
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.snapshots import Snapshot, snapshot_key
from dockerfw.messages.space import Space
from dockerfw.version import VERSION
from tests.rig.namespace import Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import HOST, RootWorker

ABOUT = About(
    host=HOST,
    at="2026-05-03T12:00:00.000000Z",
    version="0.2.0",
    boot="b" * 36,
    offset=1000.5,
    every=60,
    state=Space(5, 10, None),
)


def test_what_is_written_is_read() -> None:
    for about in (ABOUT, replace(ABOUT, state=None), replace(ABOUT, state=Space(0, 2**60, 7, True))):
        read = About.from_json(load_json(dump_json(about.to_json())))
        if about.state is not None:
            assert read.state is not None
            assert read.state.files == about.state.files
        assert replace(read, state=None) == replace(about, state=None)


def test_keys_that_another_release_adds_are_passed_over() -> None:
    assert About.from_json({**ABOUT.to_json(), "weather": "fine"}) == ABOUT


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"at": "yesterday"}, {"host": "../"}, {"state": {"free": -1}}, {"offset": "1"}],
    ids=lambda change: next(iter(change)),
)
def test_what_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MessageError):
        About.from_json({**ABOUT.to_json(), **change})


def test_the_key_is_one_that_release_0_1_0_lets_both_sides_use() -> None:
    # From deploy/redis/users.acl of that release: the root worker may set it, the pages may read it.
    assert fnmatchcase(about_key("local"), "dockerfw:progress:local:*")
    assert fnmatchcase(about_key("local"), "dockerfw:progress:*")


@pytest.mark.kernel
@pytest.mark.redis
def test_the_root_worker_tells_its_version_and_its_room(
    redis_server: RedisServer, namespace: Namespace, tmp_path: Path
) -> None:
    worker = RootWorker(redis_server, namespace, tmp_path).start()
    try:
        wait_until("a snapshot", 20, lambda: worker.redis.exists(snapshot_key(HOST)))
        raw: Any = worker.redis.get(about_key(HOST))
        snapshot: Any = worker.redis.get(snapshot_key(HOST))
        about = About.from_json(load_json(raw))
        assert about.version == VERSION
        assert about.at >= Snapshot.from_json(load_json(snapshot)).taken_at
        assert about.state is not None
        assert about.state.total > about.state.free > 0
        # Pages of release 0.1.0 refuse a snapshot that holds anything new.
        assert set(load_json(snapshot)["versions"]) == {"iptables", "kernel"}  # type: ignore[index]
    finally:
        worker.stop()
