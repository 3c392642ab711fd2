"""Lists as they are fetched: by the clerk's own processes, from a real server, over a real Redis."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections

from dockerfw.document.values import Document, Group
from dockerfw_site.environment import BASE_DIR, read_environment
from rules.lists.list_jobs import fetch_list, note_cut_off
from rules.lists.list_selectors import list_networks, list_states
from rules.lists.list_services import lists_follow
from rules.models import AuditEvent, GroupList, Host
from tests.rig.country_file import write_country_file
from tests.rig.list_servers import ListHandler, ListServer, list_server
from tests.rig.namespace import PATIENCE, wait_until
from tests.rig.redis_fixtures import RedisServer


@pytest.fixture
def server() -> Iterator[ListServer]:
    with list_server() as found:
        yield found


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Allow internal targets, and name a file with the networks of countries."""
    path = tmp_path / "countries.mmdb"
    environment = read_environment({"DOCKERFW_OUTBOUND_INTERNAL": "1", "DOCKERFW_COUNTRY_FILE": str(path)})
    monkeypatch.setattr(settings, "ENVIRONMENT", environment)
    # The test's transaction is on this connection.
    monkeypatch.setattr(connections, "close_all", lambda: None)
    return path


def follow(host: Host, *groups: Group) -> GroupList:
    lists_follow(host=host, loaded=[Document(groups=groups)], drafts=[])
    return GroupList.objects.get()


def feed(url: str) -> Group:
    return Group("drop", "feed", url=url, allow_http=True)


def test_a_feed_is_fetched_and_then_asked_for_changes_only(
    host: Host, inside: Path, server: ListServer
) -> None:
    row = follow(host, feed(server.serve(b"192.0.2.0/24\n", ETag='"one"')))
    fetch_list(row.pk)
    server.play(lambda handler: handler.reply(304))
    fetch_list(row.pk)
    assert "If-None-Match" not in server.seen[0][1]
    assert server.seen[1][1]["If-None-Match"] == '"one"'
    assert list_networks(host, row.definition) == ("192.0.2.0/24",)
    assert list_states(host)[0].state == "current"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"<html>Sign in</html>", "web page"),
        (200, b"", "no networks"),
        (200, b"\x00\x01", "not text"),
        (200, b"192.0.2.1\nquota exceeded\n", "Line 2"),
        (404, b"", "gone"),
        (410, b"", "gone"),
        (500, b"192.0.2.1\n", "500"),
    ],
)
def test_what_is_no_list_leaves_the_former_version_in_use(
    host: Host, inside: Path, server: ListServer, status: int, body: bytes, says: str
) -> None:
    row = follow(host, feed(server.serve(b"192.0.2.0/24\n")))
    fetch_list(row.pk)
    server.play(lambda handler: handler.reply(status, body))
    fetch_list(row.pk)
    (state,) = list_states(host)
    assert state.state == "failing"
    assert says in state.error
    assert list_networks(host, row.definition) == ("192.0.2.0/24",)
    assert AuditEvent.objects.filter(verb="list-failing").count() == 1


def test_countries_are_read_again_only_when_the_file_has_changed(host: Host, inside: Path) -> None:
    row = follow(host, Group("nordic", "countries", countries=("SE",)))
    fetch_list(row.pk)
    assert "No such file" in list_states(host)[0].error
    write_country_file(inside, {"192.0.2.0/24": "SE"})
    fetch_list(row.pk)
    assert list_networks(host, row.definition) == ("192.0.2.0/24",)
    fetch_list(row.pk)
    assert list_states(host)[0].state == "current"


def test_a_fetch_that_was_killed_is_recorded(host: Host, inside: Path, server: ListServer) -> None:
    row = follow(host, feed(server.url()))
    note_cut_off("fetch_list", [row.pk])
    assert "was stopped" in list_states(host)[0].error
    note_cut_off("fetch_list", ["1"])
    note_cut_off("chore", [])


def test_a_list_that_nobody_wants_any_more_is_not_fetched(
    host: Host, inside: Path, server: ListServer
) -> None:
    row = follow(host, feed(server.serve(b"192.0.2.0/24\n")))
    lists_follow(host=host, loaded=[], drafts=[])
    fetch_list(row.pk)
    assert server.seen == []


SETUP = """
from rules.models import Host, Revision
host = Host.objects.create(name="local")
host.confirmed_revision = Revision.objects.create(
    host=host, number=1, document={document!r}, digest="0" * 64, author_name="alice", message="m"
)
host.save()
"""


@pytest.mark.redis
def test_the_clerk_has_lists_fetched_while_a_slow_feed_holds_up_nothing_but_feeds(
    tmp_path: Path, redis_server: RedisServer, server: ListServer
) -> None:
    def silence(handler: ListHandler) -> None:
        handler.server.closing.wait(PATIENCE)

    server.serve(b"192.0.2.0/24\n", "/fast")
    server.play(silence, "/slow")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DOCKERFW_")}
    clean.pop("DATABASE_URL", None)
    environ = {
        **clean,
        "DOCKERFW_DATA_DIR": str(tmp_path),
        "DOCKERFW_REDIS_URL": redis_server.url,
        "DOCKERFW_OUTBOUND_INTERNAL": "1",
        "DOCKERFW_NAME_SERVERS": "127.0.0.1",
    }

    def manage(*words: str) -> None:
        subprocess.run([sys.executable, "manage.py", *words], cwd=BASE_DIR, env=environ, check=True)

    manage("migrate", "--skip-checks", "-v0")
    document = {
        "format": "dockerfw/2",
        "groups": {
            "a-fast": {"kind": "feed", "url": server.url("/fast"), "allow_http": True},
            "b-slow": {"kind": "feed", "url": server.url("/slow"), "allow_http": True},
            "c-home": {"kind": "names", "names": ["localhost.example.org"]},
        },
    }
    manage("shell", "-v0", "-c", SETUP.format(document=json.dumps(document)))
    log = tmp_path / "log"

    def states() -> dict[str, tuple[int, bool]]:
        with closing(sqlite3.connect(f"file:{tmp_path / 'dockerfw.sqlite3'}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT name, number, checked_at IS NOT NULL FROM rules_grouplist")
            return {name: (number, bool(checked)) for name, number, checked in rows}

    with log.open("ab") as stream:
        clerk = subprocess.Popen(
            [sys.executable, "manage.py", "clerk"],
            cwd=BASE_DIR,
            env=environ,
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_until("the fast feed", lambda: states().get("a-fast", (0, False))[0] == 1)
        wait_until("the slow feed is asked", lambda: any(path == "/slow" for path, _ in server.seen))
        wait_until("the names are asked", lambda: states()["c-home"][1])
        assert states()["b-slow"] == (0, False)
        clerk.send_signal(signal.SIGTERM)
        assert clerk.wait(PATIENCE) == 0, log.read_text()
    finally:
        if clerk.poll() is None:
            clerk.kill()
            clerk.wait(PATIENCE)
    assert "Traceback" not in log.read_text()
