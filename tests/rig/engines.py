"""The Docker engines under test: which release contains each one, and what version it reports.

Docker 20.10 is the one of this machine if that is a Debian 12. All others are in trees.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dockerfw.host.observation import iptables_version
from tests.rig.lab import Lab
from tests.rig.namespace import PATIENCE
from tests.rig.trees import tree

PACKAGES = ("ca-certificates", "iproute2", "iptables", "docker.io", "nftables", "procps")


@dataclass(frozen=True, slots=True)
class Engine:
    """One release of Docker as a release of Debian or Ubuntu brings it."""

    name: str
    suite: str
    packages: tuple[str, ...] = (*PACKAGES, "docker-cli")

    def tree(self) -> Path | None:
        """Return where it lives, built now if need be; None when it is the one of this machine."""
        return None if self.name == _installed() else self.debian()

    def debian(self) -> Path:
        """Return a tree with it, built now if need be, also when this machine has the same."""
        return tree(self.suite, self.packages)


ENGINES = {
    each.name: each
    for each in (
        Engine("20.10", "bookworm", PACKAGES),
        Engine("26.1", "trixie"),
        Engine("28.5", "sid", (*PACKAGES, "docker-cli", "docker-compose")),
        Engine("29.1", "noble-updates", PACKAGES),
    )
}
# Debian's newest.
NEWEST = ENGINES["28.5"]
# Where clients of all of them look for plugins.
PLUGINS = Path("usr/libexec/docker/cli-plugins")


def compose_program() -> Path:
    """Return Compose's plugin, which comes with Debian's newest engine and works with all of them."""
    return NEWEST.debian() / PLUGINS / "docker-compose"


def versions(lab: Lab) -> dict[str, str]:
    """Ask the programs of a lab's engine what they are; iptables as the root worker asks it."""
    with lab.docker.entered():
        # Uncached, since one process tries several.
        iptables = iptables_version.__wrapped__(lab.docker.backend)
    return {
        "docker": lab.docker.docker("version", "--format", "{{.Server.Version}}"),
        "iptables": iptables.split()[1].removeprefix("v"),
        "compose": subprocess.run(
            [compose_program(), "version", "--short"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        ).stdout.strip(),
        # Without what only this machine's makers know.
        "kernel": lab.host.output("uname", "-r").strip().partition("-")[0],
    }


def _installed() -> str:
    """Return the first two numbers of the version of this machine's dockerd, "" without one."""
    if shutil.which("dockerd") is None:
        return ""
    said = subprocess.run(
        ["dockerd", "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    return ".".join(said.stdout.split()[2].split(".")[:2])
