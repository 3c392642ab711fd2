"""Release 0.1.0, put in by hand as its README told, with one revision kept: what an upgrade begins with."""

from __future__ import annotations

from pathlib import Path

from tests.machine.machine import Machine
from tests.machine.sight import Sight
from tests.machine.tree import copy_clone, run

COMMIT = "8481420"
FOLDER = "home/alice/release"
# Its Redis has to be 7 or later, and its README names Ubuntu 24.04 as the first.
RUNS_NOT_ON = ("jammy",)
# README has no command line for an installed host: this is what it does by hand.
MANAGE = """\
#!/bin/sh
cd /opt/dockerfw
exec sudo -u dockerfw env $(cat /etc/dockerfw/web.env /etc/dockerfw/site.env) \\
    DOCKERFW_DATA_DIR=/var/lib/dockerfw-web .venv/bin/python manage.py "$@"
"""


def lay_down(files: Path) -> None:
    """Put the release where an admin would have cloned it. Raises MachineError."""
    copy_clone(files / FOLDER, commit=COMMIT)


def install_by_hand(machine: Machine, sight: Sight) -> None:
    """Carry out the release's own commands, word for word. Raises MachineError and AssertionError."""
    readme = run("git", "-c", "safe.directory=*", "show", f"{COMMIT}:README.md")
    commands = readme.split("### On a server\n")[1].split("As root:\n\n")[1].split("\n\n")[0]
    machine.sh(f"cp -a /{FOLDER} /opt/dockerfw; chown -R 0:0 /opt/dockerfw; mkdir -p /etc/dockerfw")
    machine.run("sh", "-c", "umask 077; cat >/etc/dockerfw/site.env", stdin="DOCKERFW_SECURE_COOKIES=0\n")
    machine.sh(commands, seconds=900)
    machine.run("sh", "-c", "cat >/tmp/manage; chmod 755 /tmp/manage", stdin=MANAGE)
    sight.await_serving()


def apply_and_keep(machine: Machine, document: str) -> None:
    """Import a document and keep it, by the release's own command line. Raises MachineError."""
    machine.run("/tmp/manage", "firewall", "import", "-", stdin=document)
    machine.run("/tmp/manage", "firewall", "apply", "-m", "by 0.1.0", "--keep", seconds=300)


def open_window(machine: Machine, document: str) -> None:
    """Import a document and apply it, and leave it waiting. Raises MachineError."""
    machine.run("/tmp/manage", "firewall", "import", "-", stdin=document)
    words = ("/tmp/manage", "firewall", "apply", "-m", "not kept", "--window", "900")
    machine.run("systemd-run", "--quiet", "--unit=apply-by-0.1.0", *words)


def cancel(machine: Machine) -> None:
    """Roll back what waits. Raises MachineError."""
    machine.run("/tmp/manage", "firewall", "cancel", seconds=300)
