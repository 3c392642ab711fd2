"""ufw, firewalld and fail2ban as Debian ships them, run in the lab's network namespace.

This module sets them up, starts them and controls them. They run in an overlay of a Debian tree in a PID
namespace of their own, so nothing of them stays afterwards.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.rig.lab import STRANGER, Lab
from tests.rig.namespace import CommandError, wait_until
from tests.rig.trees import Inside, entered, tree

SUITE = "bookworm"
PACKAGES = (
    *("ca-certificates", "dbus", "fail2ban", "firewalld", "ipset", "iproute2", "iptables", "kmod"),
    # (firewalld wants polkit, and that a logind.)
    *("libpam-systemd", "nftables", "procps", "ufw"),
)
BANNED = STRANGER
_JAIL = """[DEFAULT]
backend = polling
banaction = {banaction}
bantime = 1h
findtime = 1h
maxretry = 1
[sshd]
enabled = true
logpath = /var/log/auth.log
{more}
"""
Do = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that an admin tells a neighbour to do.

    `needs` is whether it has to run before, or must not, and `after` whether it runs then; None is as it was.
    """

    name: str
    do: Do
    needs: bool | None
    after: bool | None = None


class Neighbour:
    """One of them; `owner` is the word by which dockerfw is to suspect it.

    `settles` is for how many seconds nothing may change before a state counts as what it led to.
    """

    owner = ""
    package = ""
    settles = 0.0

    def __init__(self, inside: Inside, lab: Lab) -> None:
        self._inside = inside
        self._lab = lab
        self.running = False
        self.set_up()

    def set_up(self) -> None:
        """Write what it is configured by."""

    def operations(self) -> tuple[Operation, ...]:
        """Return what it can be told, in the order of a day."""
        raise NotImplementedError

    def perform(self, operation: Operation) -> None:
        """Have it done."""
        operation.do()
        if operation.after is not None:
            self.running = operation.after

    @property
    def version(self) -> str:
        """The version of its Debian package."""
        return self.run("dpkg-query", "-W", "-f", "${Version}", self.package)

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words that lead into the tree and the lab's network."""
        into = ("nsenter", f"--target={self._inside.pid}", "--net", "--mount", "--pid", "--")
        return (*into, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8")

    def run(self, *command: str, seconds: float = 90) -> str:
        """Run a command beside it and return what it printed."""
        done = subprocess.run(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip()
            raise CommandError(f"{' '.join(command)}: status {done.returncode}\n{said}")
        return done.stdout

    def works(self, *command: str) -> bool:
        """Return True if a command succeeds."""
        try:
            self.run(*command)
        except CommandError:
            return False
        return True

    def write(self, path: str, text: str) -> None:
        """Write a file of the tree's view."""
        target = self._inside.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def start(self, *command: str) -> None:
        """Start a daemon that ends with the view."""
        subprocess.Popen(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


class Ufw(Neighbour):
    """ufw: one command that writes chains of its own and calls them from the end of the built-in ones."""

    owner = package = "ufw"

    def set_up(self) -> None:
        self.run("ufw", "allow", "22/tcp")

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation("ufw enable", lambda: self._ufw("--force", "enable"), False, True),
            Operation("ufw status", lambda: self._ufw("status", "verbose"), None),
            Operation("ufw allow 25/tcp", lambda: self._ufw("allow", "25/tcp"), True),
            Operation("ufw reload", lambda: self._ufw("reload"), True),
            Operation("ufw delete allow 25/tcp", lambda: self._ufw("delete", "allow", "25/tcp"), True),
            Operation("ufw reload, with MANAGE_BUILTINS=yes", self._reload_builtins, True),
            Operation("ufw disable", lambda: self._ufw("disable"), True, False),
        )

    def _ufw(self, *words: str) -> None:
        self.run("ufw", *words)

    def _reload_builtins(self) -> None:
        path = self._inside.root / "etc/default/ufw"
        usual = path.read_text()
        path.write_text(usual.replace("MANAGE_BUILTINS=no", "MANAGE_BUILTINS=yes"))
        try:
            self._ufw("reload")
        finally:
            path.write_text(usual)


class Firewalld(Neighbour):
    """firewalld with a system bus of its own, which dockerd listens to as it does on a host."""

    owner = package = "firewalld"
    # dockerd hears of a reload and writes its rules anew, in its own time.
    settles = 2.0
    backend = "nftables"

    def set_up(self) -> None:
        path = self._inside.root / "etc/firewalld/firewalld.conf"
        usual = path.read_text()
        path.write_text(usual.replace("FirewallBackend=nftables", f"FirewallBackend={self.backend}"))
        if f"FirewallBackend={self.backend}\n" not in path.read_text():
            raise CommandError(f"{path} names no FirewallBackend")

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation("firewalld started", self._start, False, True),
            Operation("firewall-cmd --reload", lambda: self._command("--reload"), True),
            Operation("firewall-cmd --add-port=25/tcp", lambda: self._command("--add-port=25/tcp"), True),
            Operation("firewall-cmd --complete-reload", lambda: self._command("--complete-reload"), True),
            Operation("firewalld restarted", self._restart, True),
            Operation("firewalld stopped", self._stop, True, False),
        )

    def _command(self, word: str) -> None:
        self.run("firewall-cmd", word)

    def _start(self) -> None:
        self.start("firewalld", "--nofork", "--nopid")
        wait_until("firewalld", lambda: self.works("firewall-cmd", "--state"))

    def _stop(self) -> None:
        self.run("pkill", "-TERM", "-x", "-f", ".*/firewalld --nofork --nopid")
        wait_until("end of firewalld", lambda: not self.works("pgrep", "-f", "firewalld --nofork"))

    def _restart(self) -> None:
        self._stop()
        self._start()


class FirewalldIptables(Firewalld):
    """The same, with its rules in iptables' tables."""

    backend = "iptables"


class Fail2ban(Neighbour):
    """fail2ban with Debian's jail for sshd, on a log that the lab writes."""

    owner = package = "fail2ban"
    banaction = "iptables-multiport"
    more = ""

    def set_up(self) -> None:
        self.write("/etc/fail2ban/jail.d/lab.conf", _JAIL.format(banaction=self.banaction, more=self.more))
        self.write("/var/log/auth.log", "")
        self.run("mkdir", "-p", "/run/fail2ban")

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation("fail2ban started", self._start, False, True),
            Operation("fail2ban bans", self._ban, True),
            Operation("fail2ban-client reload", lambda: self._client("reload"), True),
            Operation("fail2ban restarted", self._restart, True),
            Operation("fail2ban unbans", lambda: self._client("unban", "--all"), True),
            Operation("fail2ban bans again", self._ban, True),
            Operation("fail2ban stopped", lambda: self._client("stop"), True, False),
        )

    def _client(self, *words: str) -> None:
        self.run("fail2ban-client", *words)

    def _start(self) -> None:
        self.run("fail2ban-client", "start")
        wait_until("fail2ban", lambda: self.works("fail2ban-client", "status", "sshd"))

    def _restart(self) -> None:
        self._client("stop")
        self._start()

    def _ban(self) -> None:
        """Write failed logins as sshd does, until the jail bans the address."""
        when = time.strftime("%b %d %H:%M:%S", time.gmtime())
        line = f"{when} lab sshd[77]: Failed password for root from {BANNED} port 40000 ssh2\n"
        with (self._inside.root / "var/log/auth.log").open("a") as log:
            log.write(line)
        wait_until("ban", lambda: BANNED in self.run("fail2ban-client", "get", "sshd", "banip"))


class Fail2banAllPorts(Fail2ban):
    """The same for all ports of the host."""

    banaction = "iptables-allports"


class Fail2banDocker(Fail2ban):
    """The same before containers, as many set it up."""

    banaction = "iptables-allports"
    more = "chain = DOCKER-USER"


class Fail2banNftables(Fail2ban):
    """The same with a table of nftables' own."""

    banaction = "nftables"


NEIGHBOURS: Mapping[str, type[Neighbour]] = {
    "ufw": Ufw,
    "firewalld, FirewallBackend=iptables": FirewalldIptables,
    "firewalld, FirewallBackend=nftables": Firewalld,
    "fail2ban, iptables-multiport": Fail2ban,
    "fail2ban, iptables-allports": Fail2banAllPorts,
    "fail2ban, iptables-allports in DOCKER-USER": Fail2banDocker,
    "fail2ban, nftables": Fail2banNftables,
}


@contextlib.contextmanager
def neighbourhood(lab: Lab) -> Iterator[Inside]:
    """Show the tree in the lab's network, with a system bus that the lab's engine is started with."""
    bus: Path = lab.host.directory / "bus"
    bus.mkdir()
    # The bus gives up root's rights.
    for folder in (lab.host.directory, bus):
        folder.chmod(0o755)
    with entered(tree(SUITE, PACKAGES), binds={"/run/dbus": bus}, network=lab.host.path) as inside:
        inside.run("dbus-daemon", "--system", "--fork", "--nopidfile")
        lab.host.environment["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={bus}/system_bus_socket"
        lab.docker.restart_daemon()
        yield inside
