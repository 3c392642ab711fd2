"""The wheel alone: without Django the agent serves a queue, and every verb answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerfw.version import VERSION
from tests.rig.namespace import Namespace
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import RootWorker

ROOT = Path(__file__).parents[2]
# What pip says when it cannot reach its index.
NO_INDEX = re.compile(r"No matching distribution|Connection|Temporary failure|timed out|unreachable", re.I)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the pinned build system."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a virtual environment that holds only the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False)
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    done = subprocess.run(
        [*command, "-q", "--disable-pip-version-check", str(wheel)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode and NO_INDEX.search(done.stderr):
        pytest.skip("pip cannot download the wheel's requirements: its package index is not reachable")
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_the_wheel_holds_the_engine_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"dockerfw", f"dockerfw-{VERSION}.dist-info"}
    assert {"dockerfw/deploy/dockerfw-boot.service", "dockerfw/deploy/redis/users.acl"} <= set(names)
    python = {name for name in names if name.endswith(".py")}
    assert python == {str(path.relative_to(ROOT)) for path in (ROOT / "dockerfw").rglob("*.py")}


@pytest.fixture
def worker(
    bin_folder: Path, redis_server: RedisServer, namespace: Namespace, tmp_path: Path
) -> Iterator[RootWorker]:
    """A root worker that the wheel's own command runs."""
    one = RootWorker(redis_server, namespace, tmp_path)
    one.program, one.module = (str(bin_folder / "dockerfw"),), ("agent",)
    del one.environment["PYTHONPATH"]
    one.start()
    try:
        one.wait_until_serving()
        yield one
    finally:
        one.stop()


@pytest.mark.index
@pytest.mark.kernel
@pytest.mark.redis
def test_the_agent_serves_a_queue_and_the_verbs_answer(worker: RootWorker, bin_folder: Path) -> None:
    def verb(*words: str) -> tuple[int, str, str]:
        done = worker.namespace.run(
            str(bin_folder / "dockerfw"),
            *words,
            check=False,
            timeout=60,
            environment={**worker.environment, "SSH_CONNECTION": ""},
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    for module in ("django", "rules", "dockerfw_site"):
        done = subprocess.run(
            [bin_folder / "python", "-c", f"import {module}"], capture_output=True, cwd="/", check=False
        )
        assert b"ModuleNotFoundError" in done.stderr, module

    status, out, _ = verb("status")
    assert (status, out.splitlines()) == (1, ["No revision is confirmed yet.", "root worker: running"])
    worker.namespace.add_interface()
    outcome = worker.kept(worker.order("22", "8080", sequence=1))
    assert outcome.state == "confirmed", outcome.error
    assert "--dport 8080" in worker.held()
    status, out, err = verb("status", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["text"] == "Protected: revision 1 is active for IPv4 and IPv6."

    status, out, err = verb("doctor", "--json")
    assert err == ""
    found = {check["id"]: check for check in json.loads(out)["checks"]}
    well = ("chains.confirmed", "anchors.first", "boot.files", "queue.root-worker", "redis.reachable")
    assert [found[check]["level"] for check in well] == ["ok"] * len(well)
    assert found["versions.root-worker"]["text"] == f"The root worker runs {VERSION}."
    for check in ("database.reachable", "permissions.data", "disk.data", "queue.clerk", "versions.web"):
        assert found[check]["level"] == "unknown"
    assert found["database.reachable"]["text"] == "the dashboard is not installed here"
    # This Redis is the test's own and refuses nothing.
    problems = {check for check, one in found.items() if one["level"] == "problem"}
    assert problems >= {"redis.default-user", "redis.rights"}

    status, out, _ = verb("panic", "--allow", "192.0.2.7")
    assert status == 0
    assert "To end it: dockerfw panic --off." in out
    assert "FILTERS-PANIC" in worker.held()
    assert verb("panic", "--off")[0] == 0
    assert "FILTERS-PANIC -" not in worker.held()
    assert verb("release")[0] == 0
    assert "-A INPUT -j FILTERS-HOST" not in worker.held()
    status, out, _ = verb("status")
    assert status == 1
    assert out.startswith("Not protected: the kernel does not hold revision 1 as it was confirmed.")


@pytest.mark.index
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["aply"], "invalid choice: 'aply'"),
        ([], "the following arguments are required: VERB"),
        (["panic", "--alow"], "unrecognized arguments: --alow"),
        (["panic", "--allow", "nowhere"], "--allow nowhere: not an address"),
        (["history"], "invalid choice: 'history'"),
    ],
)
def test_an_error_is_one_sentence(bin_folder: Path, words: list[str], said: str) -> None:
    done = subprocess.run([bin_folder / "dockerfw", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("dockerfw: ")
    assert said in done.stderr


@pytest.mark.index
def test_help_and_version(bin_folder: Path) -> None:
    done = subprocess.run([bin_folder / "dockerfw", "--help"], capture_output=True, text=True, check=True)
    for verb in ("panic", "release", "doctor", "status", "agent"):
        assert re.search(rf"^    {verb} +\w", done.stdout, re.MULTILINE)
    done = subprocess.run([bin_folder / "dockerfw", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"dockerfw {VERSION}\n"


@pytest.mark.index
def test_wrong_settings_are_one_sentence(bin_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("status needs root")
    done = subprocess.run(
        [bin_folder / "dockerfw", "status"],
        env={**os.environ, "DOCKERFW_OBSERVE_SECONDS": "often"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("dockerfw: DOCKERFW_OBSERVE_SECONDS is 'often': ")
