"""What each release left behind, opened by today's code: nothing is lost, and everything goes on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from rules.backup.restore_services import CUT_OFF
from scripts.stack.redis_users import main as renew_users
from scripts.stack.redis_users import redis_url
from tests.backup.installation import RELEASES, ROOT, Installation, released
from tests.browser.stack import Stack
from tests.rig.namespace import Namespace
from tests.rig.redis_with_users import redis_with_users
from tests.upgrades.visitor import Visitor

ALL = sorted(path.name for path in RELEASES.iterdir())
# No release, but the last commit before engine and dashboard were split, killed within a window.
UNFINISHED = "ae464bc"


def test_every_release_has_left_something_behind() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text()
    named = [name for name in ALL if name != UNFINISHED]
    assert sorted(re.findall(r"^## (\d+\.\d+\.\d+)\b", changes, re.MULTILINE)) == named


@pytest.fixture(scope="module", params=ALL)
def release(request: pytest.FixtureRequest) -> str:
    """Every release that there was."""
    return str(request.param)


def expected(release: str) -> dict[str, Any]:
    """Return what the release itself told of what it left."""
    value: dict[str, Any] = json.loads((RELEASES / release / "expected.json").read_text())
    return value


class Upgraded(Stack):
    """`scripts/run` of today over the folders that a release left."""

    def __init__(self, release: str) -> None:
        self.release = release
        super().__init__()

    def start(self) -> None:
        """Put the folders in place before the first start."""
        if not self.data.exists():
            self.there = released(self.release, self.data)
            shutil.rmtree(self.there.settings)
        super().start()

    def firewall(self, *words: str) -> str:
        """Run scripts/firewall and return what it printed."""
        environment = {**self.there.environment, "DOCKERFW_DATA_DIR": str(self.data)}
        done = subprocess.run(
            ["scripts/firewall", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def upgraded(release: str) -> Iterator[Upgraded]:
    """Today's dockerfw, started over what the release left."""
    stack = Upgraded(release)
    yield stack
    stack.delete()


def test_everything_is_there_and_goes_on(release: str, upgraded: Upgraded) -> None:
    told = expected(release)
    revisions = json.loads(upgraded.firewall("history", "--json"))
    for revision, before in zip(revisions, told["revisions"], strict=True):
        document = before.pop("document")
        if before["number"] == told.get("window"):
            # Its window was open. Today's root worker rolls it back.
            assert before.pop("state") != revision["state"] == "rolled_back"
        assert {key: revision[key] for key in before} == before
        number = str(revision["number"])
        assert json.loads(upgraded.firewall("export", "--revision", number)) == document
    assert json.loads(upgraded.firewall("export")) == told["draft"]
    audit = upgraded.there.query(
        "SELECT id, at, actor_name, verb, target, detail FROM rules_auditevent ORDER BY id"
    )
    assert [list(row) for row in audit[: len(told["audit"])]] == told["audit"]

    # No new first admin; the old one's password is good.
    assert upgraded.setup_link == ""
    visitor = Visitor(upgraded.address)
    assert "it was better before" in visitor.post(
        "/sign-in/?next=/hosts/local/history/", username=told["user"], password=told["password"]
    )

    # The next apply: its number is higher, its revision is loaded, and a boot would load it.
    upgraded.firewall("apply", "-m", "the first of this release", "--keep")
    newest = json.loads(upgraded.firewall("history", "--json"))[0]
    assert (newest["number"], newest["state"]) == (told["revisions"][0]["number"] + 1, "confirmed")
    assert any("--ctorigdstport 5432" in rule for rule in upgraded.our_rules())
    state = upgraded.data / "state"
    assert json.loads((state / "sequence.json").read_text())["sequence"] > told["sequence"]
    assert json.loads((state / "boot" / "confirmed.json").read_text())["revision"] == newest["number"]


def test_a_backup_is_made_while_it_runs_and_restored_when_it_does_not(
    release: str, upgraded: Upgraded
) -> None:
    told, backup = expected(release), str(upgraded.directory / "backup")
    before = json.loads(upgraded.firewall("history", "--json"))[0]
    assert "the root worker's state" in upgraded.firewall("backup", backup)
    kept = upgraded.our_rules()
    upgraded.firewall("rollback", "1", "-m", "after the backup", "--keep")
    with pytest.raises(AssertionError, match="The root worker is running"):
        upgraded.firewall("restore", backup, "--replace")
    assert upgraded.stop() == 0
    upgraded.firewall("restore", backup, "--replace")
    upgraded.start()
    assert "audit" in Visitor(upgraded.address).post(
        "/sign-in/?next=/audit/", username=told["user"], password=told["password"]
    )
    newest = json.loads(upgraded.firewall("history", "--json"))[0]
    assert newest["number"] == before["number"]
    assert newest["message"] == before["message"] != "after the backup"
    # The sandbox boots with what was restored, and the next apply has a number that was never used.
    # A restored record has no copy of the loaded lines, so the log lines come back with that apply.
    assert upgraded.our_rules() == [line for line in kept if "-j NFLOG" not in line]
    upgraded.firewall("rollback", "1", "-m", "after the restore", "--keep")
    assert upgraded.our_rules() != kept


def test_a_boot_loads_what_the_release_kept(release: str, namespace: Namespace, tmp_path: Path) -> None:
    there = released(release, tmp_path)
    script = there.state / "boot" / "dockerfw-boot.sh"
    # Where it lay is written in it.
    script.write_text(script.read_text().replace(expected(release)["state"], str(there.state)))
    namespace.run("sh", str(script))
    confirmed = next(each for each in expected(release)["revisions"] if each["confirmed"])
    for family in (4, 6):
        held = namespace.save("nft", family).decode()
        assert f"dockerfw r{confirmed['number']} {confirmed['digest'][:12]}" in held
        assert "-A INPUT -j FILTERS-HOST" in held


def test_a_backup_of_it_becomes_an_installation_of_today(release: str, tmp_path: Path) -> None:
    there, new = released(release, tmp_path / "old"), Installation(tmp_path / "new")
    # Made before anything was migrated, which is when one makes it.
    there.firewall("backup", str(tmp_path / "backup"))
    assert ("rules_processnote" in there.rows()) == (release != "0.1.0")
    new.firewall("restore", str(tmp_path / "backup"), "--no-live")
    rows, before = new.rows(like=there), there.rows()
    added = [row["verb"] for row in rows["rules_auditevent"][len(before["rules_auditevent"]) :]]
    del rows["rules_auditevent"][len(before["rules_auditevent"]) :]
    if release == UNFINISHED:
        # Its window was open. No agent of the new installation knows of it.
        unfinished = next(apply for apply in before["rules_apply"] if apply["state"] == "queued")
        given_up = next(apply for apply in rows["rules_apply"] if apply["id"] == unfinished["id"])
        assert (given_up["state"], json.loads(given_up["error"])["summary"]) == ("failed", CUT_OFF)
        unfinished |= {key: given_up[key] for key in ("state", "error", "finished_at")}
        assert added == ["apply-failed", "backup-restore"]
    else:
        assert added == ["backup-restore"]
    assert rows == before
    assert new.manage("migrate", "--check").returncode == 0


def test_its_redis_users_are_renewed(
    release: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = released(release, tmp_path).settings
    before = {path.name: path.read_text() for path in settings.glob("*.env")}
    assert renew_users([str(settings), "local"]) == 0
    assert {path.name: path.read_text() for path in settings.glob("*.env")} == before
    with redis_with_users(settings) as socket:
        password = re.search(r"unix://web:([^@]+)@", before["web.env"])
        assert password
        web = Redis.from_url(redis_url(socket, "web", password[1]), socket_timeout=10)
        assert web.rpush("rq:queue:firewall-local", "order") == 1
        with pytest.raises(NoPermissionError):
            web.keys("*")
