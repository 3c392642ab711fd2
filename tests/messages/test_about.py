"""The root worker's report about itself, beside the snapshot, with the Redis rights of release 0.1.0."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from dockerfw.messages.about import About, about_key
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.signatures import fingerprint
from dockerfw.messages.snapshots import Snapshot, snapshot_key
from dockerfw.messages.space import Space
from dockerfw.version import VERSION
from tests.rig.namespace import Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import HOST, RootWorker
from tests.rig.signing import KEY

ABOUT = About(
    host=HOST,
    at="2026-05-03T12:00:00.000000Z",
    version="0.2.0",
    boot="b" * 36,
    offset=1000.5,
    every=60,
    state=Space(5, 10, None),
)


def test_a_written_report_reads_back_the_same() -> None:
    changed = replace(ABOUT, sets_changed=ABOUT.at, sets_change="a list was filled", lists_signer="ab")
    for about in (
        ABOUT,
        replace(ABOUT, state=None),
        replace(ABOUT, state=Space(0, 2**60, 7, True)),
        changed,
    ):
        read = About.from_json(load_json(dump_json(about.to_json())))
        if about.state is not None:
            assert read.state is not None
            assert read.state.files == about.state.files
        assert replace(read, state=None) == replace(about, state=None)


def test_unknown_keys_of_another_release_are_ignored() -> None:
    assert About.from_json({**ABOUT.to_json(), "weather": "fine"}) == ABOUT


def test_a_report_of_a_release_without_signatures_is_read() -> None:
    value = replace(ABOUT, signer="0123456789abcdef").to_json()
    assert About.from_json(value).signer == "0123456789abcdef"
    del value["signer"]
    assert About.from_json(value) == ABOUT


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"at": "yesterday"},
        {"host": "../"},
        {"state": {"free": -1}},
        {"offset": "1"},
        {"signer": "x" * 65},
        {"lists_signer": "x" * 65},
        {"sets_changed": "soon"},
        {"sets_change": "x" * 201},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_invalid_value_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MessageError):
        About.from_json({**ABOUT.to_json(), **change})


def test_the_redis_rights_of_release_0_1_0_cover_the_key() -> None:
    # From deploy/redis/users.acl of that release: the root worker may set the key, the pages may read it.
    assert fnmatchcase(about_key("local"), "dockerfw:progress:local:*")
    assert fnmatchcase(about_key("local"), "dockerfw:progress:*")


@pytest.mark.kernel
@pytest.mark.redis
def test_the_root_worker_reports_its_version_and_its_space(
    redis_server: RedisServer, namespace: Namespace, tmp_path: Path
) -> None:
    worker = RootWorker(redis_server, namespace, tmp_path).start()
    try:
        wait_until("a snapshot", lambda: worker.redis.exists(snapshot_key(HOST)))
        raw: Any = worker.redis.get(about_key(HOST))
        snapshot: Any = worker.redis.get(snapshot_key(HOST))
        about = About.from_json(load_json(raw))
        assert about.version == VERSION
        assert about.at >= Snapshot.from_json(load_json(snapshot)).taken_at
        assert about.signer == fingerprint(KEY.public_key())
        assert about.state is not None
        assert about.state.total > about.state.free > 0
        # The pages of release 0.1.0 refuse a snapshot with a new key.
        assert set(load_json(snapshot)["versions"]) == {"iptables", "kernel"}  # type: ignore[index]
    finally:
        worker.stop()
