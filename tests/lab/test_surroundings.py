"""The snapshot of a real engine: its containers, their ports, and the processes that listen for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerfw.host.observation import observe
from dockerfw.messages.snapshots import Snapshot
from dockerfw.messages.surroundings import ContainerPort
from tests.rig.lab import Lab
from tests.rig.namespace import wait_until

pytestmark = pytest.mark.lab


def look(lab: Lab, *, ask_docker: bool = True) -> Snapshot:
    with lab.host.entered():
        socket = Path(lab.docker.socket.removeprefix("unix://")) if ask_docker else None
        return Snapshot.from_json(observe("lab", docker_socket=socket).to_json())


def test_containers_and_the_processes_that_listen_for_them(lab: Lab) -> None:
    lab.docker.run_web("inside", port=83, network="host")
    lab.docker.docker("network", "create", "shop_default")
    labels = ("--label=com.docker.compose.project=shop", "--label=com.docker.compose.service=database")
    lab.docker.run_web("db", "--publish=127.0.0.1:5433:80", *labels, network="shop_default")
    try:
        wait_until("server", lambda: any(each.port == 83 for each in look(lab).sockets))
        seen = look(lab)
        assert seen.errors == ()
        assert seen.containers is not None
        found = {each.name: each for each in seen.containers}
        assert set(found) == {"web", "other", "plain", "inside", "db"}
        assert found["web"].addresses == (lab.docker.container_address("web"),)
        assert ContainerPort("tcp", 80, 8080) in found["web"].ports
        assert (found["inside"].network_mode, found["inside"].addresses) == ("host", ())
        db = found["db"]
        assert (db.project, db.service, db.network_mode) == ("shop", "database", "shop_default")
        assert db.addresses == (lab.docker.container_address("db", "shop_default"),)
        assert db.ports == (ContainerPort("tcp", 80, 5433, "127.0.0.1"),)
        sockets = {(each.family, each.address, each.port): each for each in seen.sockets}
        assert sockets[4, "", 8080].process == "docker-proxy"
        assert sockets[4, "127.0.0.1", 5433].process == "docker-proxy"
        assert {each.container for each in seen.sockets if each.port == 83} == {found["inside"].id}
        bridges = {each.name: each for each in seen.interfaces if each.kind == "bridge"}
        assert "docker0" in bridges
        members = {each.master for each in seen.interfaces if each.kind == "veth" and each.master}
        assert {"docker0"} < members <= set(bridges)
    finally:
        lab.docker.remove(["inside", "db"])
        lab.docker.docker("network", "rm", "shop_default")


def test_without_the_socket_docker_is_not_asked(lab: Lab) -> None:
    assert look(lab, ask_docker=False).containers is None


def test_a_missing_docker_is_reported(lab: Lab) -> None:
    lab.docker.stop_daemon()
    try:
        seen = look(lab)
        assert seen.containers is None
        assert [error.command[0] for error in seen.errors] == ["GET"]
    finally:
        lab.docker.start_daemon()
