"""Lists on their way to a host: over a real Redis to a real root worker, which fills its sets."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from dockerfw.chains.bound_sets import render_creation
from dockerfw.chains.group_sets import bound_set_name
from dockerfw.chains.list_entries import list_of_networks
from dockerfw.chains.list_judgement import Members
from dockerfw.document.values import Document, DocumentRule, Group
from dockerfw.host.clock import utc_now
from dockerfw.messages.about import About, about_key
from dockerfw.messages.codec import dump_json
from dockerfw.messages.list_orders import BoundList
from dockerfw.messages.signatures import private_key_text
from dockerfw_site.environment import read_environment
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.link import client
from rules.lists import list_jobs
from rules.lists.list_selectors import list_states, versions_on_host
from rules.lists.list_services import list_record, lists_follow
from rules.lists.send_services import lists_send, spared_addresses
from rules.lists.source_reading import Answer
from rules.models import AuditEvent, GroupList, Host
from tests.rig.kernel_reports import snapshot_store
from tests.rig.list_orders import LISTS_KEY, write_lists_signer
from tests.rig.namespace import Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import RootWorker

pytestmark = pytest.mark.redis

DROP = Group("drop", "feed", url="https://lists.example.org/drop")
HOME = Group("home", "names", names=("home.example.org",))


@pytest.fixture
def link(queue: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RedisServer:
    """A real Redis, and the key for lists."""
    key = tmp_path / "lists.key"
    key.write_bytes(private_key_text(LISTS_KEY))
    environment = read_environment({"DOCKERFW_LISTS_KEY_FILE": str(key)})
    monkeypatch.setattr(django_settings, "ENVIRONMENT", environment)
    monkeypatch.setattr(list_jobs, "_sent", {})
    return queue


@pytest.fixture
def drop(host: Host) -> GroupList:
    """A feed that a loaded rule blocks, with its first version."""
    rules = (DocumentRule("a1b2", "host", ("@drop",), action="block"),)
    lists_follow(host=host, loaded=[Document(groups=(DROP,), rules=rules)], drafts=[])
    row = GroupList.objects.get()
    record(row, "203.0.113.0/24", "192.0.2.10", "10.0.0.0/8", "2001:db8:1::/48")
    return row


def record(row: GroupList, *networks: str) -> None:
    list_record(key=row.pk, answer=Answer(list_of_networks(networks)))


def report(host: Host, *lists: BoundList, **fields: Any) -> None:
    """Report as a root worker would that it holds these lists."""
    about = About(host.name, utc_now(), "1", "boot", 0.0, 60, None, lists=lists, **fields)
    client.connection().set(about_key(host.name), dump_json(about.to_json()))


def waiting() -> int:
    return int(client.connection().llen("rq:queue:firewall-local"))


@pytest.mark.kernel
def test_a_root_worker_fills_the_sets_and_reports_what_it_holds(
    link: RedisServer, host: Host, drop: GroupList, namespace: Namespace, tmp_path: Path, alice: Actor
) -> None:
    audit_record(actor=alice, verb="sign-in")
    names = [bound_set_name(drop.definition, family) for family in (4, 6)]
    # As an apply has created them.
    namespace.run("ipset", "restore", stdin=render_creation(names))
    worker = RootWorker(link, namespace, tmp_path)
    worker.start(DOCKERFW_LISTS_SIGNER_FILE=str(write_lists_signer(tmp_path)))
    try:
        wait_until("the report", lambda: versions_on_host(host) == {})
        assert lists_send(host=host)
        wait_until("the lists", lambda: versions_on_host(host) == {drop.definition: 1})
        saved = namespace.output("ipset", "save")
        # The admin's address and the private network are spared.
        assert [line.split()[2] for line in saved.splitlines() if line.startswith("add")] == [
            "203.0.113.0/24",
            "2001:db8:1::/48",
        ]
        assert not lists_send(host=host)
        record(drop, "203.0.113.0/24", "2001:db8:1::/48", "10.0.0.0/8", "198.51.100.7")
        assert lists_send(host=host)
        wait_until("the next", lambda: versions_on_host(host) == {drop.definition: 2})
        assert "198.51.100.7" in namespace.output("ipset", "save", names[0])
        assert list_states(host)[0].problem == ""
    finally:
        worker.stop()


def test_the_judge_holds_lists_back_and_says_why(link: RedisServer, host: Host, drop: GroupList) -> None:
    snapshot_store(host)
    report(host)
    asked: list[dict[str, Members]] = []

    def judge(of: Host, members: Any) -> str:
        asked.append(members)
        return "You would be locked out."

    assert not lists_send(host=host, judge=judge)
    assert waiting() == 0
    assert asked[0][drop.definition].v4 == ("192.0.2.10", "203.0.113.0/24")
    assert "locked out" in list_states(host)[0].problem
    assert not lists_send(host=host, judge=judge)
    # The host keeps what it holds, and other lists go on.
    held = BoundList(drop.definition, 7, "0" * 64, "1" * 64, 1, 1, 0)
    report(host, held)
    assert not lists_send(host=host, judge=judge)
    report(host)
    assert AuditEvent.objects.filter(verb="list-not-loaded").count() == 1
    assert lists_send(host=host)
    assert waiting() == 2
    assert list_states(host)[0].problem == ""


def test_a_block_waits_until_the_hosts_own_addresses_are_known(
    link: RedisServer, host: Host, drop: GroupList
) -> None:
    report(host)
    lists_send(host=host)
    assert waiting() == 0
    assert "own addresses are unknown" in list_states(host)[0].problem


def test_the_addresses_of_the_host_and_of_admins_of_today_are_spared(
    link: RedisServer, host: Host, alice: Actor
) -> None:
    snapshot_store(host)
    audit_record(actor=alice, verb="sign-in")
    audit_record(actor=Actor("mallory", "198.51.100.66"), verb="sign-in-failed")
    audit_record(actor=Actor("bob", "unix"), verb="sign-in")
    spared, unknown = spared_addresses(host)
    assert unknown == ""
    assert {str(one) for one in spared[4].networks()} == {"127.0.0.1/32", "192.0.2.1/32", "192.0.2.10/32"}
    assert {str(one) for one in spared[6].networks()} == {"::1/128", "2001:db8::1/128"}


def test_what_the_host_refused_is_told(link: RedisServer, host: Host, drop: GroupList) -> None:
    snapshot_store(host)
    report(host, lists_problem="the ipsets of lists cannot be filled")
    assert lists_send(host=host)
    assert "cannot be filled" in list_states(host)[0].problem


def test_a_host_is_sent_its_lists_when_something_changed_and_not_all_the_time(
    link: RedisServer, host: Host, drop: GroupList
) -> None:
    assert list_jobs.hand_out_hosts() == 0
    report(host)
    assert list_jobs.hand_out_hosts() == 1
    assert list_jobs.hand_out_hosts() == 0
    GroupList.objects.update(loaded_allow=True)
    assert list_jobs.hand_out_hosts() == 1
    held = BoundList(drop.definition, 1, "0" * 64, "0" * 64, 1, 1, 0)
    report(host, held)
    assert list_jobs.hand_out_hosts() == 1
    assert list_jobs.hand_out_hosts() == 0
    lists_follow(host=host, loaded=[], drafts=[], now=timezone.now() + timedelta(days=1))
    assert list_jobs.hand_out_hosts() == 1


def test_without_the_key_for_lists_nothing_is_sent(
    link: RedisServer, host: Host, drop: GroupList, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_store(host)
    report(host)
    environment = read_environment({"DOCKERFW_LISTS_KEY_FILE": "/nonexistent/lists.key"})
    monkeypatch.setattr(django_settings, "ENVIRONMENT", environment)
    with pytest.raises(client.QueueError, match=r"lists\.key"):
        lists_send(host=host)
    assert waiting() == 0
