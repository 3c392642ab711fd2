"""Offered ports and published ports without a rule, computed once for equal snapshots."""

from __future__ import annotations

import pytest

from dockerfw.messages.surroundings import PublishedPort
from rules.audit.actors import Actor
from rules.draft.rule_services import rule_create
from rules.draft.warning_selectors import offers_in, published_without_rule
from rules.models import Host
from rules.seen.snapshot_selectors import SnapshotView, latest_snapshot
from tests.rig.kernel_reports import snapshot_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("queue")]

WEB = PublishedPort(4, "tcp", "", 8080, "172.17.0.2", 80)
SQL = PublishedPort(4, "tcp", "", 5432, "172.17.0.3", 5432)


def seen(host: Host, *published: PublishedPort) -> SnapshotView:
    snapshot_store(host, None, around={"published": published})
    view = latest_snapshot(host)
    assert view is not None
    return view


def test_what_was_seen_again_is_not_worked_out_again(host: Host) -> None:
    first, again = seen(host, WEB, SQL), seen(host, WEB, SQL)
    assert again.taken_at > first.taken_at
    assert [offer.port for offer in offers_in(first)] == [5432, 8080]
    assert offers_in(again) is offers_in(first)
    assert published_without_rule(host, again) is published_without_rule(host, first)


def test_what_changed_counts_at_once(host: Host, alice: Actor) -> None:
    assert [each.offer.port for each in published_without_rule(host, seen(host, WEB, SQL))] == [5432, 8080]
    view = seen(host, WEB)
    assert [each.offer.port for each in published_without_rule(host, view)] == [8080]
    rule_create(host=host, actor=alice, values={"scope": "container", "protocol": "tcp", "ports": ["8080"]})
    host.refresh_from_db()
    assert published_without_rule(host, view) == ()
