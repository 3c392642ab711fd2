"""Has an engine wait after each change of its rules, so that every state on its way can be looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.rig.docker_host import DockerHost

# Checks and the table nat block every client. A held call continues when the engine has its program again.
_HELD = """#!/bin/sh
{program} "$@"
status=$?
case " $* " in
    *" -t nat "*) ;;
    *" -"[ADIFNPX]" "*)
        : >{waiting}
        while [ -e {waiting} ] && [ ! -L "$0" ]; do sleep 0.01; done ;;
esac
exit $status
"""


@contextlib.contextmanager
def held_back(docker: DockerHost) -> Iterator[Path]:
    """Give a file that is there while the engine waits after a change for IPv4; without it, it goes on."""
    program = docker.directory / "programs" / "iptables"
    waiting = docker.directory / "waiting"
    target = program.readlink()
    script = program.with_name("held")
    script.write_text(_HELD.format(program=target, waiting=waiting))
    script.chmod(0o755)
    script.replace(program)
    try:
        yield waiting
    finally:
        link = program.with_name("link")
        link.symlink_to(target)
        link.replace(program)
        waiting.unlink(missing_ok=True)
