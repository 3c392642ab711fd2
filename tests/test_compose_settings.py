"""The first step of compose.yaml: passwords that stay, users as the template has them, the lock a file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dockerfw.messages.signatures import find_signature_fault, parse_private_key, parse_public_key, sign
from scripts.compose.settings import main, make_lock
from scripts.stack.redis_users import TEMPLATE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The settings' folders, empty as the volumes are at first."""
    for name in ("redis", "web", "clerk", "firewall"):
        (tmp_path / name).mkdir()
    return tmp_path


def run(folder: Path, *arguments: str) -> dict[str, str]:
    """Run it, and return what lies there."""
    assert main(arguments, folder, folder / "run" / "xtables.lock") == 0
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_each_process_gets_its_own_password_and_redis_the_digests(folder: Path) -> None:
    found = run(folder, "local")
    assert set(found) == {
        *("redis/users.acl", "redis/watch.password"),
        *("web/redis.url", "clerk/redis.url", "firewall/redis.url"),
        *("web/signing.key", "firewall/signer.pub"),
        *("clerk/lists.key", "firewall/lists.pub"),
    }
    assert found["web/redis.url"].startswith("unix://web:")
    assert found["firewall/redis.url"].startswith("unix://root-local:")
    assert found["clerk/redis.url"].endswith("@/run/dockerfw-redis/redis.sock\n")
    secrets = {name: text for name, text in found.items() if not name.endswith((".key", ".pub"))}
    passwords = {name: text.split(":")[-1].split("@")[0].strip() for name, text in secrets.items()}
    assert len(set(passwords.values())) == 5
    for name, password in passwords.items():
        assert name == "redis/users.acl" or password not in found["redis/users.acl"]
    assert all(stat.S_IMODE((folder / name).stat().st_mode) == 0o640 for name in found)


def test_only_the_pages_get_the_key_that_signs_orders_and_only_the_clerk_that_for_lists(folder: Path) -> None:
    found = run(folder)
    private = parse_private_key(found["web/signing.key"].encode())
    order = sign({"format": "dockerfw-order/1"}, private)
    trusted = parse_public_key(found["firewall/signer.pub"].encode())
    assert find_signature_fault(order, trusted) is None
    private_keys = {name for name, text in found.items() if "PRIVATE" in text}
    assert private_keys == {"web/signing.key", "clerk/lists.key"}
    assert find_signature_fault(order, parse_public_key(found["firewall/lists.pub"].encode())) is not None
    # A lost public key is written again, and a lost or broken private one gives a new pair.
    (folder / "firewall" / "signer.pub").unlink()
    assert run(folder) == found
    (folder / "web" / "signing.key").write_text("broken")
    renewed = run(folder)
    assert renewed["firewall/signer.pub"] != found["firewall/signer.pub"]


def test_a_second_time_nothing_changes(folder: Path) -> None:
    assert run(folder) == run(folder)


def test_users_follow_the_template_and_what_is_lost_is_made_again(folder: Path) -> None:
    first = run(folder)
    (folder / "redis" / "users.acl").write_text("user default on nopass +@all\n")
    (folder / "clerk" / "redis.url").unlink()
    (folder / "web" / "redis.url").write_text("unix://somebody:else@/run/redis.sock\n")
    second = run(folder)
    assert second["firewall/redis.url"] == first["firewall/redis.url"]
    assert second["clerk/redis.url"] != first["clerk/redis.url"]
    assert second["web/redis.url"].startswith("unix://web:")
    users = [line.split()[1] for line in second["redis/users.acl"].splitlines()]
    assert users == ["default", "web", "clerk", "watch", "root-local"]
    assert "nopass" not in second["redis/users.acl"]
    assert TEMPLATE.exists()


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], tmp_path / "none", tmp_path / "none" / "lock") == 1
    assert capsys.readouterr().err.startswith("dockerfw: the settings cannot be written: ")
    assert main(["local", "more"], tmp_path) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_the_lock_is_made_once_and_never_a_folder(tmp_path: Path) -> None:
    lock = tmp_path / "xtables.lock"
    make_lock(lock)
    before = lock.stat()
    make_lock(lock)
    assert lock.is_file()
    assert lock.stat().st_ino == before.st_ino
    lock.unlink()
    # So Docker leaves it when the lock is not there.
    lock.mkdir()
    make_lock(lock)
    assert lock.is_file()
    make_lock(tmp_path / "none" / "xtables.lock")
    assert not (tmp_path / "none").exists()
