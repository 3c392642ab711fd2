"""`python -m tests.machine`: build the machine unless it is there, boot it, play the story."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from tests.machine.machine import Machine
from tests.machine.older import lay_down
from tests.machine.story import Story
from tests.machine.tree import SUITES, MachineError, build_tree
from tests.rig.trees import TreeError

NEEDED = {"systemd-nspawn": "systemd-container", "debootstrap": "debootstrap", "nsenter": "util-linux"}


def main(arguments: list[str]) -> int:
    """Return 0 when all of it went as it must, 1 when something did not, 2 when it cannot be tried here."""
    parser = argparse.ArgumentParser(prog="scripts/reboots")
    parser.add_argument(
        "--suite", default="bookworm", choices=SUITES, help="the release in the machine (%(default)s)"
    )
    options = parser.parse_args(arguments)
    missing = [package for command, package in NEEDED.items() if shutil.which(command) is None]
    if os.geteuid() != 0 or missing:
        needs = f"the Debian packages {' '.join(missing)}" if missing else "root"
        print(f"scripts/reboots needs {needs}.", file=sys.stderr)
        return 2
    try:
        _play(options.suite)
    except (MachineError, TreeError, AssertionError) as error:
        print(f"FAILED  {error}", file=sys.stderr)
        return 1
    return 0


class StoryMachine(Machine):
    """A machine with the clone, and with the release that is upgraded in the end."""

    def _prepare(self, files: Path) -> None:
        super()._prepare(files)
        lay_down(files)


def _play(suite: str) -> None:
    with StoryMachine(build_tree(suite)) as machine:
        try:
            Story(machine, suite).play()
        except (MachineError, AssertionError):
            journal = machine.run("journalctl", "--no-pager", "-b", "-u", "dockerfw-*", check=False).stdout
            print("\n".join(journal.splitlines()[-60:]), file=sys.stderr)
            raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
