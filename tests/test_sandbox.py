"""The sandbox of scripts/run: a Docker host with a shop, in a namespace of its own, booted as a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.stack.docker_chains import docker_chains
from scripts.stack.sandbox import TRAFFIC
from scripts.stack.shop import CONTAINERS, PROGRAMS
from tests.rig.namespace import why_unavailable

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parent.parent
BOOT_SCRIPT = """
iptables-nft -N DOCKER-USER
iptables-nft -A DOCKER-USER -i ens33 -s 203.0.113.9/32 -j DROP
iptables-nft -A INPUT -s 203.0.113.9/32 -j DROP
"""


# Counts what the visitors and the containers send until both were heard, and asks a container.
LISTEN_TO_TRAFFIC = """
iptables-nft -I INPUT -i ens33 -s 203.0.113.0/24 -m comment --comment scanner
iptables-nft -I DOCKER-USER -i ens33 -s 198.51.100.0/24 -m comment --comment customer
iptables-nft -I INPUT -s 172.20.0.3 -p tcp --dport 9100 -m comment --comment metrics
heard() { iptables-nft-save -c | grep -v '^.0:0' | grep -c -- --comment; }
until [ "$(heard)" = 3 ]; do sleep 0.2; done
"$0" -c 'import socket; socket.create_connection(("172.19.0.2", 443), 50); print("the shop is open")'
"""


def in_sandbox(
    state: Path, *command: str, fresh: bool = True, traffic: bool = False
) -> subprocess.CompletedProcess[str]:
    reason = why_unavailable()
    if reason:
        pytest.skip(reason)
    namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    return subprocess.run(
        [
            *(namespace if fresh else []),
            *(sys.executable, "-m", "scripts.stack.sandbox", *([TRAFFIC] if traffic else [])),
            *(str(state), *command),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )


def rules_of(table: str, save: str) -> list[str]:
    """Return the rules of a table, those of one chain in their order."""
    part = save.partition(f"*{table}\n")[2].partition("COMMIT")[0]
    return sorted(
        (line for line in part.splitlines() if line.startswith("-A")), key=lambda line: line.split()[1]
    )


def rules(save: str) -> list[str]:
    return [line for line in save.splitlines() if line.startswith(("-A", "*"))]


def test_it_holds_the_chains_of_its_docker(tmp_path: Path) -> None:
    done = in_sandbox(tmp_path, "iptables-nft-save")
    assert done.returncode == 0, done.stderr
    for table in ("nat", "filter"):
        wanted, found = (
            rules_of(table, save) for save in (docker_chains(docker_user_exists=False), done.stdout)
        )
        assert found == wanted
    assert ":FORWARD DROP" in done.stdout


def test_the_programs_of_the_host_listen_under_their_names(tmp_path: Path) -> None:
    wanted = {program.name: len(program.places) for program in PROGRAMS}
    names = "|".join(wanted)
    shown = f"ss -Hltnup | grep -oE '\"({names})\",pid=[0-9]+,fd=[0-9]+' | sort -u"
    script = f'until [ "$({shown} | wc -l)" = {sum(wanted.values())} ]; do sleep 0.1; done; {shown}'
    found = in_sandbox(tmp_path, "sh", "-c", script).stdout.splitlines()
    assert {name: sum(line.startswith(f'"{name}"') for line in found) for name in wanted} == wanted
    # One process a program, and none holds the socket of another.
    assert len({line.split(",")[1] for line in found}) == len(wanted)


def test_visitors_and_containers_send_packets_and_the_containers_answer(tmp_path: Path) -> None:
    done = in_sandbox(tmp_path, "sh", "-c", LISTEN_TO_TRAFFIC, sys.executable, traffic=True)
    assert done.stdout == "the shop is open\n", done.stderr


def test_its_docker_lists_the_shop(tmp_path: Path) -> None:
    ask = "curl -s --unix-socket made-up-docker.sock http://localhost/containers/json"
    done = in_sandbox(tmp_path, "sh", "-c", f"cd {tmp_path} && {ask}")
    listed = {item["Names"][0]: item for item in json.loads(done.stdout)}
    assert list(listed) == [f"/{container.name}" for container in CONTAINERS]
    assert listed["/shop-db-1"]["Ports"] == [
        {"IP": "127.0.0.1", "PublicPort": 5432, "PrivatePort": 5432, "Type": "tcp"}
    ]


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
        ("br-3fb1c27a90de", "172.20.0.1/16"),
        ("lo", "127.0.0.1/8"),
    ):
        assert any(line.split()[1] == name and address in line for line in links.splitlines()), address
    assert "dev ens33" in in_sandbox(tmp_path, "ip", "route", "show", "default").stdout
    assert "dev ens33" in in_sandbox(tmp_path, "ip", "-6", "route", "show", "default").stdout


@pytest.mark.parametrize("module", ["made_up_docker", "programs"])
def test_what_starts_after_its_sandbox_has_ended_ends_at_once(module: str) -> None:
    nobody = str(2**22 + 1)
    started = [sys.executable, "-m", f"scripts.stack.{module}", nobody, "0"]
    done = subprocess.run(started, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 0


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
