"""scripts/run from the outside: what it prints, how it ends, and that nothing stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser.stack import Stack
from tests.rig.namespace import PATIENCE, wait_until, why_unavailable

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parent.parent


def run(data: Path, *arguments: str, script: str = "run") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"scripts/{script}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "DOCKERFW_DATA_DIR": str(data)},
    )


def left_behind(data: Path) -> list[str]:
    """Return the command lines of all processes whose command or environment names this data folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if bytes(data) in words and process.name != str(os.getpid()):
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.fixture(scope="module")
def needs_namespace() -> None:
    reason = why_unavailable()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def any_stack(needs_namespace: None) -> Iterator[Stack]:
    started = Stack()
    yield started
    started.delete()


@pytest.fixture
def stack(any_stack: Stack) -> Stack:
    """A run, started again on its data if a test has ended it."""
    if not any_stack.is_running():
        any_stack.start()
    return any_stack


def test_a_bad_argument_is_said(tmp_path: Path) -> None:
    for arguments in (["--port", "70000"], ["--port", "x"], ["--nonsense"]):
        done = run(tmp_path, *arguments)
        assert done.returncode == 2, done.stderr
        assert arguments[-1] in done.stderr
        assert "Traceback" not in done.stderr


def test_a_taken_port_is_said_in_one_sentence(needs_namespace: None, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run(tmp_path, "--port", str(port))
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_host_needs_root(needs_namespace: None) -> None:
    # In a user namespace without a map of users, this process is not root.
    done = subprocess.run(
        ["unshare", "--user", sys.executable, "-m", "scripts.stack", "--host"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "needs root: sudo scripts/run --host" in done.stderr


def test_a_namespace_without_power_is_said_in_one_sentence(needs_namespace: None, tmp_path: Path) -> None:
    # As Ubuntu's AppArmor does it: there is a namespace, and nothing in it is allowed.
    unshare = tmp_path / "unshare"
    dropped = "setpriv --bounding-set=-all --inh-caps=-all --"
    unshare.write_text(f'#!/bin/sh\nkind=$1\nshift\nexec {shutil.which("unshare")} "$kind" {dropped} "$@"\n')
    unshare.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "scripts.stack"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "DOCKERFW_DATA_DIR": str(tmp_path / "data"),
        },
    )
    assert done.returncode == 1, done.stderr
    assert "create a usable network namespace (RTNETLINK answers: Operation not permitted)" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_from_the_start_to_ctrl_c(stack: Stack) -> None:
    assert stack.setup_link
    with urllib.request.urlopen(f"{stack.address}/healthz") as answer:
        assert answer.status == 200
    assert "sandbox" in stack.printed()
    assert (stack.data / "web" / "secret_key").stat().st_mode & 0o077 == 0
    # (The root worker comes in as a member of the group.)
    assert stack.data.stat().st_mode & 0o067 == 0
    again = run(stack.data, "--port", "1")
    assert again.returncode == 1
    assert "already running" in again.stderr
    status = run(stack.data, "status", script="firewall")
    assert "Nothing has been applied yet" in status.stdout, status.stderr
    findings = run(stack.data, "doctor", script="firewall")
    assert "To do: scripts/firewall apply -m 'the first rules'" in findings.stdout, findings.stderr
    assert stack.stop() == 0
    assert stack.printed().rstrip().endswith("dockerfw: stopped.")
    assert left_behind(stack.data) == []
    assert not (stack.data / "run" / "redis.sock").exists()
    assert not (stack.data / "run" / "users.acl").exists()


def status_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}


def test_no_process_has_more_than_it_needs(stack: Stack) -> None:
    root_worker = status_of(stack.pid("root worker"))
    # CAP_NET_ADMIN, CAP_NET_RAW, and CAP_SYS_ADMIN where there are no user namespaces.
    assert int(root_worker["CapEff"][0], 16) & ~(1 << 21) == 1 << 12 | 1 << 13
    assert root_worker["NoNewPrivs"] == ["1"]
    for name in ("web", "clerk", "redis"):
        found = status_of(stack.pid(name))
        assert int(found["CapEff"][0], 16) == int(found["CapPrm"][0], 16) == 0, name
        assert "0" not in found["Uid"], name


def test_panic_is_not_for_the_sandbox(stack: Stack) -> None:
    for verb in ("panic", "release"):
        done = subprocess.run(
            ["scripts/firewall", verb],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "DOCKERFW_DATA_DIR": str(stack.data)},
        )
        assert done.returncode == 2
        assert f"{verb} works only with scripts/run --host" in done.stderr


def test_each_process_knows_its_own_password_only(stack: Stack) -> None:
    names = {"web": "web", "clerk": "clerk", "root worker": "root-local"}
    urls = {name: urlsplit(stack.redis_url(name)) for name in names}
    assert {name: url.username for name, url in urls.items()} == names
    passwords = {url.password for url in urls.values()}
    assert len(passwords) == 3
    assert not any(
        password in (stack.data / "run" / "users.acl").read_text() for password in passwords if password
    )
    assert (stack.data / "run" / "users.acl").stat().st_mode & 0o077 == 0
    assert (stack.data / "environment").stat().st_mode & 0o077 == 0
    for name in ("web", "clerk", "redis"):
        text = Path(f"/proc/{stack.pid(name)}/environ").read_text()
        assert f"{urls['root worker'].password}" not in text, name


def test_started_again_it_finds_its_data(stack: Stack) -> None:
    key = (stack.data / "web" / "secret_key").read_text()
    hosts = "from rules.models import Host"
    stack.manage("shell", "-c", f"{hosts}; Host.objects.create(name='kept')")
    stack.stop()
    stack.start()
    assert (stack.data / "web" / "secret_key").read_text() == key
    shown = stack.manage("shell", "-c", f"{hosts}; print(Host.objects.get(name='kept').name)")
    assert shown.split()[-1] == "kept"


@pytest.mark.parametrize("name", ["redis", "root worker", "clerk", "web"])
def test_when_one_process_dies_it_says_which_and_stops_all(stack: Stack, name: str) -> None:
    process = stack._process
    assert process is not None
    os.kill(stack.pid(name), signal.SIGKILL)
    assert process.wait(PATIENCE) == 1
    assert f"{name} stopped by itself, status -9" in stack.printed()
    assert left_behind(stack.data) == []


def test_killed_itself_it_takes_all_with_it(stack: Stack) -> None:
    process = stack._process
    assert process is not None
    process.kill()
    process.wait(PATIENCE)
    wait_until("the end of all processes", lambda: not left_behind(stack.data))
