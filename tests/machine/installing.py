"""The chapters of the story about installing, upgrading, failed upgrades and uninstalling.

They run scripts/install and scripts/uninstall in the machine, from a clone in a user's home, and check the
result.
"""

from __future__ import annotations

import re

from tests.machine.machine import Done, Machine
from tests.machine.sight import Sight, expect

CLONE = "/home/alice/dockerfw"
SITE = "DOCKERFW_SECURE_COOKIES=0\nDOCKERFW_TIME_ZONE=Europe/Berlin\n"
# What boots, logs, apt and pip write at any time.
BUSY = (
    *("/home/alice", "/root/.cache", "/run", "/tmp", "/var/cache", "/var/lib/containerd", "/var/lib/docker"),
    *("/var/lib/systemd", "/var/log", "/var/tmp", "/etc/.pwd.lock", "/etc/.updated", "/var/.updated"),
)
# While it runs it writes down each moment in which our chain was not called first, in either family.
WATCH = """
while sleep 0.2; do
    for family in iptables ip6tables; do
        said=$($family -w -S INPUT 2>&1) || said="status $?: $said"
        case $said in
            *"-A INPUT -j FILTERS-HOST"*) ;;
            *) echo "$family lacks the anchor: $said" ;;
        esac
    done
    echo looked
done
"""
BROKEN = "rules/migrations/9999_broken.py"
# Its first half succeeds and stays.
MIGRATION = """
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("rules", "LAST")]
    operations = [migrations.RunSQL("create table half_way (a int)"), migrations.RunSQL("no sql")]
"""
TABLES = """
import sqlite3
database = sqlite3.connect("file:/var/lib/dockerfw-web/dockerfw.sqlite3?mode=ro", uri=True)
print(*database.execute("select name from sqlite_master order by name"))
print(*database.execute("select number, digest from rules_revision order by number"))
"""


class Installing:
    """Puts in and takes out in one machine."""

    def __init__(self, machine: Machine, sight: Sight) -> None:
        self.machine = machine
        self.sight = sight
        self._before: dict[str, str] = {}

    def fetch_packages(self) -> str:
        """Let scripts/setup get the packages through apt, and look at all files before anything comes."""
        copy = f"cp -a {CLONE} /tmp/copy; : >/tmp/copy/requirements.txt"
        self.machine.sh(f"{copy}; /tmp/copy/scripts/setup host; rm -rf /tmp/copy", seconds=900)
        enabled = self.machine.run("systemctl", "is-enabled", "redis-server", check=False).stdout.strip()
        expect(enabled in ("disabled", "not-found", ""), f"redis-server is {enabled}")
        self.remember_files()
        redis = self.machine.run("redis-server", "--version", check=False).stdout.partition(" sha")[0]
        return f"packages came through apt; of its own the machine has {redis.strip() or 'no Redis'}"

    def remember_files(self) -> None:
        """Remember how all files are, before anything is installed."""
        self._before = self._files()

    def refuse(self) -> str:
        """Say one sentence to what cannot be meant."""
        for words in (["install"], ["install", "--hots"], ["install", "--host", "x"], ["uninstall", "--all"]):
            self._refused(self._call(*words), 2)
        self._refused(self._call("install", "--host", user="nobody"), 2)
        done = self._call("uninstall")
        expect("not installed here" in done.stdout, done.stdout)
        return "bad arguments and a call without root get one sentence; there is nothing to take out yet"

    def install(self) -> str:
        """Install out of a clone that its owner alone can read, and look at what it put in."""
        self.machine.sh(f"chmod -R go= {CLONE}")
        done = self._installed()
        link = re.search(r"http://127\.0\.0\.1:8000/setup/\S+", done.stdout)
        expect(link is not None, done.stdout)
        self._look_at_owners()
        verify = "systemd-analyze verify --man=no /etc/systemd/system/dockerfw-*.service 2>&1"
        said = [
            line for line in self.machine.sh(f"{verify} || echo dockerfw").splitlines() if "dockerfw" in line
        ]
        expect(not said, "\n".join(said))
        return "installed from a clone in a user's home; all four units run and the pages answer"

    def install_again(self) -> str:
        """Install once more, with changed settings, while the kernel is watched."""
        self.machine.run("sh", "-c", "cat >/etc/dockerfw/site.env", stdin=SITE)
        before = self.sight.loaded()
        self.machine.run("systemd-run", "--quiet", "--unit=watch", "sh", "-c", WATCH)
        done = self._installed()
        self.machine.run("systemctl", "stop", "watch")
        seen = self.machine.sh("journalctl --no-pager -o cat -u watch")
        # (systemd writes the command itself into the journal too.)
        looks = len(re.findall(r"^looked$", seen, re.MULTILINE))
        lacks = len(re.findall(r"^ip6?tables lacks", seen, re.MULTILINE))
        expect(looks > 10 and not lacks, f"{lacks} of {looks} looks missed the anchor:\n{seen}")
        expect(self.sight.loaded() == before, f"{before} became {self.sight.loaded()}")
        expect("/setup/" not in done.stdout, done.stdout)
        expect(self.machine.sh("cat /etc/dockerfw/site.env") == SITE, "site.env was changed")
        expect(
            self.machine.sh("ls -d /opt/dockerfw*").split() == ["/opt/dockerfw"], "something is left in /opt"
        )
        return (
            f"installed once more: in {looks} looks at both families no anchor was missing; site.env stayed"
        )

    def upgrade(self, former: str) -> str:
        """Upgrade what was installed by hand; the clone in its place is kept."""
        before = self.sight.loaded()
        done = self._installed()
        expect(f"and replaces {former}." in done.stdout, done.stdout)
        expect("/opt/dockerfw-clone" in done.stdout, done.stdout)
        expect(self.sight.loaded() == before, f"{before} became {self.sight.loaded()}")
        self._look_at_owners()
        self.machine.run("dockerfw", "history")
        # (It fails when the doctor finds an error.)
        self.machine.run("dockerfw", "doctor")
        return "upgraded: the same revision is loaded, the old clone was kept, and the doctor finds no error"

    def refuse_in_a_window(self) -> str:
        """Refuse both ways while an apply waits to be kept; nothing is touched."""
        before = self._state()
        self._refused(self._call("install", "--host"), 1)
        self._refused(self._call("uninstall"), 1)
        expect(self._state() == before, "something was restarted")
        return "while an apply waits to be kept both are refused, and no process was disturbed"

    def fail_half_way(self) -> str:
        """Let pip fail, then a migration: the old one goes on."""
        before, held = self._state(), self._database()
        self.machine.sh(f"cp -a {CLONE} /tmp/broken; echo no-such-thing==1.0 >>/tmp/broken/requirements.txt")
        self._refused(self._call("install", "--host", clone="/tmp/broken"), 1, sentences=None)
        expect(self._state() == before, "something was restarted by an upgrade whose pip failed")
        self.machine.sh(f"cp {CLONE}/requirements.txt /tmp/broken/")
        self.machine.run("sh", "-c", f"cat >/tmp/broken/{BROKEN}", stdin=self._broken())
        self._refused(self._call("install", "--host", clone="/tmp/broken"), 1, sentences=None)
        self.sight.await_serving()
        expect(self._database() == held, "half of a migration is in the database")
        expect(
            self.machine.sh("ls -d /opt/dockerfw*").split() == ["/opt/dockerfw"], "something is left in /opt"
        )
        there = self.machine.run("test", "-e", f"/opt/dockerfw/{BROKEN}", check=False)
        expect(there.status == 1, "the new code is in place")
        self.machine.sh("rm -r /tmp/broken")
        return "pip fails, then a migration half-way: each time the old installation serves as before"

    def uninstall_and_keep(self) -> str:
        """Take it out without the data: rules and database stay; then put it in again."""
        before = self.sight.loaded()
        done = self._call("uninstall")
        expect(done.status == 0, done.stdout + done.stderr)
        expect(self.sight.loaded() == before, "the kernel's rules have changed")
        expect("stay in the kernel" in done.stdout and "/var/lib/dockerfw-web" in done.stdout, done.stdout)
        owner = self.machine.sh(
            "stat -c '%U %a' /var/lib/dockerfw-web /var/lib/dockerfw-web/dockerfw.sqlite3"
        )
        expect(owner.split()[::2] == ["root", "root"], owner)
        done = self._installed()
        expect("/setup/" not in done.stdout, done.stdout)
        expect(self.sight.loaded() == before, "the kernel's rules have changed")
        return "uninstalled without --purge: rules, database and site.env stayed; installed again it goes on"

    def uninstall(self) -> str:
        """Remove everything: only the former files and packages stay."""
        # As scripts/install leaves a clone from /opt/dockerfw: it is a user's, so it is never removed.
        self.machine.sh("mkdir /opt/dockerfw-clone; touch /opt/dockerfw-clone/work")
        done = self._call("uninstall", "--purge", "--chains")
        expect(done.status == 0, done.stdout + done.stderr)
        expect("Left: /opt/dockerfw-clone, your clone" in done.stdout, done.stdout)
        self.machine.sh("rm /opt/dockerfw-clone/work; rmdir /opt/dockerfw-clone")
        rules = self.machine.sh("iptables-save; ip6tables-save")
        expect("FILTERS" not in rules, rules)
        before, after = self._before, self._files()
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        differs = [f"{name}: {before.get(name)}, then {after.get(name)}" for name in names]
        expect(not differs, "the files differ:\n" + "\n".join(differs[:40]))
        # (systemd 249 forgets to remove folders of its own.)
        find = "find /run -xdev -name '*dockerfw*' ! -path '/run/systemd/propagate/*'"
        expect(not (found := self.machine.sh(find)), found)
        again = self._call("uninstall", "--purge", "--chains")
        expect(again.status == 0 and "not installed here" in again.stdout, again.stdout + again.stderr)
        return "uninstalled with --purge --chains: no file of the whole machine differs from before"

    def _installed(self) -> Done:
        done = self._call("install", "--host")
        expect(done.status == 0, done.stdout + done.stderr)
        expect("Address:  http://127.0.0.1:8000/" in done.stdout, done.stdout)
        expect(self.sight.all_serve(), "it said that it serves, and does not")
        return done

    def _call(self, script: str, *words: str, clone: str = CLONE, user: str = "") -> Done:
        as_user = ("runuser", "-u", user, "--") if user else ()
        return self.machine.run(*as_user, f"{clone}/scripts/{script}", *words, check=False, seconds=900)

    def _refused(self, done: Done, status: int, *, sentences: int | None = 1) -> None:
        said = [line for line in done.stderr.splitlines() if line.startswith("dockerfw: ")]
        expect(done.status == status and "Traceback" not in done.stderr, f"{done.status}: {done.stderr}")
        expect(bool(said) if sentences is None else len(said) == sentences, done.stderr)

    def _look_at_owners(self) -> None:
        others = self.machine.sh(r"find /opt/dockerfw \( ! -uid 0 -o ! -gid 0 -o -perm /022 \) ! -type l")
        expect(not others, f"not root's alone: {others[:500]}")
        owners = self.machine.sh(
            "stat -c '%U %a' /run/dockerfw-redis /var/lib/dockerfw /var/lib/dockerfw-web"
        )
        expect(owners.split() == ["dockerfw-redis", "750", "root", "700", "dockerfw", "700"], owners)

    def _state(self) -> list[str]:
        return [*self.sight.processes(), *map(str, self.sight.loaded())]

    def _database(self) -> str:
        return self.machine.run("python3", "-", stdin=TABLES).stdout

    def _files(self) -> dict[str, str]:
        found = self.machine.changed_files()
        return {
            name: text
            for name, text in found.items()
            if not any(name == busy or name.startswith(f"{busy}/") for busy in BUSY)
            and "/__pycache__" not in name
            and not (name.startswith("/etc/") and name.endswith("-"))
        }

    def _broken(self) -> str:
        names = self.machine.sh(f"ls {CLONE}/rules/migrations").split()
        last = max(name.removesuffix(".py") for name in names if re.match(r"\d{4}_", name))
        return MIGRATION.replace("LAST", last)
