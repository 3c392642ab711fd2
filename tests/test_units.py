"""The systemd units: what systemd itself thinks of them, and that an apply works within their bounds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dockerfw.host.privileges import CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN
from dockerfw.store.bootfiles import SCRIPT
from scripts.stack.layout import HOST_STATE
from tests.machine.sight import exposure_bound
from tests.rig.host_states import add_foreign, held
from tests.rig.namespace import Namespace

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
BOOT = DEPLOY / "dockerfw-boot.service"
SERVICES = [unit for unit in UNITS if unit != BOOT]
CAPABILITIES = {
    "CAP_NET_ADMIN": CAP_NET_ADMIN,
    "CAP_NET_RAW": CAP_NET_RAW,
    "CAP_SYS_ADMIN": CAP_SYS_ADMIN,
    "CAP_SETUID": 7,
    "CAP_SETGID": 6,
}


def settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().replace("\\\n", " ").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_there_is_a_unit_for_each_process_and_one_for_booting() -> None:
    names = ("boot", "clerk", "redis", "root", "web")
    assert [unit.stem for unit in UNITS] == [f"dockerfw-{name}" for name in names]


def test_the_boot_unit_runs_the_script_of_the_kept_revision_before_the_network() -> None:
    found = settings(BOOT)
    script = HOST_STATE / "boot" / SCRIPT
    assert found["ExecStart"] == [f"/bin/sh {script}"]
    assert found["ConditionPathExists"] == [str(script)]
    assert {"network-pre.target", "docker.service"} <= set(found["Before"][0].split())
    assert found["Wants"] == ["network-pre.target"]
    assert found["DefaultDependencies"] == ["no"]
    # At its start each of these replaces the rules that are there.
    after = {name.removesuffix(".service") for name in " ".join(found["After"]).split()}
    assert {"nftables", "netfilter-persistent", "ufw"} <= after
    # What needs a started system would make a cycle where the network is up before that.
    assert after <= {"nftables", "netfilter-persistent", "ufw", "systemd-modules-load", "local-fs.target"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_little_exposed(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if found is None:
        pytest.skip(
            f"this systemd-analyze cannot look at a unit that is not installed: {done.stderr.strip()}"
        )
    assert float(found[1]) < exposure_bound(unit.stem)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_every_unit_comes_back_and_is_bounded(unit: Path) -> None:
    found = settings(unit)
    assert found["Restart"] == ["always"]
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["NoNewPrivileges"] == ["yes"]
    assert re.fullmatch(r"\d+[MG]", found["MemoryMax"][0])
    if unit.stem != "dockerfw-root":
        assert found["User"][0] in ("dockerfw", "dockerfw-redis")
        assert found["CapabilityBoundingSet"] == [""]


def test_the_watchdog_survives_a_stop_of_the_root_worker() -> None:
    assert settings(DEPLOY / "dockerfw-root.service")["KillMode"] == ["process"]


def test_only_the_web_pages_of_their_user_see_the_key_for_orders() -> None:
    for unit in SERVICES:
        found = settings(unit)
        if unit.stem != "dockerfw-web" and found["User"][0] == "dockerfw":
            assert found["InaccessiblePaths"] == ["-/etc/dockerfw/signing.key"]


def test_the_accounts_are_those_of_the_units() -> None:
    made = set(re.findall(r"^u (\S+)", (DEPLOY / "sysusers.conf").read_text(), re.MULTILINE))
    wanted = {settings(unit)["User"][0] for unit in SERVICES} - {"root"}
    assert made == wanted


def test_the_redis_unit_serves_the_socket_of_the_addresses() -> None:
    from scripts.stack.redis_users import SOCKET

    text = (DEPLOY / "redis" / "redis.conf").read_text()
    assert f"unixsocket {SOCKET}\n" in text
    assert settings(DEPLOY / "dockerfw-redis.service")["RuntimeDirectory"] == [SOCKET.parent.name]


def test_redis_takes_the_shipped_configuration(tmp_path: Path) -> None:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server here")
    from scripts.stack.redis_users import main

    assert main([str(tmp_path), "local"]) == 0
    text = (DEPLOY / "redis" / "redis.conf").read_text()
    text = text.replace("/etc/dockerfw", str(tmp_path)).replace("/run/dockerfw-redis", str(tmp_path))
    (tmp_path / "redis.conf").write_text(text)
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "--", program, str(tmp_path / "redis.conf")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "ready to accept connections" in line.lower():
                break
        process.terminate()
    assert "ready to accept" in "".join(said).lower(), "".join(said)


# PR_SET_MDWE with PR_MDWE_REFUSE_EXEC_GAIN: what MemoryDenyWriteExecute= forbids, where the kernel knows it.
APPLY = """
import ctypes, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
from pathlib import Path
from dockerfw.store.bootfiles import SCRIPT
from dockerfw.host.privileges import drop_privileges
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import answer, document, order, run
drop_privileges()
state = StateDirectory(Path(sys.argv[1]))
outcome = run(order(document("22", "8080")), state)
kept = answer("keep", state)
try:
    Path("/etc/dockerfw-test").write_text("x")
except OSError as error:
    print(error.strerror)
print([step.name for step in outcome.steps if step.state == "done"], outcome.error)
print(kept.state)
"""
# ProtectSystem=strict with the state directory and /run.
READ_ONLY = """
mount --make-rprivate /
mount --bind "$0" "$0"
mount --bind /run /run
mount -o remount,bind,ro /
exec "$@"
"""


def test_an_apply_works_within_the_root_units_bounds(namespace: Namespace, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make the file system read-only for a process")
    names = settings(DEPLOY / "dockerfw-root.service")["CapabilityBoundingSet"][0].split()
    bound = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in names)])
    assert set(names) == set(CAPABILITIES)
    add_foreign(namespace, "nft")
    state = tmp_path / "state"
    (state / "tmp").mkdir(parents=True)
    done = namespace.run(
        *("unshare", "--mount", "sh", "-ec", READ_ONLY, str(state)),
        *("setpriv", f"--bounding-set={bound}", "--no-new-privs", "--"),
        *(sys.executable, "-c", APPLY, str(state)),
        environment={"PYTHONPATH": str(ROOT), "TMPDIR": str(state / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=60,
    )
    printed = done.stdout.decode()
    assert "Read-only file system" in printed
    assert "'rehearse'" in printed, printed
    assert "'read-back'" in printed, printed
    assert printed.endswith("confirmed\n")
    assert all(any("8080" in line for line in lines) for lines in held(namespace, "nft").values())
