"""What root executes when it starts scripts/run: the user of the web pages can change none of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.browser.stack import ROOT, Stack
from tests.machine.own import OwnMachine
from tests.machine.tree import copy_clone
from tests.rig.namespace import wait_until, why_unavailable
from tests.test_installation import why_not

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has code that others must not change"),
]

ALICE = 12345
COPIES = Path("/opt/dockerfw-run")
PROCESSES = ("web", "clerk", "redis")
# It says which of the files that it reads it could change: in place, by a new file, or as the owner.
ATTACK = """
import json, os, stat, sys
def changes(path):
    try:
        found = os.stat(path)
        if found.st_uid == os.getuid():
            return True
        if stat.S_ISDIR(found.st_mode):
            # (In a sticky folder a user replaces only what is his own.)
            return os.access(path, os.W_OK) and not found.st_mode & stat.S_ISVTX
        os.close(os.open(path, os.O_WRONLY))
        return True
    except OSError:
        return False
paths = set(json.load(sys.stdin))
for path in list(paths):
    while path != "/":
        path = os.path.dirname(path)
        paths.add(path)
print(json.dumps(sorted(filter(changes, paths))))
"""
# Everything that the root worker, its watchdog, scripts/run itself and scripts/firewall import.
IMPORTS = """
import importlib, json, os, pkgutil, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "dockerfw_site.settings"
import dockerfw, scripts.stack
import django; django.setup()
for package in (dockerfw, scripts.stack):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
print(json.dumps([*filter(None, files), *filter(os.path.exists, sys.path)]))
"""
COMMANDS = ("iptables-nft-restore", "ip6tables-nft-save", "unshare", "setpriv", "ip", "env", "sh", "nft")


def holes(uid: int, gid: int, paths: Iterable[Path]) -> list[str]:
    """Return which of these, and of the folders above them, a user could change."""
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", ATTACK],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        user=uid,
        group=gid,
        extra_groups=[],
    )
    found: list[str] = json.loads(done.stdout)
    return found


def executed(stack: Stack) -> set[Path]:
    """Return every file that root executes, maps or imports in this run, and where links lead."""
    worker = stack.pid("root worker")
    found = {Path(shutil.which(name) or "/bin/sh") for name in COMMANDS}
    for pid in (stack.started, worker):
        maps = Path(f"/proc/{pid}/maps").read_text()
        found |= {Path(name) for name in re.findall(r" (/\S+)$", maps, re.MULTILINE)}
        found.add(Path(os.readlink(f"/proc/{pid}/exe")))
        found.add(stack.code / Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0])
    done = subprocess.run(
        [stack.code / ".venv/bin/python", "-c", IMPORTS],
        cwd=stack.code,
        env={**stack.variables(), "DOCKERFW_SECURE_COOKIES": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found |= {Path(name) for name in json.loads(done.stdout)}
    found |= {stack.code / ".venv/pyvenv.cfg", stack.code / "manage.py", stack.data / "environment"}
    return {path for path in found | {path.resolve() for path in found} if path.exists()}


def user_of(stack: Stack, name: str) -> tuple[int, int]:
    found = Path(f"/proc/{stack.pid(name)}").stat()
    return found.st_uid, found.st_gid


class AlicesStack(Stack):
    """A sandbox that root starts from a clone of alice's, as sudo does."""

    def __init__(self) -> None:
        with TemporaryDirectory(prefix="dockerfw-clone-") as folder:
            os.chmod(folder, 0o755)
            self.clone = Path(folder) / "dockerfw"
            copy_clone(self.clone)
            os.chown(folder, ALICE, ALICE)
            subprocess.run(["chown", "-R", f"{ALICE}:{ALICE}", self.clone], check=True)
            super().__init__()
            self.of_clone = holes(ALICE, ALICE, [self.clone / "dockerfw/__main__.py"])

    def variables(self) -> dict[str, str]:
        return {**super().variables(), "SUDO_UID": str(ALICE), "SUDO_GID": str(ALICE), "SUDO_USER": "alice"}


class HostStack(Stack):
    """`scripts/run --host` in a network namespace, so that it cannot reach this machine's rules."""

    inside = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    words = ("--host",)
    above = "/var/lib"

    def variables(self) -> dict[str, str]:
        return {**super().variables(), "DOCKERFW_STATE_DIR": str(self.directory / "state")}


@pytest.fixture(scope="module")
def prepared() -> None:
    """Root's copy, made where there is a network."""
    if reason := why_unavailable():
        pytest.skip(reason)
    subprocess.run([ROOT / "scripts/copy"], check=True, capture_output=True, timeout=600)


@pytest.fixture(scope="module", params=[AlicesStack, HostStack])
def stack(prepared: None, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A run that root started."""
    started: Stack = request.param()
    yield started
    started.delete()


def test_no_process_of_the_web_side_can_change_what_root_executes(stack: Stack) -> None:
    files = executed(stack)
    assert len(files) > 400
    assert stack.code / "dockerfw/host/background.py" in files
    assert {"os.py", "sh", "pyvenv.cfg"} <= {path.name for path in files}
    users = {user_of(stack, name) for name in PROCESSES}
    assert len(users) == 1
    for uid, gid in (*users, (ALICE, ALICE)):
        assert uid != 0
        assert holes(uid, gid, files) == []


def test_the_attack_finds_code_that_its_user_can_change(stack: Stack) -> None:
    if isinstance(stack, AlicesStack):
        assert str(stack.clone / "dockerfw/__main__.py") in stack.of_clone
        assert str(stack.clone / "dockerfw") in stack.of_clone
    else:
        assert holes(*user_of(stack, "web"), [stack.data / "web/secret_key"]) != []


def test_root_runs_a_copy_and_not_the_clone(stack: Stack) -> None:
    assert stack.code.parent == COPIES
    assert os.readlink(f"/proc/{stack.pid('root worker')}/exe").startswith("/usr/")
    assert "Web, clerk and Redis run as dockerfw." in stack.printed()
    variables = Path(f"/proc/{stack.pid('root worker')}/environ").read_text()
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\0" in variables


def test_the_command_line_runs_the_code_of_the_run(stack: Stack) -> None:
    (own,) = re.findall(r"^code=(\S+)$", (stack.data / "environment").read_text(), re.MULTILINE)
    assert own == str(stack.code)
    done = firewall("status", data=stack.data)
    assert "Nothing has been applied yet" in done.stdout, done.stderr
    found = json.loads(firewall("doctor", "--json", data=stack.data).stdout)["checks"]
    assert [finding["level"] for finding in found if finding["id"] == "permissions.code"] == ["ok"]


def firewall(*words: str, data: Path, clone: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/firewall", *words],
        cwd=clone,
        env={**os.environ, "DOCKERFW_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_line_of_root_reads_no_file_of_another_user(prepared: None, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    (tmp_path / "environment").write_text(f"# host\ntouch {proof}\n")
    for path in (tmp_path / "environment", tmp_path):
        os.chown(path, ALICE, ALICE)
        done = firewall("panic", data=tmp_path)
        assert done.returncode == 2, done.stdout + done.stderr
        assert not proof.exists()
        os.chown(path, 0, 0)


@pytest.fixture
def clone(prepared: None) -> Iterator[Path]:
    """A clone that a test may change."""
    with TemporaryDirectory(prefix="dockerfw-clone-") as folder:
        copy_clone(Path(folder) / "dockerfw")
        yield Path(folder) / "dockerfw"


def run_host(clone: Path, data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Start in a network namespace of its own: should it start all the same, it reaches no rules of ours."""
    given = {"DOCKERFW_DATA_DIR": str(data), "DOCKERFW_STATE_DIR": str(data / "state")} if words else {}
    return subprocess.run(
        ["unshare", "--net", *(words or ["scripts/run"]), "--host", "--port", "1"],
        cwd=clone,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_host_refuses_code_that_another_user_can_change(clone: Path) -> None:
    with TemporaryDirectory(prefix="dockerfw-test-", dir="/var/lib") as folder:
        os.chown(clone / "dockerfw/__main__.py", ALICE, ALICE)
        words = (str(ROOT / ".venv/bin/python"), "-m", "scripts.stack")
        done = run_host(clone, Path(folder) / "data", *words)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "Root runs this code, and the user 12345 can change" in done.stderr
        assert not (Path(folder) / "data").exists()


def test_host_refuses_a_data_folder_of_another_user(clone: Path, tmp_path: Path) -> None:
    shutil.copytree(clone, "/opt/dockerfw-run/test-of-data")
    code = Path("/opt/dockerfw-run/test-of-data")
    try:
        words = (str(ROOT / ".venv/bin/python"), "-m", "scripts.stack")
        with TemporaryDirectory(prefix="dockerfw-test-", dir="/var/lib") as folder:
            os.chown(folder, ALICE, ALICE)
            done = run_host(code, Path(folder) / "data", *words)
            assert done.returncode == 1
            assert len(done.stderr.splitlines()) == 1
            assert "belongs to the user 12345. Choose another one with DOCKERFW_" in done.stderr
    finally:
        shutil.rmtree(code)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_run_for_the_host_itself_out_of_a_users_clone_keeps_its_former_data() -> None:
    clone, data = "/home/alice/dockerfw", "/var/lib/dockerfw-run/host"
    unit = ("systemd-run", "--quiet", "--unit=run", "--setenv=SUDO_UID=1000")
    with OwnMachine() as machine:
        # As an earlier release left it: what the web side wrote belongs to alice.
        machine.sh(f"mkdir -p -m 700 {clone}/var/host/web; echo kept >{clone}/var/host/web/note")
        machine.sh(f"chown -R 1000:1000 {clone}/var/host/web")
        machine.run(
            "systemd-run", "--quiet", "--unit=held", "flock", f"{clone}/var/host/run.lock", "sleep", "99"
        )
        wait_until("the lock", lambda: machine.sh(f"ls {clone}/var/host").count("run.lock"))
        done = machine.run(f"{clone}/scripts/run", "--host", check=False)
        assert (done.status, "Stop the run that uses it" in done.stderr) == (1, True), done.stderr
        machine.sh("systemctl stop held")
        machine.run(*unit, f"{clone}/scripts/run", "--host", "--port", "8123")
        wait_until(
            "the welcome", lambda: "Ctrl-C stops" in machine.sh("journalctl -o cat -u run"), seconds=300
        )
        assert f"moved the data of earlier runs from {clone}/var/host to {data}." in machine.sh(
            "journalctl -o cat -u run"
        )
        assert machine.sh(f"cat {data}/web/note; stat -c %U {data}/web/note").split() == ["kept", "dockerfw"]
        lines = machine.sh("ps -eo user:20,args").splitlines()
        users = {
            word: {line.split()[0] for line in lines if re.search(rf"^\S+ +/\S+ .*\b{word}\b", line)}
            for word in ("agent", "gunicorn", "clerk", "redis")
        }
        assert users == {"agent": {"root"}, **{name: {"dockerfw"} for name in ("gunicorn", "clerk", "redis")}}
        assert "Nothing has been applied" in machine.sh(f"{clone}/scripts/firewall status || true")
        machine.sh(f"{clone}/scripts/firewall panic --allow 192.0.2.7")
        assert "192.0.2.7" in machine.sh("iptables-save")
        machine.sh("systemctl stop run")
        assert not machine.sh("ps -eo args | grep '^/opt/dockerfw-run/' || true")


def test_without_a_copy_the_sandbox_starts_and_host_does_not(clone: Path, tmp_path: Path) -> None:
    copy = clone / "scripts/copy"
    copy.write_text("#!/bin/sh\necho 'dockerfw: needs Python 3.11 or later.' >&2\nexit 1\n")
    (clone / ".venv").symlink_to(ROOT / ".venv")
    os.chmod(clone.parent, 0o700)

    class Without(Stack):
        def __init__(self) -> None:
            self.clone = clone
            super().__init__()

    without = Without()
    try:
        assert "Running as root without its capabilities: the account dockerfw" in without.printed()
        for name in PROCESSES:
            status = Path(f"/proc/{without.pid(name)}/status").read_text()
            assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE), name
    finally:
        without.delete()
    done = run_host(clone, tmp_path)
    assert done.returncode == 1
    assert done.stderr == "dockerfw: needs Python 3.11 or later.\n"


def test_a_link_in_the_clone_does_not_lead_root_out_of_its_copy(clone: Path) -> None:
    (clone / "dockerfw/more.py").symlink_to("/tmp/more.py")
    done = subprocess.run([clone / "scripts/copy"], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 1
    assert "dockerfw/more.py is a symbolic link" in done.stderr
    assert not list(COPIES.glob("new*"))


def test_a_copy_is_used_again_and_goes_when_nothing_holds_it(clone: Path) -> None:
    made = [
        subprocess.run([path / "scripts/copy"], capture_output=True, text=True, check=True, timeout=600)
        for path in (ROOT, clone)
    ]
    copy = Path(made[0].stdout.strip())
    assert made[1].stdout == made[0].stdout
    assert made[1].stderr == ""
    held, old = COPIES / "test-held", COPIES / "test-old"
    for path in (held, old):
        path.mkdir(exist_ok=True)
        os.utime(path, (1, 1))
    with held_by_a_run(held):
        subprocess.run([ROOT / "scripts/copy"], capture_output=True, check=True, timeout=600)
        assert (held.exists(), old.exists(), copy.exists()) == (True, False, True)
    shutil.rmtree(held)


@contextlib.contextmanager
def held_by_a_run(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    yield
    os.close(descriptor)
