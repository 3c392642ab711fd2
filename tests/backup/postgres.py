"""A Postgres server of a test's own: in a folder of its own, on a unix socket, as an ordinary user."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.namespace import end_process, wait_until

NOBODY = 65534


def programs() -> Path:
    """Return the folder of the newest server's programs; skip the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if not found:
        pytest.skip("no Postgres server here")
    return found[-1].parent


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run a server with an empty database for the block, which gets the database's address."""
    folder = programs()
    # The server refuses to be root.
    user = NOBODY if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="dockerfw-pg-") as place:
        os.chmod(place, 0o755)
        data = Path(place) / "data"
        data.mkdir()
        if user is not None:
            os.chown(place, user, user)
            os.chown(data, user, user)
        options: dict[str, Any] = {
            "cwd": place,
            "user": user,
            "group": user,
            "extra_groups": [] if user else None,
        }
        words = [str(folder / "initdb"), "-D", str(data), "-U", "dockerfw", "-A", "trust", "--no-sync"]
        subprocess.run(words, check=True, capture_output=True, **options)
        words = [str(folder / "postgres"), "-D", str(data), "-k", place, "-c", "listen_addresses=", "-F"]
        with open(Path(place) / "log", "wb") as log:
            server = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, **options)
        try:
            ready = [str(folder / "pg_isready"), "-q", "-h", place, "-U", "dockerfw", "-d", "postgres"]
            wait_until("Postgres", lambda: subprocess.run(ready, check=False).returncode == 0)
            yield f"postgres://dockerfw@/postgres?host={place}"
        finally:
            end_process(server)
