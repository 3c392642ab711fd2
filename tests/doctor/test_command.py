"""`firewall doctor` as an admin runs it: beside a real root worker, without anything, and not as root."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockerfw.doctor.finding import GROUPS
from dockerfw.version import VERSION
from dockerfw_site.environment import BASE_DIR
from tests.rig.command_fixtures import shell
from tests.rig.namespace import Namespace
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import RootWorker

DOCUMENTED = BASE_DIR / "docs" / "doctor.md"
# What these say depends on the machine that the tests run on.
OF_THE_MACHINE = {"permissions.code", "permissions.docker-socket", "disk.state", "disk.data", "host.commands"}
PLACES = (
    *("DOCKERFW_REDIS_URL", "DOCKERFW_STATE_DIR", "DOCKERFW_DATA_DIR"),
    *("DOCKERFW_SIGNING_KEY_FILE", "DOCKERFW_SIGNER_FILE"),
)


@pytest.fixture
def worker(redis_server: RedisServer, namespace: Namespace, tmp_path: Path) -> Iterator[RootWorker]:
    """A root worker in a namespace of its own, with one revision confirmed."""
    namespace.add_interface()
    one = RootWorker(redis_server, namespace, tmp_path).start()
    try:
        one.wait_until_serving()
        assert one.kept(one.order("22", sequence=1)).state == "confirmed"
        yield one
    finally:
        one.stop()


def doctor(worker: RootWorker, *more: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Ask from outside of the namespace; return the status and the findings by their ids."""
    environ: dict[str, Any] = {name: worker.environment[name] for name in PLACES}
    done = shell("doctor", "--json", *more, **environ)
    assert done.stderr == b""
    value: dict[str, Any] = json.loads(done.stdout)
    assert value["status"] == done.returncode
    return done.returncode, {check["id"]: check for check in value["checks"]}


def level(found: dict[str, dict[str, str]], check: str) -> str:
    return found[check]["level"]


@pytest.mark.kernel
@pytest.mark.redis
def test_it_looks_where_the_root_worker_does(worker: RootWorker) -> None:
    Path(worker.environment["DOCKERFW_DATA_DIR"]).mkdir(mode=0o700)
    manage = [sys.executable, "manage.py", "migrate", "--skip-checks", "-v0"]
    subprocess.run(manage, cwd=BASE_DIR, env={**os.environ, **worker.environment}, check=True)
    status, found = doctor(worker)
    # This Redis lets in everybody.
    assert status == 1
    problems = {check for check in found if level(found, check) == "problem"}
    # The database knows nothing of an order that this test wrote itself.
    expected = {"redis.default-user", "redis.rights", "boot.revision", "versions.clerk"}
    assert problems - OF_THE_MACHINE == expected
    assert found["chains.confirmed"]["text"] == "The kernel holds revision 1 as it was confirmed."
    assert (level(found, "boot.loads"), level(found, "queue.root-worker")) == ("ok", "ok")
    assert found["versions.root-worker"]["text"] == f"The root worker runs {VERSION}."
    worker.namespace.iptables("-D", "INPUT", "-j", "FILTERS-HOST", family=6)
    _, found = doctor(worker)
    assert level(found, "anchors.first") == "problem"
    # As from the pages' container, where there is no state directory: what Redis has is the last look.
    worker.environment["DOCKERFW_STATE_DIR"] += "-elsewhere"
    _, found = doctor(worker)
    for check in ("queue.root-worker", "permissions.state", "boot.files", "boot.loads", "disk.state"):
        assert level(found, check) == ("ok" if check == "disk.state" else "unknown")
    assert level(found, "queue.snapshot") == "ok"
    assert level(found, "chains.confirmed") == "note"
    worker.environment["DOCKERFW_STATE_DIR"] = str(worker.state)
    worker.stop()
    _, found = doctor(worker)
    assert level(found, "queue.root-worker") == "problem"
    # Not this machine's own rules: no root worker says where to look, and what Redis has is the last look.
    assert level(found, "chains.confirmed") in ("unknown", "note")


def test_without_redis_database_and_root_worker_it_says_so(tmp_path: Path) -> None:
    places: dict[str, Any] = {
        "DOCKERFW_REDIS_URL": f"unix://{tmp_path}/none.sock",
        "DOCKERFW_STATE_DIR": str(tmp_path / "state"),
        "DOCKERFW_DATA_DIR": str(tmp_path),
    }
    done = shell("doctor", **places)
    words = done.stdout.decode()
    assert done.returncode == 1
    for sentence in (
        "The root worker does not run",
        "Redis does not answer",
        "there is no file",
        "Not checked",
    ):
        assert sentence in words
    assert re.search(r"^\d+ checks: \d problems, .*OK\.$", words.splitlines()[-1])
    assert not list(tmp_path.iterdir())


def test_every_check_is_documented_and_no_other(tmp_path: Path) -> None:
    done = shell(
        "doctor", "--json", DOCKERFW_STATE_DIR=str(tmp_path / "state"), DOCKERFW_DATA_DIR=str(tmp_path)
    )
    ids = [check["id"] for check in json.loads(done.stdout)["checks"]]
    assert len(ids) == len(set(ids))
    # They come in the order of their groups, and there are no more than the page has.
    groups = list(dict.fromkeys(check.partition(".")[0] for check in ids))
    assert groups == list(GROUPS)
    rows = re.findall(r"^\| `([a-z]+\.[a-z-]+)` \|", DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == ids


@pytest.mark.redis
def test_an_ordinary_user_is_told_what_only_root_can_look_at(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "worker.lock").touch()
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "DOCKERFW_REDIS_URL": redis_server.url,
        "DOCKERFW_STATE_DIR": str(state),
        "DOCKERFW_DATA_DIR": str(tmp_path / "data"),
        "DJANGO_SETTINGS_MODULE": "dockerfw_site.settings",
    }
    # Other users may not be able to read the interpreter, so everything is loaded before.
    code = (
        "import os, django; django.setup()\n"
        "import rules.command_line.doctor, rules.pages.errors, rules.management.commands.firewall as f\n"
        "from django.core.management import call_command\n"
        "os.setgroups([]); os.setgid(12345); os.setuid(12345)\n"
        "call_command(f.Command(), 'doctor')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BASE_DIR, env=environ, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr
    for check in ("permissions.state", "boot.files", "queue.root-worker", "chains.confirmed", "disk.state"):
        assert re.search(
            rf"^  .*\b{re.escape(check)}\b", done.stdout.partition("Not checked")[2], re.MULTILINE
        )
    assert "Root can check more: sudo dockerfw doctor" in done.stdout
    assert done.returncode in (0, 1)
