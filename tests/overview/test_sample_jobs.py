"""The samples that the clerk records from the looks of the root worker."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dockerfw.iptables.model import Family
from dockerfw.messages.session_groups import SessionGroup, SessionGroups
from dockerfw.messages.surroundings import ListeningSocket, SetMembers, TrackedConnections
from rules.asking.exposure_selectors import exposure_counts
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.link import client
from rules.models import Host, Sample, SampleSeries
from rules.overview.sample_jobs import SampleRecorder
from rules.overview.sample_selectors import latest, series
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import UNREAD_6, save_of, snapshot_store
from tests.rig.redis_fixtures import RedisServer

pytestmark = [pytest.mark.django_db, pytest.mark.redis]
SSH = ListeningSocket(4, "tcp", "", 22, process="sshd")
FROM_OUTSIDE = SessionGroup("host", 4, "tcp", "198.51.100.7", 22, None, ("ens33",), 3)


@pytest.fixture
def recorder(queue: RedisServer, monkeypatch: pytest.MonkeyPatch) -> SampleRecorder:
    """A recorder that has seen nothing yet."""
    # (On Postgres a test's transaction would end with its connection.)
    monkeypatch.setattr("rules.overview.sample_jobs.connections.close_all", lambda: None)
    return SampleRecorder(exposure_counts)


def values(host: Host, name: str) -> list[float]:
    until = timezone.now()
    points = series(host, name, since=until - timedelta(minutes=30), until=until).points
    return [value for _, value in points if value is not None]


def test_two_looks_are_a_sample(host: Host, alice: Actor, recorder: SampleRecorder) -> None:
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    number = confirm(host, alice).number
    around: dict[str, Any] = {
        "sockets": (SSH,),
        "tracked": TrackedConnections(812, 262_144),
        "sets": (SetMembers("f2b-sshd", "hash:ip", ("198.51.100.9",)),),
    }
    sessions = SessionGroups((FROM_OUTSIDE,))
    snapshot_store(host, draft_document(host), number, age=70, packets=100, around=around, sessions=sessions)
    recorder.record()
    assert values(host, "refused") == []
    snapshot_store(host, draft_document(host), number, age=10, packets=160, around=around, sessions=sessions)
    recorder.record()
    recorder.record()
    # A host rule has one line in each family.
    assert values(host, "accepted")
    assert sum(Sample.objects.filter(series__name="accepted", step=60).values_list("value", flat=True)) == (
        pytest.approx(120)
    )
    found = {
        name: (point := latest(host, name)) and point[1]
        for name in (
            "unprotected",
            "drift",
            "open_ports",
            "pending",
            "checks_failing",
            "conntrack",
            "conntrack_max",
            "sessions",
            "set:f2b-sshd",
        )
    }
    assert found == {
        "unprotected": 0,
        "drift": 0,
        "open_ports": 1,
        "pending": 0,
        "checks_failing": 0,
        "conntrack": 812,
        "conntrack_max": 262_144,
        "sessions": 3,
        "set:f2b-sshd": 1,
    }


def test_what_a_look_does_not_tell_is_not_recorded(
    host: Host, alice: Actor, recorder: SampleRecorder
) -> None:
    confirm(host, alice)
    for age in (70, 10):
        saves: dict[Family, str] = {4: save_of(draft_document(host), 4), 6: ""}
        snapshot_store(
            host, None, age=age, saves=saves, around={"errors": UNREAD_6}, sessions=SessionGroups(whole=False)
        )
        recorder.record()
    assert set(SampleSeries.objects.values_list("name", flat=True)) == {"pending", "checks_failing"}


def test_an_apply_between_two_looks_is_a_gap(host: Host, alice: Actor, recorder: SampleRecorder) -> None:
    document = draft_document(host)
    snapshot_store(host, document, 1, age=130, packets=10)
    recorder.record()
    snapshot_store(host, document, 2, age=70, packets=900_000)
    recorder.record()
    assert values(host, "refused") == []
    snapshot_store(host, document, 2, age=10, packets=900_060)
    recorder.record()
    assert max(values(host, "refused")) < 1000


def test_no_host_keeps_another_from_being_recorded(
    host: Host, recorder: SampleRecorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = Host.objects.create(name="web-1")
    snapshot_store(other, None)
    read = client.snapshot_head

    def fails(name: str) -> bytes:
        if name == host.name:
            raise client.QueueError("Redis does not answer")
        return read(name)

    monkeypatch.setattr(client, "snapshot_head", fails)
    recorder.record()
    assert latest(other, "pending") is not None
    assert "no samples of local are recorded now" in caplog.text


def test_nothing_is_read_before_it_is_due(
    host: Host, recorder: SampleRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_store(host, None)
    recorder.record()
    monkeypatch.setattr(client, "snapshot_head", lambda name: pytest.fail("it was read"))
    SampleSeries.objects.all().delete()
    # Rules are read every 15 minutes, and both are recorded for now.
    recorder.record()
