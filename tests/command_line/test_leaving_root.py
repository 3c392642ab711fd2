"""Root runs the verbs that use the database as the account that the database belongs to."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rules.management.commands.firewall import OF_DATABASE, VERBS, Command, _verb

ROOT = Path(__file__).resolve().parent.parent.parent
ALICE = 12345
DATABASE = "dockerfw.sqlite3"
# Each verb that uses the database.
USES: dict[str, tuple[str, ...]] = {
    "plan": (),
    "import": ("-",),
    "export": (),
    "apply": ("-m", "why"),
    "history": (),
    "diff": ("1", "2"),
    "rollback": ("1", "-m", "why"),
    "confirm": (),
    "cancel": (),
    "status": (),
    "expectations": (),
    "trace": ("192.0.2.7",),
    "exposure": (),
    "groups": (),
    "rules": (),
    "refused": (),
}
NOTHING = '{"format": "dockerfw/1", "rules": []}'
SSH = '{"format": "dockerfw/1", "rules": [{"scope": "host", "protocol": "tcp", "ports": ["22"]}]}'
ON_FILES = ("parse", "render", "check")
WITH_OWN_WAYS = ("panic", "release", "reset-sequence", "doctor", "backup", "restore")

# An interpreter in a folder of root's alone, such as /root, is put into a folder that everyone may enter.
OPEN = """
base=$1 closed=$2; shift 2
if [ -n "$closed" ]; then
    hold=$(mktemp -d); mount --bind "$base" "$hold"
    mount -t tmpfs -o mode=755 none "$closed"; mkdir -p "$base"; mount --bind "$hold" "$base"
fi
exec "$@"
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """The data of a run whose web side is alice's, with an empty database."""
    above = Path(tempfile.mkdtemp(prefix="dockerfw-root-"))
    above.chmod(0o755)
    data = above / "web"
    data.mkdir(mode=0o700)
    os.chown(data, ALICE, ALICE)
    words = [sys.executable, "manage.py", "migrate", "--skip-checks"]
    subprocess.run(words, cwd=ROOT, env=environment(data), capture_output=True, check=True, timeout=120)
    for path in (data, *data.rglob("*")):
        os.chown(path, ALICE, ALICE)
    yield data
    shutil.rmtree(above)


def environment(data: Path) -> dict[str, str]:
    # Nothing listens there.
    redis = {"DOCKERFW_REDIS_URL": f"unix://{data}/no.sock"}
    return {**os.environ, **redis, "DOCKERFW_DATA_DIR": str(data), "PYTHONDONTWRITEBYTECODE": "1"}


def closed_folder() -> str:
    """Return the folder above the interpreter that only its owner may enter, empty if there is none."""
    above = (path for path in Path(sys.base_prefix).parents if not path.stat().st_mode & 0o001)
    return str(next(above, ""))


def run(data: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *("unshare", "--mount", "sh", "-ec", OPEN, "sh", sys.base_prefix, closed_folder()),
            *(sys.executable, "manage.py", "firewall", *words),
        ],
        cwd=ROOT,
        env={**environment(data), "SUDO_USER": "carol"},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_each_verb_is_known_here() -> None:
    assert {*USES, *ON_FILES, *WITH_OWN_WAYS} == {*VERBS}


@pytest.mark.parametrize("verb", USES)
def test_each_verb_that_uses_the_database_is_one_before_which_root_leaves(verb: str) -> None:
    chosen = Command().create_parser("manage.py", "firewall").parse_args([verb, *USES[verb]])
    assert _verb(chosen).__module__ in OF_DATABASE


@pytest.fixture
def linked(data: Path) -> Iterator[Path]:
    """The data after the account replaced the database by a link to one that only root can read."""
    roots = data.parent / "roots.sqlite3"
    shutil.copy(data / DATABASE, roots)
    roots.chmod(0o600)
    kept = (data / DATABASE).rename(data / "kept.sqlite3")
    (data / DATABASE).symlink_to(roots)
    yield data
    kept.rename(data / DATABASE)


@pytest.mark.parametrize("verb", ["export", "groups", "apply", "exposure", "trace", "refused"])
def test_a_link_that_the_account_made_does_not_lead_root_to_another_database(linked: Path, verb: str) -> None:
    done = run(linked, verb, *USES[verb], stdin=NOTHING)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the database cannot be used" in done.stderr


def test_the_audit_log_names_the_admin_and_not_the_account(data: Path) -> None:
    done = run(data, "import", "-", stdin=SSH)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(data / DATABASE) as database:
        (name,) = database.execute("SELECT actor_name FROM rules_auditevent ORDER BY id DESC").fetchone()
    database.close()
    assert name == "carol (command line)"
