"""The sandbox of scripts/run: a Docker host in a namespace of its own, booted as a real one is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dockerfw.iptables.parse import parse_save
from scripts.stack.sandbox import CLEAN_HOST, docker_chains
from tests.rig.namespace import why_unavailable

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parent.parent
BOOT_SCRIPT = """
iptables-nft -N DOCKER-USER
iptables-nft -A DOCKER-USER -i ens33 -s 203.0.113.9/32 -j DROP
iptables-nft -A INPUT -s 203.0.113.9/32 -j DROP
"""


def in_sandbox(state: Path, *command: str, fresh: bool = True) -> subprocess.CompletedProcess[str]:
    reason = why_unavailable()
    if reason:
        pytest.skip(reason)
    namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    return subprocess.run(
        [*(namespace if fresh else []), sys.executable, "-m", "scripts.stack.sandbox", str(state), *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )


def rules(save: str) -> list[str]:
    return [line for line in save.splitlines() if line.startswith(("-A", "*"))]


def test_it_holds_the_clean_docker_host(tmp_path: Path) -> None:
    done = in_sandbox(tmp_path, "iptables-nft-save")
    assert done.returncode == 0, done.stderr
    wanted, found = parse_save(CLEAN_HOST.read_text()), parse_save(done.stdout)
    assert sorted(wanted.tables) == sorted(found.tables)
    for name, table in wanted.tables.items():
        assert {chain: [rule.text for rule in part.rules] for chain, part in table.chains.items()} == {
            chain: [rule.text for rule in part.rules] for chain, part in found.tables[name].chains.items()
        }
    forward = found.chain("filter", "FORWARD")
    assert forward is not None
    assert forward.policy == "DROP"


def test_it_forwards_whatever_the_machine_does(tmp_path: Path) -> None:
    done = in_sandbox(tmp_path, "cat", "/proc/sys/net/ipv4/ip_forward")
    assert done.stdout == "1\n", done.stderr


def test_it_looks_like_a_real_host(tmp_path: Path) -> None:
    links = in_sandbox(tmp_path, "ip", "-o", "address").stdout
    for name, address in (
        ("ens33", "192.0.2.10/24"),
        ("ens33", "2001:db8::10/64"),
        ("docker0", "172.17.0.1/16"),
        ("br-68428f03a4d1", "172.19.0.1/16"),
        ("docker_gwbridge", "172.18.0.1/16"),
        ("lo", "127.0.0.1/8"),
    ):
        assert any(line.split()[1] == name and address in line for line in links.splitlines()), address
    assert "dev ens33" in in_sandbox(tmp_path, "ip", "route", "show", "default").stdout
    assert "dev ens33" in in_sandbox(tmp_path, "ip", "-6", "route", "show", "default").stdout


def test_it_refuses_a_network_that_is_in_use(tmp_path: Path) -> None:
    done = in_sandbox(tmp_path, "true", fresh=False)
    assert done.returncode == 1
    assert "not a new network namespace. Nothing was changed" in done.stderr


def test_boot_files_are_replayed_before_docker_starts(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "dockerfw-boot.sh").write_text(BOOT_SCRIPT)
    found = rules(in_sandbox(tmp_path, "iptables-nft-save", "-t", "filter").stdout)
    assert "-A INPUT -s 203.0.113.9/32 -j DROP" in found
    user = [line for line in found if line.startswith("-A DOCKER-USER")]
    assert user == ["-A DOCKER-USER -s 203.0.113.9/32 -i ens33 -j DROP", "-A DOCKER-USER -j RETURN"]
    assert "-A FORWARD -j DOCKER-USER" in found


def test_a_failing_boot_script_is_told_and_docker_starts_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "dockerfw-boot.sh").write_text("echo no such table >&2; exit 3\n")
    done = in_sandbox(tmp_path, "iptables-nft-save", "-t", "filter")
    assert "status 3" in done.stderr
    assert "no such table" in done.stderr
    assert "-A FORWARD -j DOCKER-USER" in done.stdout


def test_a_starting_docker_leaves_an_existing_docker_user_chain() -> None:
    assert ":DOCKER-USER" in docker_chains(docker_user_exists=False)
    assert ":DOCKER-USER" not in docker_chains(docker_user_exists=True)
    assert "-A DOCKER-USER -j RETURN" in docker_chains(docker_user_exists=True)
