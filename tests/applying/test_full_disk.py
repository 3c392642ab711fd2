"""A database whose disk is really full: pages and command line say so, and nothing is half done."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import RequestFactory

from dockerfw_site.environment import BASE_DIR
from dockerfw_site.errors import no_room, server_error
from tests.faults.disk import SmallDisk

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")

# A process of its own, which alone sees the small file system that the database is on.
STORY = """
import os, sys
import django
django.setup()
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from rules.models import AuditEvent, Rule
from rules.overview.process_selectors import data_space
from rules.audit.process_services import process_seen

settings.ALLOWED_HOSTS = ["testserver"]
page, new = "/hosts/local/", "/hosts/local/rules/new/"
form = {"scope": "both", "protocol": "tcp", "protocol_other": "", "ports": "22", "port_kind": "published",
        "sources": "", "comment": "x" * 200, "enabled": "on"}

def add(port):
    before = Rule.objects.count(), AuditEvent.objects.count()
    answer = client.post(new, {**form, "ports": str(port)})
    after = Rule.objects.count(), AuditEvent.objects.count()
    assert after in (before, (before[0] + 1, before[1] + 1)), "half done"
    return answer

client = Client(raise_request_exception=False)
client.force_login(User.objects.create_superuser("alice", password="correct horse battery staple"))
assert client.get("/").status_code == 302 and client.get(page).status_code == 200
print("before:", data_space().room, add(22).status_code)
path = os.path.join(sys.argv[1], "fill")
with open(path, "ab", buffering=0) as file:
    for size in (65536, 4096):
        try:
            while True:
                file.write(b"x" * size)
        except OSError:
            pass
# What SQLite holds already is written over for a while.
for port in range(1000, 3000):
    answer = add(port)
    if answer.status_code != 302:
        break
words = answer.content.decode()
said = "disk is full" in words, "not even in part" in words
print("full:", data_space().room, answer.status_code, *said)
shown = client.get(page)
print("dashboard:", shown.status_code, "nothing can be edited or applied" in shown.content.decode())
try:
    call_command("firewall", "import", sys.argv[2])
except SystemExit as end:
    print("command:", end.code)
os.unlink(path)
print("after:", data_space().room, add(4000).status_code)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 8 MiB that only processes started with its prefix see."""
    small = SmallDisk(tmp_path / "disk", size="8m")
    yield small
    small.close()


@NEEDS_ROOT
def test_a_full_disk_is_reported_and_leaves_nothing_half_done(disk: SmallDisk, tmp_path: Path) -> None:
    rules = [
        {"scope": "host", "protocol": "tcp", "ports": [str(port)], "comment": "x" * 200}
        for port in range(1, 2000)
    ]
    document = tmp_path / "document.json"
    settings = {"external_interfaces": ["ens33"]}
    document.write_text(json.dumps({"format": "dockerfw/1", "settings": settings, "rules": rules}))
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        # Who enters a mount namespace stands at its root.
        "PYTHONPATH": str(BASE_DIR),
        "DJANGO_SETTINGS_MODULE": "dockerfw_site.settings",
        "DOCKERFW_DATA_DIR": str(disk.mount),
        "DOCKERFW_REDIS_URL": f"unix://{tmp_path}/none.sock",
        "DOCKERFW_SECURE_COOKIES": "0",
    }
    migrate = [*disk.prefix, sys.executable, str(BASE_DIR / "manage.py"), "migrate", "--skip-checks", "-v0"]
    subprocess.run(migrate, env=environ, check=True)
    story = [*disk.prefix, sys.executable, "-c", STORY, str(disk.mount), str(document)]
    done = subprocess.run(story, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "before: enough 302",
        "full: scarce 507 True True",
        "dashboard: 200 True",
        "command: 2",
        "after: enough 302",
    ]
    assert "the disk of the database is full: nothing was done." in done.stderr
    with sqlite3.connect(f"file:{disk.seen}/dockerfw.sqlite3?immutable=1", uri=True) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_page_for_anything_else_stays_what_it_was() -> None:
    request = RequestFactory().get("/")
    try:
        raise ValueError("something")
    except ValueError:
        answer = server_error(request)
    assert answer.status_code == 500
    assert "Internal error" in answer.content.decode()


def test_the_words_of_both_databases_are_understood() -> None:
    assert no_room(OperationalError("database or disk is full"))
    assert no_room(OperationalError('could not extend file "base/1/2": No space left on device'))
    assert not no_room(OperationalError("database is locked"))
    assert not no_room(OSError(28, "No space left on device"))
    assert not no_room(None)
