"""The whole way without a browser: command line, clerk, root worker and Redis on a real kernel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockerfw.chains.render import DIALLED_TO_LOOPBACK
from dockerfw.messages.loaded import loaded_key
from dockerfw.store.confirmed import CONFIRMED
from dockerfw_site.environment import BASE_DIR
from tests.rig.namespace import FAMILIES, PATIENCE, Family, Namespace, end_process
from tests.rig.redis_fixtures import RedisServer
from tests.rig.signing import write_signer, write_signing_key

DOCUMENT = {
    "format": "dockerfw/1",
    "settings": {"external_interfaces": ["ens33"]},
    "rules": [
        {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"},
        {"scope": "both", "protocol": "tcp", "ports": ["443"], "comment": "web"},
    ],
}
EMPTY = {"format": "dockerfw/1", "settings": {"external_interfaces": ["ens33"]}, "rules": []}


class Site:
    """A clerk and a root worker with data of their own; `firewall` runs a verb against them."""

    def __init__(self, directory: Path, namespace: Namespace, redis: RedisServer) -> None:
        """Set up the database and start both processes."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DOCKERFW_")}
        clean.pop("DATABASE_URL", None)
        self.log = directory / "log"
        self.environ = {
            **clean,
            "DOCKERFW_DATA_DIR": str(directory),
            "DOCKERFW_STATE_DIR": str(directory / "state"),
            "DOCKERFW_REDIS_URL": redis.url,
            "DOCKERFW_SIGNING_KEY_FILE": str(write_signing_key(directory)),
            "DOCKERFW_SIGNER_FILE": str(write_signer(directory)),
        }
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--skip-checks", "-v0"],
            cwd=BASE_DIR,
            env=self.environ,
            check=True,
        )
        clerk = (sys.executable, "manage.py", "clerk")
        self._root = (*namespace.prefix, sys.executable, "-m", "dockerfw", "agent")
        self.processes = [self._start(clerk), self._start(self._root)]

    def _start(self, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                # The signal ends it even when pytest is killed and no fixture comes to its end.
                ("setpriv", "--pdeathsig", "TERM", "--", *command),
                cwd=BASE_DIR,
                env=self.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def firewall(self, *arguments: str, stdin: object = None) -> subprocess.CompletedProcess[str]:
        """Run a verb."""
        return subprocess.run(
            [sys.executable, "manage.py", "firewall", *arguments],
            cwd=BASE_DIR,
            env=self.environ,
            input=json.dumps(stdin) if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def stop_root(self) -> None:
        """End the root worker."""
        end_process(self.processes.pop())

    def start_root(self) -> None:
        """Start the root worker again."""
        self.processes.append(self._start(self._root))

    def stop(self) -> None:
        """End both processes."""
        for process in self.processes:
            end_process(process)


@pytest.fixture
def hosted(make_namespace: Callable[..., Namespace]) -> Namespace:
    namespace = make_namespace("host")
    # A veth pair, because a kernel without modules may know no dummy interfaces.
    namespace.run("ip", "link", "add", "ens33", "type", "veth", "peer", "name", "outside")
    namespace.run("ip", "address", "add", "192.0.2.1/24", "dev", "ens33")
    return namespace


@pytest.fixture
def site(tmp_path: Path, hosted: Namespace, redis_server: RedisServer) -> Iterator[Site]:
    found = Site(tmp_path, hosted, redis_server)
    yield found
    found.stop()


def test_import_apply_status_roll_back(site: Site, hosted: Namespace) -> None:
    assert site.firewall("import", "-", stdin=DOCUMENT).returncode == 0
    plan = site.firewall("plan")
    assert plan.returncode == 1, plan.stderr + site.log.read_text()
    assert "-p tcp -m tcp --dport 22" in plan.stdout
    applied = site.firewall("apply", "-m", "open ssh and web", "--keep")
    assert applied.returncode == 0, applied.stderr + site.log.read_text()
    assert applied.stdout.splitlines()[-1] == "revision 1: confirmed"
    assert any(line.startswith("load-ipv6: done") for line in applied.stdout.splitlines())
    for saved in (hosted.save(family=4).decode(), hosted.save(family=6).decode()):
        assert "dockerfw r1 " in saved
        assert "--ctorigdstport 443" in saved
    status = site.firewall("status")
    assert (status.returncode, status.stdout.splitlines()[0]) == (
        0,
        "Protected: revision 1 is active for IPv4 and IPv6.",
    )
    assert site.firewall("plan").returncode == 0
    assert site.firewall("apply", "-m", "again").returncode == 1
    assert site.firewall("import", "-", stdin=EMPTY).returncode == 0
    second = site.firewall("apply", "-m", "close", "--json", "--keep")
    assert json.loads(second.stdout)["state"] == "confirmed"
    assert "--dport 22" not in hosted.save().decode()
    back = site.firewall("rollback", "1", "-m", "that was wrong", "--keep")
    assert back.returncode == 0, back.stderr
    assert "dockerfw r3 " in hosted.save().decode()
    assert "--dport 22" in hosted.save().decode()
    # The draft had nothing pending, so it followed.
    assert site.firewall("plan").returncode == 0
    assert len(json.loads(site.firewall("export").stdout)["rules"]) == 2


def test_drift_is_seen_and_put_right_under_the_same_number(site: Site, hosted: Namespace) -> None:
    site.firewall("import", "-", stdin=DOCUMENT)
    assert site.firewall("apply", "-m", "first", "--keep").returncode == 0, site.log.read_text()
    hosted.iptables("-F", "FILTERS")
    hosted.iptables("-D", "INPUT", "-j", "FILTERS-HOST", family=6)
    status = site.firewall("status")
    assert status.returncode == 1
    assert "the kernel does not hold revision 1" in status.stdout
    assert "IPv4: 2 rules of revision 1 are not loaded." in status.stdout
    assert "IPv6: INPUT has no jump to dockerfw" in status.stdout
    again = site.firewall("apply", "-m", "put it back", "--keep")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == "revision 1: confirmed"
    assert site.firewall("status").returncode == 0


def test_an_apply_without_a_change_loads_what_an_upgrade_adds(
    site: Site, hosted: Namespace, redis_server: RedisServer
) -> None:
    site.firewall("import", "-", stdin=DOCUMENT)
    assert site.firewall("apply", "-m", "first", "--keep").returncode == 0, site.log.read_text()
    become_loaded_by_an_earlier_release(site, hosted, redis_server)
    status = site.firewall("status")
    assert (status.returncode, status.stdout.splitlines()[0]) == (
        0,
        "Protected: revision 1 is active for IPv4 and IPv6.",
    )
    plan = site.firewall("plan")
    assert plan.returncode == 1, plan.stdout
    assert f"IPv4 + FILTERS-CONTAINERS {DIALLED_TO_LOOPBACK[4]}" in plan.stdout
    applied = site.firewall("apply", "-m", "after the upgrade", "--keep")
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.splitlines()[-1] == "revision 1: confirmed"
    assert f"-A FILTERS-CONTAINERS {DIALLED_TO_LOOPBACK[4]}" in our_chains(hosted, 4)
    assert f"-A FILTERS-CONTAINERS {DIALLED_TO_LOOPBACK[6]}" in our_chains(hosted, 6)
    again = site.firewall("apply", "-m", "again")
    assert (again.returncode, again.stderr.startswith("Nothing to apply")) == (1, True), again.stderr
    history = json.loads(site.firewall("history", "--json").stdout)
    assert [(one["number"], one["message"]) for one in history] == [(1, "first")]


def test_a_roll_back_of_what_an_upgrade_adds_restores_the_loaded_rules(
    site: Site, hosted: Namespace, redis_server: RedisServer
) -> None:
    site.firewall("import", "-", stdin=DOCUMENT)
    assert site.firewall("apply", "-m", "first", "--keep").returncode == 0, site.log.read_text()
    become_loaded_by_an_earlier_release(site, hosted, redis_server)
    before = {4: our_chains(hosted, 4), 6: our_chains(hosted, 6)}
    silent = site.firewall("apply", "-m", "after the upgrade", "--window", "15")
    assert silent.stdout.splitlines()[-1] == "revision 1: rolled back", silent.stderr
    assert {4: our_chains(hosted, 4), 6: our_chains(hosted, 6)} == before
    status = site.firewall("status")
    assert status.returncode == 0, status.stdout
    assert site.firewall("plan").returncode == 1


def become_loaded_by_an_earlier_release(site: Site, namespace: Namespace, redis: RedisServer) -> None:
    """Take away what release 0.1.0 did not load, the lines for loopback, and the text it did not keep."""
    site.stop_root()
    for family in FAMILIES:
        namespace.iptables("-D", "FILTERS-CONTAINERS", *DIALLED_TO_LOOPBACK[family].split(), family=family)
    record = Path(site.environ["DOCKERFW_STATE_DIR"]) / "boot" / CONFIRMED
    value = json.loads(record.read_text())
    del value["loaded"], value["loaded_digest"]
    record.write_text(json.dumps(value))
    redis.client().delete(loaded_key("local"))
    site.start_root()


def test_of_two_applies_at_once_one_is_told_to_wait(site: Site, hosted: Namespace) -> None:
    site.firewall("import", "-", stdin=DOCUMENT)
    assert site.firewall("plan").returncode == 1
    command = [sys.executable, "manage.py", "firewall", "apply", "--keep", "-m"]
    both = [
        subprocess.Popen(
            [*command, message],
            cwd=BASE_DIR,
            env=site.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for message in ("one", "other")
    ]
    errors = [process.communicate(timeout=PATIENCE)[1].decode() for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], errors
    lost = "".join(errors)
    said = ("The apply of revision 1 by", "already holds the draft", "Another revision was")
    assert any(words in lost for words in said), lost
    assert "Traceback" not in lost
    assert "dockerfw r1 " in hosted.save().decode()


def test_silence_and_cancel_restore_the_previous_rules(site: Site, hosted: Namespace) -> None:
    site.firewall("import", "-", stdin=DOCUMENT)
    assert site.firewall("apply", "-m", "first", "--keep").returncode == 0, site.log.read_text()
    before = {4: our_chains(hosted, 4), 6: our_chains(hosted, 6)}
    assert site.firewall("import", "-", stdin=EMPTY).returncode == 0
    silent = site.firewall("apply", "-m", "lock everybody out", "--window", "15")
    assert silent.returncode == 1, silent.stdout
    assert silent.stdout.splitlines()[-1] == "revision 2: rolled back", silent.stderr
    assert "revision 2 is loaded but not confirmed; it is rolled back at " in silent.stderr
    assert {4: our_chains(hosted, 4), 6: our_chains(hosted, 6)} == before
    command = [sys.executable, "manage.py", "firewall", "apply", "-m", "again", "--window", "300"]
    with subprocess.Popen(
        command, cwd=BASE_DIR, env=site.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stderr is not None
        assert "is loaded but not confirmed" in waiting.stderr.readline()
        assert our_chains(hosted, 4) != before[4]
        status = site.firewall("status")
        assert status.returncode == 1
        assert "Revision 3 is loaded for IPv4 and IPv6. The previous rules return at " in status.stdout
        assert site.firewall("cancel").returncode == 0
        assert waiting.wait(PATIENCE) == 1
    assert {4: our_chains(hosted, 4), 6: our_chains(hosted, 6)} == before
    status = site.firewall("status")
    assert (status.returncode, status.stdout.splitlines()[0]) == (
        0,
        "Protected: revision 1 is active for IPv4 and IPv6.",
    )


def our_chains(namespace: Namespace, family: Family) -> list[str]:
    """Return the filter table as saved, without counters and times."""
    saved = namespace.save(family=family).decode().splitlines()
    return [re.sub(r"\[\d+:\d+\]", "", line) for line in saved if not line.startswith("#")]
