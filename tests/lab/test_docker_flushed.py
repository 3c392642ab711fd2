"""Docker's own rules flushed on a real engine, its chains left in place: every surface says so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.chains import drift_sentences
from dockerfw.command_line.status import judge_status
from dockerfw.doctor.kernel_facts import look_at_kernel
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.snapshots import Snapshot
from dockerfw.store.state import StateDirectory
from tests.rig.connections import fetch
from tests.rig.lab import HOST, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.lab

FLUSHES = {"nat": ("-t", "nat", "-F"), "filter": ("-F", "FORWARD")}


@pytest.fixture(scope="module")
def flushed_lab(_engine_works: None) -> Iterator[Lab]:
    # Its own lab, because its engine is restarted.
    built = Lab()
    yield built
    built.delete()


@pytest.mark.parametrize("table", FLUSHES)
@pytest.mark.parametrize("first", [True, False], ids=["before the first revision", "afterwards"])
def test_flushed_rules_of_docker_are_told_until_docker_restarts(
    flushed_lab: Lab, table: str, first: bool
) -> None:
    lab, told = flushed_lab, list[ConsoleEvent]()
    allowed = document(allow("container", 8080), heal_anchors=True)
    lab.unload()
    shutil.rmtree(lab.host.directory / "state", ignore_errors=True)
    state = StateDirectory(lab.host.directory / "state")
    state.prepare()

    def look() -> tuple[Snapshot, str]:
        with lab.docker.entered():
            monitor = DriftMonitor(state, host="lab", tell=told.append)
            seen = Snapshot.from_json(monitor.look_and_heal().to_json())
            return seen, judge_status(look_at_kernel("lab", state)).level

    if not first:
        lab.load(allowed)
        assert fetch(lab.client, HOST, 8080) == "web"
    seen, level = look()
    assert level == ("warn" if first else "ok")
    lab.host.iptables(*FLUSHES[table], backend=lab.docker.backend)
    if first:
        look()
        lab.load_unseen(allowed)
    seen, level = look()
    assert seen.confirmed is not None
    assert (seen.confirmed.docker_gone, level) == ((4,), "bad")
    assert any(drift_sentences.DOCKER_RULES_GONE in event.detail for event in told)
    lab.docker.restart_daemon()
    wait_until("the container", lambda: fetch(lab.client, HOST, 8080) == "web")
    seen, level = look()
    assert seen.confirmed is not None
    assert (seen.confirmed.docker_gone, level) == ((), "ok")
