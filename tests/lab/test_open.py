"""The control: without dockerfw's rules everything answers, so they cause any later silence."""

from __future__ import annotations

import pytest

from tests.rig.connections import fetch, listening, ping, try_port
from tests.rig.lab import CLIENT, CLIENT_6, HOST, HOST_6, STRANGER, Lab

pytestmark = pytest.mark.lab


def test_everything_answers_while_nothing_is_loaded(lab: Lab) -> None:
    lab.unload()
    assert fetch(lab.client, HOST, 8080) == "web"
    assert fetch(lab.client, HOST, 8081, source=STRANGER) == "other"
    assert fetch(lab.client, HOST_6, 8080) == "web"
    assert try_port(lab.client, HOST, 22) == "closed"
    with listening(lab.host, HOST, 22, "ssh"):
        assert try_port(lab.client, HOST, 22) == "connected"
    assert ping(lab.client, HOST)
    assert ping(lab.client, HOST_6)
    with listening(lab.client, CLIENT, 9000, "outside"), listening(lab.client, CLIENT_6, 9000, "outside"):
        assert lab.reach_out("web") == f"outside {HOST}"
    assert lab.docker.fetch_from("web", lab.docker.container_address("other"), 80) == "other"
