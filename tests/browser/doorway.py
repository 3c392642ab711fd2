"""Access to the pages that the rules can block: the site on the sandbox's ens33, and a browser outside.

scripts/run serves its pages outside the sandbox, where no rule of the sandbox reaches them. Here the site
is served once more inside it, as on a real host, and Chromium runs at the other end of ens33.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.browser.stack import Stack
from tests.rig.namespace import CommandError, end_process, wait_until

ADDRESS = "192.0.2.10"
PORT = 8000
URL = f"http://{ADDRESS}:{PORT}"


def world_of(stack: Stack) -> int:
    """Return the id of the process that holds the network at the other end of the sandbox's ens33."""
    own = stack.pid("root worker")
    for child in Path(f"/proc/{own}/task/{own}/children").read_text().split():
        if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"sleep\0infinity"):
            return int(child)
    raise CommandError("the sandbox has no world")


def entering(pid: int) -> list[str]:
    """Return the words that run a command in the network namespace of a process."""
    own_user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", f"--target={pid}", "--net", *own_user, "--"]


@contextlib.contextmanager
def served_inside(stack: Stack) -> Iterator[None]:
    """Serve the site on the sandbox's ens33 for a `with` block, as the user that the stack's own web is."""
    environment = dict(
        item.split("=", 1)
        for item in Path(f"/proc/{stack.pid('web')}/environ").read_text().split("\0")
        if "=" in item
    )
    owner = (stack.data / "web").stat()
    drop = ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups", "--"]
    command = [
        *entering(stack.pid("root worker")),
        *(drop if os.geteuid() == 0 and owner.st_uid else []),
        *(str(stack.code / ".venv/bin/python"), "-m", "gunicorn", "dockerfw_site.wsgi"),
        *("--bind", f"{ADDRESS}:{PORT}"),
        *("--config", "python:dockerfw_site.gunicorn_settings", "--graceful-timeout", "2"),
    ]
    with (stack.directory / "inside.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *command],
            cwd=stack.code,
            env={**environment, "DOCKERFW_ALLOWED_HOSTS": ADDRESS},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_until("the site inside the sandbox", lambda: _listens(stack))
            yield
        finally:
            end_process(process)


def _listens(stack: Stack) -> bool:
    return f":{PORT} " in stack.in_sandbox("ss", "-Hltn")


def browser_in_the_world(stack: Stack, chromium: Path) -> Path:
    """Write a program that runs Chromium in the sandbox's world, and return where it is."""
    program = stack.directory / "chromium-in-the-world"
    program.write_text(f'#!/bin/sh\nexec {" ".join(entering(world_of(stack)))} {chromium} "$@"\n')
    program.chmod(0o700)
    return program
