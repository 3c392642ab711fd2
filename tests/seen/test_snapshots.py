"""Reading a new snapshot: by one thread, and only as far as it differs from the one before."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from dockerfw.iptables import recount
from dockerfw.iptables.model import FAMILIES, Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.errors import MessageError
from dockerfw.messages.snapshots import Snapshot
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.link import client
from rules.models import Host
from rules.seen import snapshot_selectors
from rules.seen.snapshot_selectors import SnapshotView, latest_snapshot, look
from tests.rig.kernel_reports import save_of, snapshot_store
from tests.rig.namespace import PATIENCE
from tests.rig.redis_fixtures import RedisServer

pytestmark = [pytest.mark.django_db, pytest.mark.redis]
VIEWERS = 8


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The saves that are parsed from their first line to their last."""
    texts: list[str] = []

    def count(text: str) -> Ruleset:
        texts.append(text)
        return parse_save(text)

    monkeypatch.setattr(snapshot_selectors, "parse_save", count)
    monkeypatch.setattr(recount, "parse_save", count)
    return texts


@pytest.fixture
def with_rule(host: Host, alice: Actor, queue: RedisServer) -> Host:
    """A host whose kernel will hold a rule."""
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    return host


def seen(host: Host) -> SnapshotView:
    view = latest_snapshot(host)
    assert view is not None
    return view


def test_of_moved_counters_only_these_are_read(with_rule: Host, parsed: list[str]) -> None:
    document = draft_document(with_rule)
    snapshot_store(with_rule, document, 1, packets=10, age=4)
    before = seen(with_rule)
    assert len(parsed) == 2
    snapshot_store(with_rule, document, 1, packets=30, age=2, forget=False)
    after = seen(with_rule)
    assert len(parsed) == 2
    assert after.rulesets == {family: parse_save(save) for family, save in after.snapshot.saves.items()}
    assert after.rulesets[4].chain("filter", "DOCKER-USER") is before.rulesets[4].chain(
        "filter", "DOCKER-USER"
    )
    # Rules that are added are read with all others of their family.
    saves = {**after.snapshot.saves, 4: save_of(document, 4, 2, packets=31)}
    snapshot_store(with_rule, saves=saves, age=1, forget=False)
    assert seen(with_rule).rulesets == {4: parse_save(saves[4]), 6: after.rulesets[6]}
    assert len(parsed) == 3


def test_while_nothing_moves_the_saves_are_held_once(with_rule: Host, parsed: list[str]) -> None:
    document = draft_document(with_rule)
    saves = {family: save_of(document, family, 1, packets=10) for family in FAMILIES}
    stamped = {family: f"# Generated at 10:00\n{save}" for family, save in saves.items()}
    later = {family: f"# Generated at 10:02\n{save}" for family, save in saves.items()}
    moved = {**later, 6: f"# Generated at 10:04\n{save_of(document, 6, 1, packets=11)}"}
    snapshot_store(with_rule, saves=stamped, age=4)
    before = seen(with_rule)
    snapshot_store(with_rule, saves=later, age=2, forget=False)
    after = seen(with_rule)
    assert after.taken_at > before.taken_at
    assert all(after.snapshot.saves[family] is before.snapshot.saves[family] for family in FAMILIES)
    assert all(after.rulesets[family] is before.rulesets[family] for family in FAMILIES)
    snapshot_store(with_rule, saves=moved, age=1, forget=False)
    assert seen(with_rule).snapshot.saves == moved
    assert len(parsed) == 2


def test_many_viewers_read_a_new_snapshot_once(
    with_rule: Host, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_store(with_rule, draft_document(with_rule), 1)
    read: list[str] = []
    barrier, head, load = Barrier(VIEWERS), client.snapshot_head, client.snapshot_read

    def head_together(host: str) -> bytes:
        found = head(host)
        # All of them see that it is new before one reads it.
        with contextlib.suppress(Exception):
            barrier.wait(PATIENCE)
        barrier.abort()
        return found

    def count(host: str) -> bytes | None:
        read.append(host)
        return load(host)

    monkeypatch.setattr(client, "snapshot_head", head_together)
    monkeypatch.setattr(client, "snapshot_read", count)
    with ThreadPoolExecutor(VIEWERS) as viewers:
        found = list(viewers.map(lambda _: snapshot_selectors._look(with_rule).view, range(VIEWERS)))
    assert read == [with_rule.name]
    assert len(parsed) == 2
    assert all(view is found[0] is not None for view in found)


def test_after_a_snapshot_that_cannot_be_read_nobody_waits(
    with_rule: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(value: object) -> Snapshot:
        raise MessageError("host", "is missing")

    snapshot_store(with_rule, draft_document(with_rule), 1)
    with monkeypatch.context() as wrong:
        wrong.setattr(Snapshot, "from_json", refuse)
        assert "cannot be read" in look(with_rule).problem
    assert seen(with_rule).rulesets[4].tables
