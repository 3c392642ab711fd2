"""Redis and its users are lost, and another server replaces it: only the entries that waited are lost."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.stack import redis_users
from scripts.stack.redis_server import find_server, server_command
from tests.backup.installation import ROOT, Installation
from tests.rig.namespace import Namespace, end_process, wait_until
from tests.rig.signing import write_signer, write_signing_key

pytestmark = pytest.mark.redis

DOCUMENT = '{"format": "dockerfw/1", "settings": {"external_interfaces": ["ens33"]}, "rules": [%s]}'


class Place:
    """An installation whose processes are started one by one, each with its own Redis user."""

    def __init__(self, directory: Path, namespace: Namespace) -> None:
        self.host = Installation(directory)
        self.namespace = namespace
        self.socket = directory / "redis" / "redis.sock"
        self.log = directory / "log"

    def environment(self, user: str) -> dict[str, str]:
        """Return the environment of one process, with its password."""
        text = (self.host.settings / f"{user}.env").read_text()
        found = re.search(r"^DOCKERFW_REDIS_URL=(.*)$", text, re.MULTILINE)
        assert found
        url = found[1].replace(str(redis_users.SOCKET), str(self.socket))
        return {
            **self.host.environment,
            "DOCKERFW_REDIS_URL": url,
            "DOCKERFW_SIGNING_KEY_FILE": str(write_signing_key(self.log.parent)),
            "DOCKERFW_SIGNER_FILE": str(write_signer(self.log.parent)),
        }

    @contextmanager
    def started(
        self, *words: str, environment: dict[str, str] | None = None, inside: bool = False
    ) -> Iterator[None]:
        """Run a process for the block, and fail if it ends by itself."""
        prefix = self.namespace.prefix if inside else []
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*prefix, "setpriv", "--pdeathsig", "TERM", "--", *words],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield
            assert process.poll() is None, self.log.read_text()
        finally:
            end_process(process)

    @contextmanager
    def redis(self) -> Iterator[None]:
        """Run a server with the users and without data for the block, and remove its files."""
        assert redis_users.main([str(self.host.settings), "local"]) == 0
        self.socket.parent.mkdir()
        acl = self.host.settings / "users.acl"
        command = server_command(find_server(), self.socket, self.socket.parent, acl)
        try:
            with self.started(*command):
                wait_until("Redis", self.socket.exists)
                yield
        finally:
            shutil.rmtree(self.socket.parent)
            for path in self.host.settings.iterdir():
                path.unlink()

    @contextmanager
    def workers(self) -> Iterator[None]:
        """Run clerk and root worker as the current users for the block."""
        root = self.environment("root-local")
        clerk = self.environment("clerk")
        with (
            self.started(sys.executable, "-m", "dockerfw", "agent", environment=root, inside=True),
            self.started(sys.executable, "manage.py", "clerk", environment=clerk),
        ):
            yield

    def firewall(self, *words: str, given: str = "", environment: dict[str, str]) -> tuple[int, str]:
        """Run a verb of the command line as the web's user; return its status and output."""
        done = subprocess.run(
            [sys.executable, "manage.py", "firewall", *words],
            cwd=ROOT,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def held(self) -> str:
        """Return the kernel's IPv4 rules."""
        return self.namespace.save("nft", 4).decode()


def test_another_server_with_other_users(namespace: Namespace, tmp_path: Path) -> None:
    place = Place(tmp_path, namespace)
    assert place.host.manage("migrate", "--skip-checks", "-v0").returncode == 0
    first, second = (
        DOCUMENT % f'{{"scope": "host", "protocol": "tcp", "ports": ["{port}"]}}' for port in (2201, 2202)
    )
    with place.redis():
        web = place.environment("web")
        with place.workers():
            assert place.firewall("import", "-", given=first, environment=web)[0] == 0
            status, said = place.firewall("apply", "-m", "the first", "--keep", environment=web)
            assert status == 0, said + place.log.read_text()
    before = (place.host.state / "sequence.json").read_bytes()

    # Server, data and users are lost: nothing is applied, and the loaded rules stay.
    assert place.firewall("import", "-", given=second, environment=web)[0] == 0
    status, said = place.firewall("apply", "-m", "the second", "--keep", environment=web)
    assert status == 1
    assert "Nothing was applied" in said
    assert "Traceback" not in said
    assert "--dport 2201" in place.held()
    assert (place.host.state / "sequence.json").read_bytes() == before

    # Another server with other passwords refuses an old password.
    with place.redis():
        assert place.firewall("apply", "-m", "the second", "--keep", environment=web)[0] == 1
        web = place.environment("web")
        with place.workers():
            status, said = place.firewall("apply", "-m", "the second", "--keep", environment=web)
            assert status == 0, said + place.log.read_text()
            assert "--dport 2202" in place.held()
            history = json.loads(place.firewall("history", "--json", environment=web)[1])
            assert [(each["number"], each["state"]) for each in history] == [
                (2, "confirmed"),
                (1, "confirmed"),
            ]
