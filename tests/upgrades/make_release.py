"""`tests/upgrades/make RELEASE [COMMIT]`: what a release leaves behind after a small life, by its own code.

It plays a story and notes what a later release has to find: an admin signs in, revisions are kept and rolled
back, by timeout and by hand, and contain expectations. At last every process is killed in the middle of an
apply: its window is open, its reports are not delivered, and its order is noted as it was queued. The files
go into releases/RELEASE as they were left.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redis import Redis

from tests.rig.namespace import PATIENCE, wait_until
from tests.upgrades.visitor import Visitor

ROOT = Path(__file__).parents[2]
RELEASES = Path(__file__).parent / "releases"
PASSWORD = "correct horse battery staple"
PORT = 18480
# The module of the root worker at that commit.
ROOT_WORKER = "-m rules.queue.root"


def document(*ports: str) -> dict[str, Any]:
    """Return a draft that opens these ports, with expectations that it keeps."""
    return {
        "format": "dockerfw/1",
        "settings": {"external_interfaces": ["ens33"], "icmp": "accept"},
        "rules": [
            {"scope": "both", "source": "192.0.2.0/24", "comment": "the office's café"},
            {"scope": "host", "source": "2001:db8::/32", "protocol": "tcp", "ports": ["22"]},
            *({"scope": "container", "protocol": "tcp", "ports": [port]} for port in ports),
        ],
        "expectations": [
            {"source": "192.0.2.7", "protocol": "tcp", "port": 22, "to": "host", "passes": True},
            {"source": "203.0.113.9", "protocol": "tcp", "port": 3306, "to": "host", "passes": False},
        ],
    }


class Release:
    """A release's tree with a `scripts/run` of its own."""

    def __init__(self, tree: Path, data: Path) -> None:
        self.tree = tree
        self.data = data
        self.output = data.parent / "output"

    def processes(self, word: str = "") -> list[int]:
        """Return the processes of this run whose command line contains a word."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                environment = (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if folder.name.isdigit() and bytes(self.data) in environment + command.encode():
                    found += [int(folder.name)] if word in command else []
        return [pid for pid in found if pid != os.getpid()]

    def command(self, *words: str, given: str = "", status: tuple[int, ...] = (0,)) -> str:
        """Run scripts/firewall and return what it printed."""
        done = subprocess.run(
            ["scripts/firewall", *words],
            cwd=self.tree,
            env={**os.environ, "DOCKERFW_DATA_DIR": str(self.data)},
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in status:
            raise SystemExit(f"firewall {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Run it for the block, which gets the one-time link."""
        with self.output.open("wb") as sink:
            process = subprocess.Popen(
                ["scripts/run", "--port", str(PORT)],
                cwd=self.tree,
                env={**os.environ, "DOCKERFW_DATA_DIR": str(self.data)},
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until("scripts/run", lambda: "Ctrl-C stops" in self.output.read_text(), seconds=90)
            found = re.search(r"http\S+/setup/\S+", self.output.read_text())
            yield found[0] if found else ""
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)


def live(release: Release) -> None:
    """Play the story."""
    with release.running() as link:
        visitor = Visitor(f"http://127.0.0.1:{PORT}")
        visitor.post(link, username="alice", password1=PASSWORD, password2=PASSWORD)
        release.command("import", "-", given=json.dumps(document("80", "443")))
        release.command("apply", "-m", "the first rules", "--keep")
        release.command("import", "-", given=json.dumps(document("80", "443", "8000-8010")))
        # No admin keeps it.
        release.command("apply", "-m", "a try without Keep", "--window", "15", status=(1,))
        release.command("apply", "-m", "the second rules", "--keep")
        release.command("rollback", "1", "-m", "it was better before", "--keep")
        release.command("import", "-", given=json.dumps(document("80", "443", "5432")))


def leave_unfinished(release: Release) -> dict[str, Any]:
    """Kill everything in the middle of an apply; return its order as it lay in the queue."""
    with release.running():
        (clerk,), (root,) = release.processes("manage.py clerk"), release.processes(ROOT_WORKER)
        os.kill(clerk, signal.SIGSTOP)
        os.kill(root, signal.SIGSTOP)
        subprocess.Popen(
            ["scripts/firewall", "apply", "-m", "cut off in its window", "--window", "3600"],
            cwd=release.tree,
            env={**os.environ, "DOCKERFW_DATA_DIR": str(release.data)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = Path(f"/proc/{root}/environ").read_bytes().partition(b"DOCKERFW_REDIS_URL=")[2].split(b"\0")[0]
        with Redis.from_url(url.decode()) as redis:
            queue = "rq:queue:firewall-local"
            job: list[Any] = []

            def queued() -> bool:
                # An order: an `observe` takes no arguments, and the run asks for one now and then.
                found: Any = redis.lmove(queue, queue, "LEFT", "RIGHT")
                data: Any = redis.hget(f"rq:job:{found.decode()}", "data") if found else None
                job[:] = [found, data] if data and b"dockerfw-order" in zlib.decompress(data) else []
                return bool(job)

            wait_until("the order", queued)
            os.kill(root, signal.SIGCONT)
            journal, window = release.data / "state" / "journal", release.data / "state" / "window.json"
            wait_until("the window", lambda: window.exists() and any(journal.glob("outcome-*.json")))
            time.sleep(3)
        for pid in release.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return {
        "order": {"job": job[0].decode(), "data": base64.b64encode(job[1]).decode()},
        "reports": sorted(path.name for path in journal.glob("outcome-*.json")),
        "window": json.loads(window.read_text())["revision"],
    }


def note(release: Release, name: str) -> dict[str, Any]:
    """Return what a later release has to find, as this one tells it."""
    revisions = json.loads(release.command("history", "--json"))
    for revision in revisions:
        revision["document"] = json.loads(release.command("export", "--revision", str(revision["number"])))
    with contextlib.closing(sqlite3.connect(release.data / "web" / "dockerfw.sqlite3")) as database:
        audit = database.execute(
            "SELECT id, at, actor_name, verb, target, detail FROM rules_auditevent ORDER BY id"
        )
        sequence = database.execute("SELECT sequence FROM rules_host").fetchone()[0]
        return {
            "release": name,
            "state": str(release.data / "state"),
            "user": "alice",
            "password": PASSWORD,
            "sequence": sequence,
            "revisions": revisions,
            "draft": json.loads(release.command("export")),
            "audit": audit.fetchall(),
        }


def main(arguments: list[str]) -> int:
    """Make releases/RELEASE; 2 for wrong arguments."""
    if len(arguments) not in (1, 2):
        print("usage: tests/upgrades/make RELEASE [COMMIT]", file=sys.stderr)
        return 2
    name, commit = arguments[0], arguments[-1]
    with tempfile.TemporaryDirectory(prefix="dockerfw-release-") as place:
        tree, data = Path(place) / "tree", Path(place) / "data"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            (tree / ".venv").symlink_to((ROOT / ".venv").resolve())
            release = Release(tree, data)
            live(release)
            unfinished = leave_unfinished(release)
            settings = Path(place) / "settings"
            settings.mkdir()
            words = [sys.executable, "-m", "scripts.stack.redis_users", str(settings), "local"]
            subprocess.run(words, cwd=tree, check=True, stdout=subprocess.DEVNULL)
            folder = RELEASES / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "expected.json").write_text(
                json.dumps({**note(release, name), **unfinished}, indent=1) + "\n"
            )
            with tarfile.open(folder / "installation.tar.xz", "w:xz") as tar:
                tar.add(settings, "settings")
                tar.add(data / "web", "web", filter=_bare)
                tar.add(data / "state", "state", filter=_bare)
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    print(folder)
    return 0


def _bare(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    # Locks and what a run writes anew; the space that is held back for outcomes is noise.
    if info.name.endswith((".lock", "/lock", "/environment", "/reserve")):
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
