"""The environment of a run's processes: who is given Docker's socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from scripts.stack import layout as layout_module
from scripts.stack.layout import Layout
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
    assert given(layout, layout.root_user, host=False) is None
    for user in ("web", "clerk"):
        assert given(layout, user, host=True) is None


def test_who_says_none_gives_none(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "")
    assert given(layout, layout.root_user, host=True) == ""


def test_a_machine_without_docker(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "docker.sock").unlink()
    assert given(layout, layout.root_user, host=True) is None
