"""Turn the network namespace that this process is in into the article's Docker host, then become a command.

`python -m scripts.stack.sandbox STATE COMMAND…` runs inside `unshare --net` (or `unshare -Urn`) and nowhere
else: it refuses a namespace in which any interface is up. It boots as a real machine does:
interfaces, then the boot files of an earlier run, then Docker's chains. All of it goes when the command ends.
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
from scripts.stack.processes import end_with_parent

CLEAN_HOST = Path(__file__).with_name("clean-docker-host.save")
BRIDGES = {"docker0": "172.17.0.1/16", "docker_gwbridge": "172.18.0.1/16", "br-68428f03a4d1": "172.19.0.1/16"}
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SECONDS = 20.0
# The other end of ens33 lives in a namespace of its own, held by this shell: it is the router, and the world.
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
    """Set the namespace up and replace this process by the command."""
    end_with_parent()
    state, *command = arguments
    try:
        _refuse_real_network()
        _add_interfaces()
        _replay_boot(Path(state))
        _forward()
        _start_docker_chains()
    except (StackError, OSError, subprocess.SubprocessError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return _become(command)


def docker_chains(*, docker_user_exists: bool) -> str:
    """Return the restore text that does what a starting dockerd does, which leaves DOCKER-USER as it is."""
    lines = CLEAN_HOST.read_text().splitlines()
    kept = [line for line in lines if not (docker_user_exists and line.startswith(":DOCKER-USER "))]
    return "\n".join(kept) + "\n"


def iptables_program(name: str) -> str:
    """Prefer the nft variant, which needs no lock file and works for ordinary users: `iptables-restore`."""
    return shutil.which(name.replace("tables", "tables-nft", 1)) or name


def _become(command: Sequence[str]) -> NoReturn:
    os.execvp(command[0], list(command))


def _refuse_real_network() -> None:
    # A namespace in use has its loopback up; a fresh one has nothing up.
    flags = re.findall(r"<(.*?)>", _run("ip", "-o", "link"))
    if any("UP" in words.split(",") for words in flags):
        raise StackError("this is not a fresh network namespace; nothing was touched")


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
        raise StackError("the sandbox's network could not be made")
    # It goes on after this process has become the command, and ends with it.
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
    """Let the kernel forward, as a starting dockerd does; a new namespace has the machine's own setting."""
    # A container may forbid it: then it stays as it is, and the doctor says so.
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
