"""An installation on disk as a release left it, the commands on it, and what it holds."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RELEASES = ROOT / "tests" / "upgrades" / "releases"
_SHOWN = Path("/mnt")
# Made anew by each migration run, or differ on purpose after a restore.
NOT_COMPARED = {
    "django_migrations",
    "rules_host",
    "sqlite_sequence",
    "auth_permission",
    "django_content_type",
}


class Installation:
    """The folders of one installation below a directory, and manage.py with them."""

    def __init__(self, directory: Path, database_url: str = "") -> None:
        self.directory = directory
        self.data, self.state, self.settings = (directory / name for name in ("web", "state", "settings"))
        self.database_url = database_url
        self.python: tuple[str, ...] = (sys.executable,)
        for folder in (self.data, self.settings):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its processes."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DOCKERFW_")}
        return {
            **clean,
            "DOCKERFW_DATA_DIR": str(self.data),
            "DOCKERFW_STATE_DIR": str(self.state),
            "DOCKERFW_SETTINGS_DIR": str(self.settings),
            "DATABASE_URL": self.database_url,
        }

    def manage(
        self, *words: str, given: bytes = b"", user: int | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run manage.py."""
        return subprocess.run(
            [*(_as(user) if user else ()), *self.python, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            input=given,
            capture_output=True,
            timeout=120,
            check=False,
        )

    def firewall(self, *words: str) -> str:
        """Run a verb that has to work; return what it printed."""
        done = self.manage("firewall", *words)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def refused(self, *words: str) -> str:
        """Run a verb that has to refuse with one sentence; return that."""
        done = self.manage("firewall", *words)
        said = done.stderr.decode()
        assert done.returncode == 2, (done.returncode, said, done.stdout)
        assert said.count("\n") == 1, said
        assert "Traceback" not in said
        return said

    def rows(self, like: Installation | None = None) -> dict[str, list[dict[str, Any]]]:
        """Return every row of every table of its SQLite database that has to stay the same.

        With `like`, only the tables and columns that the other one has.
        """
        known = like.rows() if like else {}
        with contextlib.closing(sqlite3.connect(self.data / "dockerfw.sqlite3")) as database:
            database.row_factory = sqlite3.Row
            tables = [
                row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            found = {}
            for name in tables:
                if name in NOT_COMPARED or (like and name not in known):
                    continue
                rows = [dict(row) for row in database.execute(f"SELECT * FROM {name} ORDER BY 1")]
                if name == "rules_rule":
                    rows = [_with_one_source(row) for row in rows]
                columns = known[name][0].keys() if like and known[name] else None
                found[name] = [{key: row[key] for key in columns} if columns else row for row in rows]
            return found

    def query(self, text: str) -> list[Any]:
        """Ask its SQLite database."""
        with contextlib.closing(sqlite3.connect(self.data / "dockerfw.sqlite3")) as database, database:
            return database.execute(text).fetchall()

    def files(self) -> dict[str, bytes]:
        """Return every file and link below its folders, databases as their statements."""
        found = {}
        for path in sorted(self.directory.rglob("*")):
            name = str(path.relative_to(self.directory))
            if path.is_symlink():
                found[name] = os.readlink(path).encode()
            elif path.is_file() and not name.endswith((".lock", "/lock")):
                content = path.read_bytes()
                found[name] = _statements(path) if content.startswith(b"SQLite format 3") else content
        return found


def _with_one_source(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a rule with the one source that releases before groups had, too."""
    if "sources" not in row:
        return row
    return {**row, "source": (json.loads(row["sources"]) or ["any"])[0]}


def _statements(path: Path) -> bytes:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return "\n".join(database.iterdump()).encode()


def _as(user: int) -> list[str]:
    """Become an ordinary user, who may read what this Python is made of, wherever that lies."""
    reads = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *reads, "--"]


def python_in_reach() -> tuple[str, ...]:
    """Return root's words for this Python and code where all users reach them, as those of an installation.

    The clone may lie in root's own home. Other users cannot see it there.
    """
    show = f'mount --bind "$0" {_SHOWN}; cd {_SHOWN}; exec "$@"'
    python = Path(sys.executable)
    shown = _SHOWN / python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    return ("unshare", "--mount", "sh", "-euc", show, str(ROOT), str(shown))


def released(release: str, directory: Path) -> Installation:
    """Unpack what a release left behind."""
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(RELEASES / release / "installation.tar.xz") as tar:
        # (Debian 12's Python knows no filters, and trusts.)
        if sys.version_info < (3, 12):
            tar.extractall(directory)
        else:
            tar.extractall(directory, filter="tar")
    return Installation(directory)
