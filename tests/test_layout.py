"""The environment of a run's processes: who is given Docker's socket, and the keys for orders."""

from __future__ import annotations

import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfw.host.signer import find_sender_fault
from dockerfw.messages.signatures import parse_private_key, sign
from scripts.stack import layout as layout_module
from scripts.stack.layout import Layout, remove_runtime
from scripts.stack.options import Options
from scripts.stack.redis_users import new_passwords

NAME = "DOCKERFW_DOCKER_SOCKET"


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A run on a machine on which Docker listens."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    monkeypatch.setattr(layout_module, "DOCKER_SOCKET", path)
    monkeypatch.delenv(NAME, raising=False)
    passwords = new_passwords(["local"])
    return Layout(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, -1, None, "local", passwords=passwords)


def given(layout: Layout, user: str, *, host: bool) -> str | None:
    return layout.environment(Options(host=host, bind="127.0.0.1", port=8000), user).get(NAME)


def test_only_the_root_worker_of_the_machine_itself_gets_dockers_socket(
    layout: Layout, tmp_path: Path
) -> None:
    assert given(layout, layout.root_user, host=True) == str(tmp_path / "docker.sock")
    # A sandbox has one of its own, which only lists containers.
    assert given(layout, layout.root_user, host=False) == str(tmp_path / "made-up-docker.sock")
    for user in ("web", "clerk"):
        assert given(layout, user, host=True) is given(layout, user, host=False) is None


def test_who_says_none_gives_none(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "")
    assert given(layout, layout.root_user, host=True) == ""


def test_a_machine_without_docker(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "docker.sock").unlink()
    assert given(layout, layout.root_user, host=True) is None


def test_each_run_has_a_new_key_for_orders_and_the_root_worker_trusts_it(
    layout: Layout, tmp_path: Path
) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    layout = replace(layout, runtime=runtime)
    found = []
    for _ in range(2):
        layout.write_files("sandbox")
        environment = layout.environment(Options(host=False, bind="127.0.0.1", port=8000))
        private = Path(environment["DOCKERFW_SIGNING_KEY_FILE"])
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        value = sign({"format": "dockerfw-order/1"}, parse_private_key(private.read_bytes()))
        assert find_sender_fault(value, Path(environment["DOCKERFW_SIGNER_FILE"])) is None
        found.append(private.read_bytes())
    assert found[0] != found[1]
    remove_runtime(layout)
    assert not private.exists()
