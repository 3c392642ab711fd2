"""Build the machine's files once: a Debian or Ubuntu with systemd and Docker, like a server.

In addition to the release, the tree has a network, and the packages and wheels that an installation would
fetch, where apt and pip find them, because the machine has no internet access.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.rig.trees import tree

ROOT = Path(__file__).resolve().parents[2]
# What a server has anyway; what dockerfw needs comes when it is installed.
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "iproute2", "python3", "sudo", "procps", "ca-certificates"),
    "docker.io",
)
# What scripts/setup may ask apt for.
FETCHED = ("iptables", "ipset", "python3-venv", "conntrack", "nftables", "redis-server")
# The releases, the Python that dockerfw gets there, and what else it takes.
SUITES: dict[str, tuple[str, tuple[str, ...]]] = {
    "bookworm": ("3.11", ()),
    "trixie": ("3.13", ()),
    "jammy": ("3.11", ("python3.11", "python3.11-venv")),
    "noble": ("3.12", ()),
}
# (Where Ubuntu's newer Python lies.)
UPDATES = {"jammy": "http://archive.ubuntu.com/ubuntu jammy-updates main universe"}
ADDRESS, ROUTER = "192.0.2.2", "192.0.2.1"
NETWORK = f"[Match]\nName=host0\n[Network]\nAddress={ADDRESS}/24\nGateway={ROUTER}\n"
WHEELS = "/var/wheels"
PIP = f"[global]\nno-index = true\nfind-links = {WHEELS}\ndisable-pip-version-check = true\n"
SECONDS = 1800.0


class MachineError(Exception):
    """The machine could not be built, booted or talked to; the text says why."""


def build_tree(suite: str) -> Path:
    """Return the tree of this release, built now unless it is there. Raises MachineError and TreeError."""
    salt = repr((FETCHED, SUITES[suite], UPDATES.get(suite), NETWORK, PIP, _pins()))
    return tree(suite, PACKAGES, prepare=_prepare(suite), salt=salt)


def copy_clone(target: Path, *, commit: str = "") -> None:
    """Copy the clone as it is now, without what git ignores, or as a commit has it. Raises MachineError."""
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT)]
    with tempfile.NamedTemporaryFile() as packed:
        if commit:
            run(*git, "archive", f"--output={packed.name}", "--format=tar", commit)
        else:
            listed = run(*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
            names = [name for name in listed if name and (ROOT / name).exists()]
            run("tar", "-C", str(ROOT), "--owner=0", "--group=0", "-cf", packed.name, "--", *names)
        target.mkdir(parents=True, exist_ok=True)
        run("tar", "-C", str(target), "-xf", packed.name)


def run(*command: str) -> str:
    """Run a command here and return what it printed. Raises MachineError."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        words = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise MachineError(f"{command[0]} failed with status {done.returncode}:\n{words}")
    return done.stdout


def _prepare(suite: str) -> Callable[[Path], None]:
    def prepare(root: Path) -> None:
        (root / "etc/hostname").write_text("machine\n")
        (root / "etc/hosts").write_text("127.0.0.1 localhost machine\n")
        (root / "etc/systemd/network/10-host0.network").write_text(NETWORK)
        run("systemctl", f"--root={root}", "enable", "systemd-networkd.service")
        if suite in UPDATES:
            with (root / "etc/apt/sources.list").open("a") as sources:
                sources.write(f"deb {UPDATES[suite]}\n")
        version, more = SUITES[suite]
        _fetch_packages(root, (*FETCHED, *more))
        fetch_wheels(root, version)

    return prepare


def _fetch_packages(root: Path, packages: tuple[str, ...]) -> None:
    """Leave the archive's lists and these packages in apt's own store."""
    resolver = root / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    shutil.copy("/etc/resolv.conf", resolver)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)
    # (Nothing stays mounted behind it.)
    alone = ("unshare", "--mount", "--pid", "--fork", f"--mount-proc={root / 'proc'}", "chroot", str(root))
    run(*alone, "apt-get", "update", "-q")
    run(*alone, "apt-get", "install", "-q", "-y", "--download-only", "--no-install-recommends", *packages)
    resolver.unlink()


def fetch_wheels(root: Path, version: str) -> None:
    """Leave the requirements where pip finds them; this machine's pip fetches them."""
    platforms = [f"--platform=manylinux{name}_x86_64" for name in ("2014", "_2_17", "_2_28")]
    words = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    wheels = root / WHEELS.lstrip("/")
    wheels.mkdir(parents=True)
    run(*words, "-d", str(wheels), "--only-binary=:all:", f"--python-version={version}", *platforms, *_pins())
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/pip.conf").write_text(PIP)


def _pins() -> list[str]:
    """Return the requirements without their markers, which pip would judge by its own Python."""
    files = (ROOT / "requirements.txt", ROOT / "scripts" / "font" / "requirements.txt")
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [line.partition(";")[0].strip() for line in lines if line and not line.startswith("#")]
