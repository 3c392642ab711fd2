"""Root reads its own settings only: a wrong setting of the web pages stops neither the agent nor a panic."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dockerfw.command_line.service import check_service
from dockerfw.settings_files import add_root_settings, read_settings_file
from dockerfw.streams import InputError
from tests.rig.namespace import Namespace
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import RootWorker

ROOT = Path(__file__).parents[2]
WRONG_FOR_THE_WEB = {
    "DOCKERFW_TIME_ZONE": "Nowhere/Nonsense",
    "DOCKERFW_SECRET_KEY": "short",
    "DOCKERFW_SECRET_KEY_FILE": "/nonexistent/key",
    "DOCKERFW_TRUSTED_PROXIES": "nonsense",
    "DATABASE_URL": "nonsense",
}


@pytest.mark.kernel
@pytest.mark.redis
def test_the_agent_starts_with_settings_that_are_wrong_for_the_web(
    redis_server: RedisServer, namespace: Namespace, tmp_path: Path
) -> None:
    worker = RootWorker(redis_server, namespace, tmp_path).start(**WRONG_FOR_THE_WEB)
    try:
        worker.wait_until_serving()
        assert worker.kept(worker.order("22", sequence=1)).state == "confirmed"
        assert not Path(worker.environment["DOCKERFW_DATA_DIR"]).exists()
    finally:
        worker.stop()


@pytest.mark.kernel
def test_a_panic_reads_three_settings_only(namespace: Namespace, tmp_path: Path) -> None:
    wrong = {"DOCKERFW_OBSERVE_SECONDS": "often", "DOCKERFW_REDIS_URL": "nonsense", **WRONG_FOR_THE_WEB}
    environment = {**wrong, "DOCKERFW_STATE_DIR": str(tmp_path), "SSH_CONNECTION": ""}
    command = [str(Path(__file__).parents[2] / ".venv" / "bin" / "python"), "-m", "dockerfw", "panic"]
    done = namespace.run(*command, environment=environment)
    assert done.stdout.startswith(b"All traffic is dropped except loopback.\n")
    assert "FILTERS-PANIC" in namespace.save().decode()


@pytest.mark.parametrize(("verb", "goes_on"), [("panic", True), ("release", True), ("status", False)])
def test_unreadable_settings_hold_up_no_emergency(tmp_path: Path, verb: str, goes_on: bool) -> None:
    (tmp_path / "host.env").mkdir()
    # In a user namespace the command is not root, so it changes nothing.
    command = ["unshare", "--user", sys.executable, "-m", "dockerfw", verb]
    clean = {"PATH": os.environ["PATH"], "DOCKERFW_SETTINGS_DIR": str(tmp_path)}
    done = subprocess.run(
        command, env=clean, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert ("The default settings are used." in done.stderr) == goes_on
    assert ("needs root" in done.stderr) == goes_on


def test_a_command_by_hand_reads_the_files_of_the_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "host.env").write_text("# a comment\nDOCKERFW_HOST = 'shop-1'\nnonsense\n")
    (tmp_path / "root-shop-1.env").write_text("DOCKERFW_REDIS_URL=unix:///run/redis.sock\n")
    assert read_settings_file(tmp_path / "host.env") == {"DOCKERFW_HOST": "shop-1"}
    environ = {"DOCKERFW_SETTINGS_DIR": str(tmp_path)}
    monkeypatch.setattr("os.environ", environ)
    add_root_settings()
    assert environ["DOCKERFW_HOST"] == "shop-1"
    assert environ["DOCKERFW_REDIS_URL"] == "unix:///run/redis.sock"
    # A process with variables of its own, as a unit gives them, reads no file.
    environ = {"DOCKERFW_SETTINGS_DIR": str(tmp_path), "DOCKERFW_STATE_DIR": "/s"}
    monkeypatch.setattr("os.environ", environ)
    add_root_settings()
    assert environ == {"DOCKERFW_SETTINGS_DIR": str(tmp_path), "DOCKERFW_STATE_DIR": "/s"}


@pytest.mark.parametrize(
    ("service", "words", "right"),
    [
        ("web", ["panic"], "docker compose exec firewall dockerfw panic"),
        ("tools", ["release"], "docker compose exec firewall dockerfw release"),
        ("firewall", ["backup", "/b/f"], "docker compose run --rm tools dockerfw backup /b/f"),
        ("firewall", ["history"], "docker compose exec web dockerfw history"),
        ("clerk", ["firstadmin"], "docker compose exec web dockerfw firstadmin"),
        ("tools", ["status"], "docker compose exec web dockerfw status"),
        ("web", ["status"], ""),
        ("firewall", ["status"], ""),
        ("firewall", ["doctor"], ""),
        ("tools", ["doctor"], ""),
        ("tools", ["restore", "f"], ""),
        ("", ["panic"], ""),
    ],
)
def test_each_service_of_compose_runs_its_own_verbs(service: str, words: list[str], right: str) -> None:
    environ: Mapping[str, str] = {"DOCKERFW_SERVICE": service}
    if not right:
        check_service(words[0], words, environ)
        return
    with pytest.raises(InputError, match=f"Use: {right}$"):
        check_service(words[0], words, environ)
