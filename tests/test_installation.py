"""scripts/install and scripts/uninstall for real: a systemd of its own starts what they put in.

The files are this machine's own, under an overlay, with a network, processes and control groups of their own.
Other releases, upgrades and boots are for scripts/reboots.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dockerfw.host.signer import find_sender_fault
from dockerfw.messages.signatures import parse_private_key, sign
from dockerfw.settings_files import SETTINGS, root_settings
from rules.command_line import __main__ as launch
from rules.command_line.__main__ import installation_settings
from scripts.installation import install, places, settings
from scripts.installation.health import asked_name
from scripts.installation.install import HOST_DROP_IN
from scripts.stack import redis_users
from tests.machine.installing import Installing
from tests.machine.machine import Machine
from tests.machine.own import OwnMachine
from tests.machine.sight import Sight
from tests.rig.namespace import PATIENCE

ROOT = Path(__file__).resolve().parent.parent
NEEDED = {"systemd-nspawn": "systemd-container", "busctl": "systemd", "dbus-daemon": "dbus"}


def why_not() -> str:
    missing = sorted({package for command, package in NEEDED.items() if not shutil.which(command)})
    if os.geteuid() != 0:
        return "only root can boot a systemd of its own"
    return f"not installed: {', '.join(missing)} (Debian packages)" if missing else ""


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_what_is_installed_serves_and_is_taken_out_whole() -> None:
    with OwnMachine() as machine:
        installing = Installing(machine, Sight(machine))
        installing.remember_files()
        installing.refuse()
        installing.install()
        assert boot_order(machine) == ["nftables", "netfilter-persistent", "ufw", "dockerfw"]
        shown = machine.run("dockerfw", "history", check=False)
        assert shown.status == 0, shown.stderr
        # (It fails when the doctor finds an error.)
        machine.run("dockerfw", "doctor")
        shown = machine.run("dockerfw", "release")
        assert "nothing to do" in shown.stdout
        installing.uninstall()


def boot_order(machine: Machine) -> list[str]:
    """Start the boot unit together with programs that flush the rules; return in which order they ended."""
    others = ("nftables", "netfilter-persistent", "ufw")
    machine.sh("mkdir -p /run/systemd/system")
    for number, name in enumerate(others):
        # (Each takes a while, so that only the order of the units makes dockerfw's the last.)
        text = f"""[Unit]
DefaultDependencies=no
Before=network-pre.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sleep {1 + number / 2}; echo {name} >>/run/order'
"""
        machine.run("sh", "-c", f"cat >/run/systemd/system/{name}.service", stdin=text)
    boot = "/var/lib/dockerfw/boot"
    machine.sh(f"mkdir -p {boot}; echo 'echo dockerfw >>/run/order' >{boot}/dockerfw-boot.sh")
    units = " ".join(f"{name}.service" for name in others)
    # As at boot, one target starts all of them.
    text = f"[Unit]\nWants=dockerfw-boot.service {units}\nAfter=dockerfw-boot.service {units}\n"
    machine.run("sh", "-c", "cat >/run/systemd/system/order.target", stdin=text)
    machine.sh("systemctl daemon-reload; systemctl start order.target")
    order = machine.sh("cat /run/order").split()
    machine.sh(
        f"systemctl stop order.target dockerfw-boot; rm -r {boot} /run/order; cd /run/systemd/system;"
        f" rm order.target {units}; systemctl daemon-reload"
    )
    return order


@pytest.mark.parametrize("arguments", [["--hots"], ["--host", "more"], []])
def test_install_says_one_sentence_for_what_it_cannot_mean(arguments: list[str]) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "install", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("dockerfw: ")


def test_what_is_taken_out_needs_no_package() -> None:
    # Where the environment is gone, the distribution's Python runs it.
    words = [sys.executable, "-S", "-B", "-c", "import scripts.installation.uninstall"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", ["install", "uninstall"])
def test_the_help_comes_without_root(script: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / script, "--help"], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert f"usage: scripts/{script}" in done.stdout


def test_root_reads_its_own_settings_and_not_the_web_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.env").write_text("DOCKERFW_TIME_ZONE=Nowhere\n")
    (tmp_path / "web.env").write_text("DOCKERFW_REDIS_URL=unix://web:secret@/redis.sock\n")
    (tmp_path / "host.env").write_text("DOCKERFW_OBSERVE_SECONDS=30\nDOCKERFW_HOST=shop-1\n")
    (tmp_path / "root-shop-1.env").write_text("DOCKERFW_REDIS_URL=unix://root-shop-1:other@/redis.sock\n")
    assert root_settings(tmp_path) == {
        "DOCKERFW_OBSERVE_SECONDS": "30",
        "DOCKERFW_HOST": "shop-1",
        "DOCKERFW_REDIS_URL": "unix://root-shop-1:other@/redis.sock",
    }
    # Most verbs of the dashboard get the web pages' settings. Root's verbs also get the root worker's places.
    web = installation_settings("history", tmp_path)
    assert web.keys() == {"DOCKERFW_DATA_DIR", "DOCKERFW_REDIS_URL", "DOCKERFW_TIME_ZONE"}
    doctor = installation_settings("doctor", tmp_path)
    assert doctor["DOCKERFW_REDIS_URL"] == web["DOCKERFW_REDIS_URL"]
    assert (doctor["DOCKERFW_STATE_DIR"], doctor["DOCKERFW_HOST"]) == ("/var/lib/dockerfw", "shop-1")


def test_the_command_line_agrees_with_the_installer_about_places() -> None:
    assert (launch.ACCOUNT, launch.DATA, launch.STATE) == (places.WEB_USER, places.DATA, places.STATE)
    assert (launch.MARK, SETTINGS) == (places.MARK, places.SETTINGS)
    assert (ROOT / "deploy" / "dockerfw").read_text().startswith(f"#!{places.CODE}/.venv/bin/python -I\n")
    root_unit = (ROOT / "deploy" / "dockerfw-root.service").read_text()
    launcher = f"{places.CODE}/.venv/bin/python -I {places.CODE}/deploy/dockerfw"
    assert f"\nExecStart={launcher} agent\n" in root_unit


def test_a_host_with_a_name_of_its_own_gets_a_user_of_redis_and_its_root_worker_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SETTINGS", tmp_path)
    assert settings.host_name() == "local"
    settings.make_missing()
    assert settings.host_name() == "local"
    (tmp_path / "host.env").write_text("DOCKERFW_HOST=shop-1\nDOCKERFW_REDIS_URL=redis://elsewhere\n")
    assert settings.host_name() == "shop-1"
    assert redis_users.main([str(tmp_path), settings.host_name()]) == 0
    # What systemd reads, in its order; the last one's word counts.
    drop_in = HOST_DROP_IN.format(host="shop-1")
    read = re.findall(r"^EnvironmentFile=(?:-/etc/dockerfw/(\S+))?$", drop_in, re.MULTILINE)
    assert read == ["", "root-shop-1.env", "host.env"]
    assert settings.read(read[1])["DOCKERFW_REDIS_URL"].startswith("unix://root-shop-1:")
    assert settings.read(read[1])["DOCKERFW_HOST"] == "shop-1"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_an_installation_without_keys_for_orders_gets_a_pair_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "SETTINGS", tmp_path)
    monkeypatch.setattr(install, "WEB_USER", "nobody")
    install._make_signing_keys()
    key, signer = tmp_path / "signing.key", tmp_path / "signer.pub"
    first = [path.read_bytes() for path in (key, signer)]
    value = sign({"format": "dockerfw-order/1"}, parse_private_key(first[0]))
    assert find_sender_fault(value, signer) is None
    owner, found = pwd.getpwnam("nobody"), key.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (owner.pw_uid, 0o600)
    assert (signer.stat().st_uid, stat.S_IMODE(signer.stat().st_mode)) == (0, 0o644)
    # An upgrade keeps the pair, and mends what root trusts.
    signer.write_text("something else")
    install._make_signing_keys()
    assert [path.read_bytes() for path in (key, signer)] == first
    key.unlink()
    install._make_signing_keys()
    assert key.read_bytes() != first[0]
    assert signer.read_bytes() != first[1]


@pytest.mark.parametrize(
    ("allowed", "name"),
    [
        ("", "127.0.0.1"),
        ("*", "127.0.0.1"),
        ("addresses", "127.0.0.1"),
        (".example.org, localhost", "x.example.org"),
        ("firewall.example.org", "firewall.example.org"),
    ],
)
def test_the_pages_are_asked_under_a_name_that_they_answer(allowed: str, name: str) -> None:
    assert asked_name(allowed) == name
