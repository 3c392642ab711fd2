"""The effects of a load, read from a snapshot: failing expectations and lock-outs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks
from rq import Queue
from rq.serializers import JSONSerializer

from dockerfw.messages.orders import Order
from dockerfw.messages.snapshots import CommandError
from dockerfw.messages.surroundings import ListeningSocket, PublishedPort, SetMembers
from rules.applying.apply_errors import NotExpected
from rules.applying.apply_services import apply_start, rollback_start
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import draft_document
from rules.draft.expectation_services import expectation_create
from rules.draft.rule_services import rule_create
from rules.link import client
from rules.models import Apply, AuditEvent, Host, Revision
from rules.pages.errors import Invalid
from rules.seen.consequence_selectors import (
    Caller,
    LockOut,
    expectation_findings,
    findings_now,
    lock_out,
    lock_out_ssh,
)
from rules.seen.snapshot_selectors import SnapshotView, latest_snapshot
from rules.seen.surroundings_selectors import sight_key
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.redis_fixtures import RedisServer
from tests.rig.reviews import review_draft, review_rollback

OFFICE = "203.0.113.0/24"
SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "source": OFFICE}
EXPECTED = {"protocol": "tcp", "port": 22, "source": OFFICE, "passes": True}
PAGE = Caller("203.0.113.7", "203.0.113.7", 8000, 8000)

pytestmark = [pytest.mark.django_db, pytest.mark.redis]


@pytest.fixture(autouse=True)
def kernel(host: Host, queue: RedisServer) -> None:
    """The kernel before the first apply: no dockerfw rules, everything allowed."""
    snapshot_store(host, None)


def now(host: Host) -> Host:
    return Host.objects.get(pk=host.pk)


def seen(host: Host) -> SnapshotView:
    view = latest_snapshot(host)
    assert view is not None
    return view


def start(host: Host, actor: Actor, **more: str | bool) -> Apply:
    current = now(host)
    version = current.draft_version
    return apply_start(basis=basis_of(current), actor=actor, message="why", draft_version=version, **more)  # type: ignore[arg-type]


def ordered(host: Host) -> bool:
    """Return True if the order that was put on the queue last carries an override."""
    queue = Queue(f"firewall-{host.name}", connection=client.connection(), serializer=JSONSerializer)
    return Order.from_json(queue.jobs[-1].args[0]).override


def test_what_breaks_an_expectation_needs_a_reason_that_is_kept(
    host: Host, alice: Actor, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    expectation_create(host=host, actor=alice, values=EXPECTED)
    assert [each.state for each in review_draft(now(host)).broken] == ["fails"]
    with pytest.raises(
        NotExpected, match=r"1 expectation would fail\. 22/tcp of the host from 203"
    ) as caught:
        start(host, alice)
    assert len(caught.value.broken) == 1
    with pytest.raises(NotExpected):
        start(host, alice, override="   ")
    with pytest.raises(Invalid, match="override"):
        start(host, alice, override="x" * 2001)
    assert not Revision.objects.exists()
    with django_capture_on_commit_callbacks(execute=True):
        apply = start(host, alice, override=" the office moves today ")
    assert apply.override == "the office moves today"
    event = AuditEvent.objects.get(verb="apply-start")
    assert event.after is not None
    assert event.after["override"] == "the office moves today"
    assert "anyway" not in event.after
    assert ordered(host)


def test_what_holds_or_is_unknown_stops_nothing(
    host: Host, alice: Actor, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    rule_create(host=host, actor=alice, values=SSH)
    expectation_create(host=host, actor=alice, values=EXPECTED)
    named = {"protocol": "tcp", "port": 5432, "to": "container", "container": "db", "passes": False}
    expectation_create(host=host, actor=alice, values=named)
    assert sorted(each.state for each in review_draft(now(host)).findings) == ["holds", "unknown"]
    with django_capture_on_commit_callbacks(execute=True):
        apply = start(host, alice)
    assert (apply.override, ordered(host)) == ("", False)


def test_without_a_report_nothing_is_claimed(host: Host, alice: Actor) -> None:
    client.connection().flushdb()
    expectation_create(host=host, actor=alice, values=EXPECTED)
    assert (review_draft(now(host)).findings, review_draft(now(host)).exposure) == ((), ())
    assert start(host, alice).override == ""


def test_a_roll_back_is_asked_the_same(host: Host, alice: Actor) -> None:
    expectation_create(host=host, actor=alice, values=EXPECTED)
    first = confirm(host, alice)
    rule_create(host=host, actor=alice, values=SSH)
    second = confirm(host, alice)
    snapshot_store(host, draft_document(now(host)), second.number)
    found = review_rollback(now(host), first.number)
    assert found is not None
    assert len(found.broken) == 1
    assert [str(each) for each in found.exposure] == [
        "22/tcp of the host is no longer reachable from 203.0.113.0/24"
    ]
    order = {
        "basis": basis_of(now(host)),
        "actor": alice,
        "number": 1,
        "message": "back",
        "expected_head": second.number,
    }
    with pytest.raises(NotExpected):
        rollback_start(**order)  # type: ignore[arg-type]
    apply = rollback_start(**order, override="it has to be", anyway=True)  # type: ignore[arg-type]
    event = AuditEvent.objects.get(verb="rollback-start")
    assert event.after is not None
    assert apply.override == event.after["override"] == "it has to be"
    assert event.after["anyway"] is True


def ask(host: Host, caller: Caller) -> LockOut:
    return lock_out(seen(host), draft_document(now(host)), 1, caller)


def words(found: LockOut) -> list[tuple[str, str]]:
    return [(each.what, each.can) for each in found.answers]


def test_whether_you_would_be_locked_out(host: Host, alice: Actor) -> None:
    assert words(ask(host, PAGE)) == [("this dashboard", "no"), ("SSH", "no")]
    rule_create(host=host, actor=alice, values=SSH)
    assert words(ask(host, PAGE)) == [("this dashboard", "no"), ("SSH", "yes")]
    rule_create(host=host, actor=alice, values={**SSH, "ports": ["8000"]})
    assert (ask(host, PAGE).can, words(ask(host, PAGE))[0]) == ("yes", ("this dashboard", "yes"))
    assert ask(host, replace(PAGE, port=443)).can == "no"
    assert ask(host, replace(PAGE, dialled="192.0.2.1")).can == "yes"
    elsewhere = ask(host, replace(PAGE, dialled="192.0.2.99"))
    assert (elsewhere.can, elsewhere.answers[0].reason[:25]) == ("unknown", "you connect to 192.0.2.99")
    here = ask(host, Caller("127.0.0.1", "127.0.0.1", 8000, 8000))
    assert (here.can, here.answers[0].reason) == ("yes", "you are on the host itself (127.0.0.1)")
    assert ask(host, Caller("", "", 8000, 8000)).can == "unknown"


def test_a_port_that_docker_may_publish_by_nftables_is_unknown(host: Host, alice: Actor) -> None:
    rule_create(host=now(host), actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    sockets = (
        ListeningSocket(4, "tcp", "", 22, process="sshd"),
        ListeningSocket(4, "tcp", "", 8000, process="docker-proxy"),
    )
    snapshot_store(host, None, docker_state="nftables", around={"sockets": sockets})
    assert words(ask(host, PAGE)) == [("this dashboard", "unknown"), ("SSH", "yes")]


def test_sshd_says_its_port(host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values={**SSH, "ports": ["2222", "8000"]})
    snapshot_store(host, None, around={"sockets": (ListeningSocket(4, "tcp", "", 2222, process="sshd"),)})
    assert words(ask(host, PAGE)) == [("this dashboard", "yes"), ("SSH on port 2222", "yes")]


def test_a_no_is_not_believed_where_you_could_not_be_here_now(host: Host, alice: Actor) -> None:
    snapshot_store(host, draft_document(now(host)), 1)
    found, ssh = ask(host, PAGE).answers
    assert (ssh.can, ssh.already) == ("no", True)
    assert ssh.reason.endswith(", as it already is")
    assert ask(host, PAGE).can == "unknown"
    assert (found.can, found.reason) == (
        "unknown",
        "the current rules would already block you, so your packets take another path",
    )


def test_the_way_through_a_proxy(host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values={**SSH, "ports": ["443", "22"], "scope": "both"})
    # One on the host itself hides nothing: the caller dials the host.
    assert ask(host, Caller("203.0.113.7", "127.0.0.1", 443, 8000)).can == "yes"
    assert ask(host, Caller("203.0.113.7", "", 443, 8000)).can == "yes"
    # Of one elsewhere only its own way to the host counts.
    far = ask(host, Caller("198.51.100.7", "203.0.113.80", 443, 8000))
    assert words(far)[0] == ("this dashboard, through the proxy 203.0.113.80", "no")
    rule_create(host=host, actor=alice, values={**SSH, "ports": ["8000"], "source": "203.0.113.80"})
    assert words(ask(host, Caller("198.51.100.7", "203.0.113.80", 443, 8000)))[0][1] == "yes"
    # One in a container: the caller dials what Docker publishes, and the container dials the host.
    snapshot_store(host, None, bridge=("172.17.0.1/16",))
    inside = words(ask(host, Caller("203.0.113.7", "172.17.0.5", 443, 8000)))
    assert inside[:2] == [("this dashboard", "yes"), ("this dashboard, through the proxy 172.17.0.5", "no")]


def test_over_ssh_the_connection_itself_is_asked_for(host: Host, alice: Actor) -> None:
    def asked(connection: str) -> LockOut | None:
        return lock_out_ssh(seen(host), draft_document(now(host)), 1, connection)

    found = asked("203.0.113.7 50022 192.0.2.1 22")
    assert found is not None
    assert (found.can, found.answers[0].what) == ("no", "SSH, as you are connected now")
    rule_create(host=host, actor=alice, values=SSH)
    found = asked("203.0.113.7 50022 192.0.2.1 22")
    assert found is not None
    assert found.can == "yes"
    for odd in ("", "x", "a b c d", "203.0.113.7 1 192.0.2.1", "moon 1 192.0.2.1 22"):
        assert asked(odd) is None


def test_pages_in_a_container(host: Host, alice: Actor) -> None:
    snapshot_store(host, None, bridge=("172.17.0.1/16",))
    page = replace(PAGE, contained=True)
    # Docker leaves a client's address as it is: the client dials what is published.
    assert words(ask(host, page))[0] == ("this dashboard", "no")
    # A proxy in another container does not pass the host's rules on its way to the pages.
    behind = replace(page, peer="172.17.0.5", port=443)
    assert words(ask(host, behind)) == [("this dashboard", "no"), ("SSH", "no")]
    rule_create(host=host, actor=alice, values={**SSH, "ports": ["443", "8000"], "scope": "both"})
    assert words(ask(host, page))[0] == ("this dashboard", "yes")
    assert words(ask(host, behind))[0] == ("this dashboard", "yes")

    # Docker's own proxy shows its own address, which is the host's: that says nothing of who dials.
    proxied = replace(page, address="172.17.0.1", peer="172.17.0.1")
    assert words(ask(host, proxied)) == [("this dashboard", "unknown"), ("SSH", "unknown")]
    assert ask(host, proxied).address == ""
    assert words(ask(host, replace(proxied, dialled="192.0.2.1")))[0][1] == "unknown"
    over_six = replace(proxied, dialled="2001:db8::1")
    assert words(ask(host, over_six))[0] == ("this dashboard", "no")
    rule_create(host=host, actor=alice, values={"scope": "both", "protocol": "tcp", "ports": ["8000"]})
    assert words(ask(host, over_six))[0] == ("this dashboard", "yes")
    # On the host, or through a tunnel that ends there.
    here = ask(host, replace(proxied, dialled="127.0.0.1"))
    assert (here.can, here.answers[0].reason) == ("yes", "you are on the host itself (172.17.0.1)")


def test_what_was_seen_again_is_not_worked_out_again(host: Host, alice: Actor) -> None:
    expectation_create(host=host, actor=alice, values=EXPECTED)
    document = draft_document(now(host))
    first = seen(host)
    snapshot_store(host, None)
    again = seen(host)
    assert again.taken_at > first.taken_at
    assert sight_key(again) == sight_key(first)
    assert expectation_findings(again, document, 1) is expectation_findings(first, document, 1)
    assert findings_now(again, document) is findings_now(first, document)


@pytest.mark.parametrize(
    "change",
    [
        {"foreign_tables": ("inet somebody",)},
        {"docker_state": "nftables"},
        {"sockets": (ListeningSocket(4, "tcp", "", 22),)},
        {"containers": ()},
        {"published": (PublishedPort(4, "tcp", "", 8080, "172.17.0.2", 80),)},
        {"families": (4,)},
        {"bridges_filtered": (4,)},
        {"default_routes": {4: (), 6: ()}},
        {"interfaces": ()},
        {"sets": (SetMembers("office", "hash:ip", ("203.0.113.7",)),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_was_seen_otherwise_is_worked_out_again(
    host: Host, alice: Actor, change: dict[str, object]
) -> None:
    expectation_create(host=host, actor=alice, values=EXPECTED)
    document = draft_document(now(host))
    view = seen(host)
    other = replace(view, snapshot=replace(view.snapshot, **change))  # type: ignore[arg-type]
    assert expectation_findings(other, document, 1) is not expectation_findings(view, document, 1)
    assert findings_now(other, document) is not findings_now(view, document)


def test_rules_that_can_no_longer_be_read_are_worked_out_again(host: Host) -> None:
    empty = {4: "", 6: ""}
    view = seen(host)
    nothing = replace(view, snapshot=replace(view.snapshot, saves=empty))  # type: ignore[arg-type]
    failed = CommandError(("ip6tables-nft-save", "-c"), 4, "no")
    unread = replace(nothing, snapshot=replace(nothing.snapshot, errors=(failed,)))
    assert sight_key(unread) != sight_key(nothing)
