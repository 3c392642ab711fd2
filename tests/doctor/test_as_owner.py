"""Root asks a database as the user that it belongs to, so that no file of root's comes to lie beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rules.command_line.as_owner import NotTheOwner, as_owner

SOMEBODY = 12345

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def database() -> Iterator[Path]:
    """A database in SQLite's WAL mode that belongs to another user, in that user's folder."""
    own = Path(tempfile.mkdtemp(prefix="dockerfw-owner-"))
    path = own / "d.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    for place in (own, *own.iterdir()):
        os.chown(place, SOMEBODY, SOMEBODY)
    yield path
    shutil.rmtree(own)


def ask(path: Path) -> dict[str, Any]:
    """Ask as SQLite is asked, and tell who did, and whose the files beside it are meanwhile."""
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM t").fetchone()
    owners = {found.name: found.stat().st_uid for found in path.parent.iterdir()}
    return {"uid": os.geteuid(), "groups": os.getgroups(), "count": count, "owners": owners}


def test_root_becomes_the_owner_for_it(database: Path) -> None:
    said = as_owner(database, lambda: ask(database))
    assert (said["uid"], said["groups"], said["count"]) == (SOMEBODY, [], 0)
    assert len(said["owners"]) == 3
    assert set(said["owners"].values()) == {SOMEBODY}
    assert os.geteuid() == 0


def test_a_link_to_a_file_of_root_does_not_run_as_root(database: Path, tmp_path: Path) -> None:
    roots = tmp_path / "roots"
    roots.touch()
    database.unlink()
    database.symlink_to(roots)
    said = as_owner(database, lambda: {"uid": os.geteuid()})
    assert said == {"uid": SOMEBODY}
    assert roots.read_bytes() == b""


def test_what_is_roots_own_is_asked_at_once(tmp_path: Path) -> None:
    assert as_owner(tmp_path, lambda: {"pid": os.getpid()}) == {"pid": os.getpid()}


def test_what_fails_there_is_said(database: Path) -> None:
    def fail() -> dict[str, Any]:
        raise PermissionError(13, "no")

    with pytest.raises(NotTheOwner):
        as_owner(database, fail)
    with pytest.raises(FileNotFoundError):
        as_owner(database.with_name("none"), fail)
