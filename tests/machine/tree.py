"""Builds the machine's files, once: a Debian with the packages that dockerfw runs on, and Docker.

Owns the folder of the finished tree. Nothing of this machine's own system is touched.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What a server has anyway, then what docs/install.md asks for, then what the story needs.
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "iptables", "iproute2", "python3", "python3-venv", "sudo"),
    *("redis-server", "conntrack"),
    *("docker.io", "procps", "ca-certificates"),
)
ADDRESS, ROUTER = "192.0.2.2", "192.0.2.1"
NETWORK = f"[Match]\nName=host0\n[Network]\nAddress={ADDRESS}/24\nGateway={ROUTER}\n"
SECONDS = 1800.0


class MachineError(Exception):
    """The machine could not be built, booted or talked to; the text says why."""


def build_tree(cache: Path, suite: str) -> Path:
    """Return the tree of this Debian release, built now unless it is in the cache. Raises MachineError."""
    folder = cache / f"{suite}-{_stamp(suite)}"
    if not folder.exists():
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        print(f"Building a {suite} machine in {folder}; the next run finds it there.", flush=True)
        draft = cache / "draft"
        _build(draft, suite)
        draft.rename(folder)
    return folder


def copy_clone(target: Path) -> None:
    """Copy the clone as it is now, without what git ignores, into a folder. Raises MachineError."""
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
    listed = run(*git, "--cached", "--others", "--exclude-standard").split("\0")
    names = [name for name in listed if name and (ROOT / name).exists()]
    with tempfile.NamedTemporaryFile() as packed:
        run("tar", "-C", str(ROOT), "--owner=0", "--group=0", "-cf", packed.name, "--", *names)
        run("tar", "-C", str(target), "-xf", packed.name)


def run(*command: str) -> str:
    """Run a command here and return what it printed. Raises MachineError."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        words = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise MachineError(f"{command[0]} failed with status {done.returncode}:\n{words}")
    return done.stdout


def _stamp(suite: str) -> str:
    parts = [suite, *PACKAGES, Path(__file__).read_text(), (ROOT / "requirements.txt").read_text()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _build(root: Path, suite: str) -> None:
    run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(root))
    (root / "etc/hostname").write_text("machine\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost machine\n")
    (root / "etc/systemd/network/10-host0.network").write_text(NETWORK)
    run("systemctl", f"--root={root}", "enable", "systemd-networkd.service")
    _install_requirements(root)


def _install_requirements(root: Path) -> None:
    """Let scripts/setup do what it does on a server, with wheels that this machine's pip fetched."""
    clone, wheels = root / "opt" / "dockerfw", root / "opt" / "wheels"
    clone.mkdir(parents=True)
    wheels.mkdir()
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = run("chroot", str(root), "python3", "-c", code).strip()
    platforms = [f"--platform=manylinux{name}_x86_64" for name in ("2014", "_2_17", "_2_28")]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "-d", str(wheels)]
    # Without the markers, which pip would judge by the Python that it runs with.
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [line.partition(";")[0].strip() for line in lines if line and not line.startswith("#")]
    run(*pip, "--only-binary=:all:", f"--python-version={version}", *platforms, "--no-deps", *wanted)
    copy_clone(clone)
    environment = ["env", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/opt/wheels"]
    # Its shell wants /proc; nothing stays mounted behind it.
    alone = ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={root / 'proc'}"]
    run(*alone, "chroot", str(root), *environment, "/opt/dockerfw/scripts/setup", "run")
    shutil.rmtree(wheels)
