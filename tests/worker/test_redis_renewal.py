"""An upgrade of the Redis users on a real server: they get the new rights and keep their passwords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from scripts.stack import redis_users
from scripts.stack.redis_users import TEMPLATE, main, new_passwords, redis_url, users_acl
from tests.rig.namespace import PATIENCE
from tests.rig.redis_with_users import redis_with_users

pytestmark = pytest.mark.redis

ADMIN = "user admin on >admin allkeys allchannels +@all\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The settings of an earlier release, whose web could not send orders, with two hosts."""
    older = tmp_path / "template"
    older.write_text("".join(line for line in TEMPLATE.open() if "rpush" not in line))
    words = new_passwords(["local", "second"])
    settings = tmp_path / "settings"
    settings.mkdir()
    (settings / "users.acl").write_text(users_acl(words, older) + ADMIN)
    (settings / "web.password").write_text(words["web"])
    return settings


@pytest.fixture
def socket(directory: Path) -> Iterator[Path]:
    """A running server with these users."""
    with redis_with_users(directory) as socket:
        yield socket


def test_users_get_new_rights_and_keep_their_passwords(
    directory: Path, socket: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    password = (directory / "web.password").read_text()
    with pytest.raises(NoPermissionError):
        _as(socket, "web", password).rpush("rq:queue:firewall-local", "order")
    assert main([str(directory), "local"]) == 0
    said = capsys.readouterr().out
    assert "web gets the rights of this release and keeps its password" in said
    assert "admin is not a user of dockerfw and does not change" in said
    assert "watch" not in said.replace("dockerfw", "")
    _as(socket, "admin", "admin").acl_load()
    # Redis ends the connections of users whose rights changed.
    web = _as(socket, "web", password)
    assert web.rpush("rq:queue:firewall-local", "order") == 1
    with pytest.raises(NoPermissionError):
        web.get("rq:queue:firewall-local")
    # The other host was not named, and its user still works.
    assert "root-second" in _as(socket, "admin", "admin").acl_users()
    # No password changed, so no process has to be restarted.
    assert not list(directory.glob("*.env"))


def test_a_second_renewal_changes_nothing(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(directory), "local"])
    before = (directory / "users.acl").stat()
    capsys.readouterr()
    assert main([str(directory), "local"]) == 0
    assert "nothing to change" in capsys.readouterr().out
    assert (directory / "users.acl").stat().st_mtime_ns == before.st_mtime_ns


def test_a_user_that_a_release_no_longer_has_is_removed(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(redis_users, "RETIRED", ("admin",))
    assert main([str(directory), "local"]) == 0
    assert "admin is removed" in capsys.readouterr().out
    assert "user admin" not in (directory / "users.acl").read_text()


def test_a_user_without_a_password_gets_one(directory: Path) -> None:
    acl = directory / "users.acl"
    acl.write_text("".join(line for line in acl.open() if not line.startswith("user clerk ")))
    assert main([str(directory), "local"]) == 0
    assert "user clerk on #" in acl.read_text()
    assert "unix://clerk:" in (directory / "clerk.env").read_text()
    assert [path.name for path in directory.glob("*.env")] == ["clerk.env"]


def _as(socket: Path, user: str, password: str) -> Redis:
    return Redis.from_url(redis_url(socket, user, password), socket_timeout=PATIENCE)
