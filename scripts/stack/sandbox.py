"""Set up this process's network namespace as a Docker host with a shop, then run a command in it.

`python -m scripts.stack.sandbox [--traffic] STATE COMMAND…` runs inside `unshare --net` (or `unshare -Urn`)
and nowhere else: it refuses a namespace in which an interface is up. It boots like a real machine:
interfaces, then the boot files of an earlier run, then Docker's chains and a Docker that lists the containers
of `shop`, then the host's programs. With --traffic, visitors and containers send packets. All of it ends with
the command.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from scripts.stack.docker_chains import docker_chains
from scripts.stack.errors import StackError
from scripts.stack.lifetime import end_with_parent
from scripts.stack.made_up_docker import start_made_up_docker
from scripts.stack.programs import has_ipv6, start_programs
from scripts.stack.shop import CONTAINERS, HOST, HOST6, NETWORKS, Network
from scripts.stack.visitors import CUSTOMERS, SCANNERS, SCANNERS6

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SECONDS = 20.0
TRAFFIC = "--traffic"
WAIT_FOR_EVER = ("sleep", "infinity")
# A second namespace at the other end of some interfaces. This shell holds it, and then becomes a command.
HOLDER = """
ip link set lo up
echo ready
read -r joined
ip -batch -
echo ready
exec "$@"
"""


def main(arguments: Sequence[str]) -> int:
    """Set up the namespace and replace this process with the command."""
    end_with_parent()
    traffic = arguments[0] == TRAFFIC
    state, *command = arguments[1:] if traffic else arguments
    try:
        _refuse_real_network()
        _add_interfaces(traffic=traffic)
        _replay_boot(Path(state))
        _forward()
        _start_docker_chains()
        start_made_up_docker(Path(state))
        start_programs()
        if traffic:
            _connect_containers()
    except (StackError, OSError, subprocess.SubprocessError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return _become(command)


def iptables_program(name: str) -> str:
    """Return the nft variant of a program if there is one; it needs no lock file and no root."""
    return shutil.which(name.replace("tables", "tables-nft", 1)) or name


def _become(command: Sequence[str]) -> NoReturn:
    os.execvp(command[0], list(command))


def _refuse_real_network() -> None:
    # A namespace in use has its loopback up; a fresh one has nothing up.
    flags = re.findall(r"<(.*?)>", _run("ip", "-o", "link"))
    if any("UP" in words.split(",") for words in flags):
        raise StackError("this is not a new network namespace. Nothing was changed")


def _add_interfaces(*, traffic: bool) -> None:
    _ip("link set lo up")
    _ip(*(f"link add {network.bridge} type bridge" for network in NETWORKS))
    for network in NETWORKS:
        _ip(f"address add {network.gateway} dev {network.bridge}", f"link set {network.bridge} up")
    _join_world(_python("scripts.stack.visitors") if traffic else WAIT_FOR_EVER)
    _ip(f"address add {HOST}/24 dev ens33", "link set ens33 up", "route add default via 192.0.2.1 dev ens33")
    if has_ipv6():
        _ip(f"address add {HOST6}/64 dev ens33 nodad", "route add default via 2001:db8::1 dev ens33")


def _join_world(command: Sequence[str]) -> None:
    """Connect ens33 with a namespace that is the router and the internet, and run a command there."""
    inside = ["address add 192.0.2.1/24 dev world", "link set world up"]
    inside += [f"route add local {network} dev lo" for network in (CUSTOMERS, SCANNERS)]
    if has_ipv6():
        inside += ["address add 2001:db8::1/64 dev world nodad", f"route add local {SCANNERS6} dev lo"]
    _hold_namespace("link add ens33 type veth peer name world netns {pid}", inside, command)


def _connect_containers() -> None:
    """Put the containers behind their bridges, in one namespace, and run their programs."""
    filled = [network for network in NETWORKS if any(each.network == network for each in CONTAINERS)]
    joins, inside = [], []
    for number, network in enumerate(filled, 1):
        # As Docker names the host's end.
        end, own = f"veth{number:07x}", f"eth{number}"
        joins.append(f"link add {end} type veth peer name {own} netns {{pid}}")
        joins += [f"link set {end} master {network.bridge}", f"link set {end} up"]
        inside += _container_network(network, own, table=100 + number)
    _hold_namespace("\n".join(joins), inside, _python("scripts.stack.containers", "+net_bind_service"))


def _container_network(network: Network, own: str, *, table: int) -> list[str]:
    """Return the commands for one network; each of several has a default route of its own."""
    length = network.gateway.network.prefixlen
    addresses = [each.address for each in CONTAINERS if each.network == network]
    return [
        *(f"address add {address}/{length} dev {own}" for address in addresses),
        f"link set {own} up",
        f"route add default via {network.gateway.ip} dev {own} table {table}",
        f"rule add from {network.gateway.network} lookup {table}",
    ]


def _python(module: str, kept: str = "") -> list[str]:
    """Return the words that run a module without capabilities, but for one that is kept."""
    kept = f"-all,{kept}" if kept else "-all"
    drop = ["setpriv", f"--bounding-set={kept}", f"--inh-caps={kept}", "--no-new-privs", "--"]
    return [*drop, sys.executable, "-m", module]


def _hold_namespace(joins: str, inside: Sequence[str], command: Sequence[str]) -> None:
    """Join this namespace with a new one, which runs `ip` with the commands `inside`, then the command."""
    holder = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-ec", HOLDER, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdout.readline()
    _ip(*joins.format(pid=holder.pid).splitlines())
    holder.stdin.write("\n".join(["joined", *inside]) + "\n")
    holder.stdin.close()
    if holder.stdout.readline() != "ready\n":
        raise StackError("the sandbox's network could not be created")
    # It keeps running after exec(), and ends with the command.
    holder.returncode = 0


def _replay_boot(state: Path) -> None:
    script = state / "boot" / "dockerfw-boot.sh"
    if not script.is_file():
        return
    done = subprocess.run(["sh", script], capture_output=True, text=True, timeout=SECONDS, check=False)
    print(
        f"sandbox: boot script {script}: status {done.returncode}\n{done.stdout}{done.stderr}",
        file=sys.stderr,
    )


def _forward() -> None:
    """Enable forwarding, as dockerd does at its start; a new namespace has the machine's setting."""
    # A container may forbid this. Then the doctor reports it.
    with contextlib.suppress(OSError):
        FORWARDING.write_text("1\n")


def _start_docker_chains() -> None:
    chains = _run(iptables_program("iptables-save"), "-t", "filter")
    text = docker_chains(docker_user_exists=":DOCKER-USER " in chains)
    _run(iptables_program("iptables-restore"), "-n", stdin=text)


def _ip(*commands: str) -> None:
    _run("ip", "-batch", "-", stdin="\n".join(commands) + "\n")


def _run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        raise StackError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
