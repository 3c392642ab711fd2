"""What is played in the machine: README's installation, applies and a reboot.

Each part says in one line what it has seen, and raises AssertionError or MachineError when it has not.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.machine.machine import FETCH, Machine
from tests.machine.tree import ROOT

OPEN, OTHER = 9090, 9091
UNITS = ("dockerfw-redis", "dockerfw-web", "dockerfw-clerk", "dockerfw-root")
PATIENCE = 120.0
SITE = "DOCKERFW_SECURE_COOKIES=0\n"
# A boot of a container has an id of its own in the container's /proc only, and ProtectProc= brings a new one.
CONTAINER = "[Service]\nProtectProc=default\n"
FIREWALL = """\
#!/bin/sh
cd /opt/dockerfw
exec sudo -u dockerfw env $(cat /etc/dockerfw/web.env /etc/dockerfw/site.env) \\
    DOCKERFW_DATA_DIR=/var/lib/dockerfw-web .venv/bin/python manage.py "$@"
"""
SERVERS = """\
[Service]
ExecStart=/bin/busybox httpd -f -p %i -h /srv
[Install]
WantedBy=multi-user.target
"""
ANCHOR = "-A DOCKER-USER -i host0 -j FILTERS-CONTAINERS"


def document(*, other: bool) -> str:
    """Allow the one port, and the other when wanted."""
    ports = [str(OPEN), *([str(OTHER)] if other else [])]
    settings = {"external_interfaces": ["host0"]}
    rules = [{"scope": "both", "protocol": "tcp", "ports": ports}]
    return json.dumps({"format": "dockerfw/1", "settings": settings, "rules": rules})


class Story:
    """The parts of the story, told in the order of `play`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def play(self) -> None:
        """Play it all."""
        for part in (
            self.install,
            self.serve_the_world,
            self.apply_and_keep_in_the_browser,
            self.apply_and_keep_on_the_command_line,
            self.reboot,
        ):
            began = time.monotonic()
            seen = part()
            print(f"ok  {seen} ({time.monotonic() - began:.0f} s)", flush=True)

    def install(self) -> str:
        """Carry out README's commands for a server, word for word."""
        readme = (ROOT / "README.md").read_text()
        block = readme.split("### On a server\n")[1].split("As root:\n\n")[1].split("\n\n")[0]
        self._write("/usr/local/bin/manage", FIREWALL, mode="755")
        self.machine.sh("mkdir -p /etc/dockerfw")
        self._write("/etc/dockerfw/site.env", SITE)
        drop_in = "/etc/systemd/system/dockerfw-root.service.d"
        self.machine.sh(f"mkdir -p {drop_in}")
        self._write(f"{drop_in}/container.conf", CONTAINER)
        self.machine.sh(block, seconds=600)
        self._await_units()
        owners = self.machine.sh("stat -c '%U %a' /run/dockerfw-redis /var/lib/dockerfw*")
        assert owners.split() == ["dockerfw-redis", "750", "root", "700", "dockerfw", "700"], owners
        return "installed as README says; all four units run and the pages answer"

    def serve_the_world(self) -> str:
        """Start two servers: what the rules will be about."""
        self.machine.sh("echo hello >/srv/index.html")
        self._write("/etc/systemd/system/server@.service", SERVERS)
        self.machine.sh(f"systemctl daemon-reload; systemctl enable --now server@{OPEN} server@{OTHER}")
        self._expect_open(OPEN, OTHER)
        return "before the first apply two ports are open to the world"

    def apply_and_keep_in_the_browser(self) -> str:
        """Apply and keep over HTTP, as the first admin."""
        self._write("/tmp/document.json", document(other=False), mode="644")
        link = self.machine.sh("manage firstadmin").strip()
        python = "cd /opt/dockerfw; exec env PYTHONPATH=. .venv/bin/python tests/machine/visitor.py"
        self.machine.sh(f"{python} {link} /tmp/document.json", seconds=600)
        self._expect_kernel(1)
        self._expect_open(OPEN)
        self._expect_closed(OTHER)
        return "revision 1 applied and kept over HTTP: one port is open, the other closed"

    def apply_and_keep_on_the_command_line(self) -> str:
        """Apply and keep with the command line."""
        self._draft(other=True)
        self.machine.run("manage", "firewall", "apply", "-m", "both", "--keep", seconds=300)
        self._expect_kernel(2)
        self._expect_open(OPEN, OTHER)
        return "revision 2 applied and kept on the command line: both ports are open"

    def reboot(self) -> str:
        """Reboot, and see when the rules were loaded."""
        self.machine.reboot()
        return f"reboot: {self._booted(2)}"

    def _booted(self, revision: int) -> str:
        """Look at a machine that has just booted; return what there was to see."""
        self._await_units()
        self._expect_kernel(revision)
        self._expect_open(OPEN, OTHER)
        loaded = self._moment("dockerfw-boot.service", "ExecMainExit")
        assert self._property("dockerfw-boot", "Result") == "success"
        moments = {
            "network-pre": self._moment("network-pre.target", "ActiveEnter"),
            "networkd": self._moment("systemd-networkd.service", "ExecMainStart"),
            "docker": self._moment("docker.service", "ExecMainStart"),
        }
        assert all(loaded < moment for moment in moments.values()), (loaded, moments)
        after = ", ".join(f"{name} {moment - loaded:.1f} s" for name, moment in moments.items())
        return f"revision {revision} was loaded first, then came {after} later"

    def _draft(self, *, other: bool) -> None:
        self.machine.run("manage", "firewall", "import", "-", stdin=document(other=other))

    def _kernel(self) -> list[int]:
        """Return the revisions whose labels both families bear."""
        saves = self.machine.sh("iptables-save; ip6tables-save")
        return [int(number) for number in re.findall(r'--comment "dockerfw r(\d+) ', saves)]

    def _expect_kernel(self, revision: int) -> None:
        found = self._kernel()
        assert found == [revision, revision], f"the kernel holds {found}, not revision {revision}"
        anchors = self.machine.sh("iptables-save; ip6tables-save").count(ANCHOR)
        assert anchors == 2, f"{anchors} families call our chain from Docker's"

    def _await_units(self) -> None:
        def all_serve() -> bool:
            states = self.machine.run("systemctl", "is-active", *UNITS, check=False).stdout.split()
            return states == ["active"] * len(UNITS) and self._pages_answer()

        self._await("all units", all_serve)

    def _pages_answer(self) -> bool:
        return (
            self.machine.run("python3", "-c", FETCH, "http://127.0.0.1:8000/healthz", check=False).status == 0
        )

    def _property(self, unit: str, name: str) -> str:
        return self.machine.sh(f"systemctl show -P {name} {unit}").strip()

    def _moment(self, unit: str, what: str) -> float:
        """Return when a unit came so far, in seconds since the boot."""
        microseconds = int(self._property(unit, f"{what}TimestampMonotonic"))
        assert microseconds, f"{unit} never came to {what}"
        return microseconds / 1e6

    def _expect_open(self, *ports: int) -> None:
        for port in ports:
            self._await(f"port {port}", lambda port=port: self.machine.answers(port))  # type: ignore[misc]

    def _expect_closed(self, port: int) -> None:
        # What is let through answers at once: the other port has just shown it, or will.
        assert not self.machine.answers(port), f"port {port} answers"

    def _await(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE:.0f} s"
            time.sleep(0.5)

    def _write(self, path: str, text: str, *, mode: str = "600") -> None:
        assert Path(path).is_absolute()
        self.machine.run("sh", "-c", f"cat >{path} && chmod {mode} {path}", stdin=text)
