"""Set up this process's network namespace as the article's Docker host, then run a command in it.

`python -m scripts.stack.sandbox STATE COMMAND…` runs inside `unshare --net` (or `unshare -Urn`) and nowhere
else: it refuses a namespace in which an interface is up. It boots like a real machine: interfaces, then the
boot files of an earlier run, then Docker's chains and a Docker that lists one container. The namespace
disappears when the command ends.
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

from scripts.stack.errors import StackError
from scripts.stack.made_up_docker import start_made_up_docker
from scripts.stack.processes import end_with_parent

CLEAN_HOST = Path(__file__).with_name("clean-docker-host.save")
BRIDGES = {"docker0": "172.17.0.1/16", "docker_gwbridge": "172.18.0.1/16", "br-68428f03a4d1": "172.19.0.1/16"}
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SECONDS = 20.0
# The other end of ens33 is in a second namespace, which this shell holds: the router and the internet.
WORLD = """
ip link set lo up
echo ready
read -r joined
ip address add 192.0.2.1/24 dev world
ip link set world up
[ ! -e /proc/sys/net/ipv6 ] || ip address add 2001:db8::1/64 dev world nodad
echo ready
exec sleep infinity
"""


def main(arguments: Sequence[str]) -> int:
    """Set up the namespace and replace this process with the command."""
    end_with_parent()
    state, *command = arguments
    try:
        _refuse_real_network()
        _add_interfaces()
        _replay_boot(Path(state))
        _forward()
        _start_docker_chains()
        start_made_up_docker(Path(state))
    except (StackError, OSError, subprocess.SubprocessError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return _become(command)


def docker_chains(*, docker_user_exists: bool) -> str:
    """Return the restore text for the chains that dockerd creates at its start; it keeps DOCKER-USER."""
    lines = CLEAN_HOST.read_text().splitlines()
    kept = [line for line in lines if not (docker_user_exists and line.startswith(":DOCKER-USER "))]
    return "\n".join(kept) + "\n"


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


def _add_interfaces() -> None:
    _ip("link set lo up")
    _ip(*(f"link add {name} type bridge" for name in BRIDGES))
    for name, address in BRIDGES.items():
        _ip(f"address add {address} dev {name}", f"link set {name} up")
    _add_uplink()
    _ip(
        "address add 192.0.2.10/24 dev ens33",
        "link set ens33 up",
        "route add default via 192.0.2.1 dev ens33",
    )
    if Path("/proc/sys/net/ipv6").exists():
        _ip("address add 2001:db8::10/64 dev ens33 nodad", "route add default via 2001:db8::1 dev ens33")


def _add_uplink() -> None:
    world = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-ec", WORLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert world.stdin is not None
    assert world.stdout is not None
    world.stdout.readline()
    _ip(f"link add ens33 type veth peer name world netns {world.pid}")
    world.stdin.write("joined\n")
    world.stdin.close()
    if world.stdout.readline() != "ready\n":
        raise StackError("the sandbox's network could not be created")
    # It keeps running after exec(), and ends with the command.
    world.returncode = 0


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
