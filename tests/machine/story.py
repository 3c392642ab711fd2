"""What is played in the machine: the documented installation, applies, reboots, a power cut, a killed worker.

Each part says in one line what it has seen, and raises AssertionError or MachineError when it has not.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from tests.machine import older
from tests.machine.installing import CLONE, Installing
from tests.machine.lists import HELD, MORE, SHUT, Lists
from tests.machine.lists import document as document_with_lists
from tests.machine.machine import Machine
from tests.machine.sight import UNITS, Sight, exposure_bound
from tests.machine.tree import ROUTER

OPEN, OTHER = 9090, 9091
PATIENCE = 120.0
# A window in which the machine is switched off, and one that ends while a page is open.
LONG, SHORT = 900, 60
# The machine's /proc has the id of its boot. ProtectProc= gives the unit a new one, with that of the kernel.
BOOT_ID = "C /run/boot-id 0444 root root - /proc/sys/kernel/random/boot_id\n"
CONTAINER = "[Service]\nBindReadOnlyPaths=/run/boot-id:/proc/sys/kernel/random/boot_id\n"
# From this systemd on a unit keeps the machine's /proc.
PROC_STAYS = 255
SERVERS = """\
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /srv %i
[Install]
WantedBy=multi-user.target
"""


def document(*, other: bool) -> str:
    """Allow the one port, and the other when wanted."""
    ports = [str(OPEN), *([str(OTHER)] if other else [])]
    settings = {"external_interfaces": ["host0"]}
    rules = [{"scope": "both", "protocol": "tcp", "ports": ports}]
    return json.dumps({"format": "dockerfw/1", "settings": settings, "rules": rules})


class Story:
    """The parts of the story, told in the order of `play`."""

    def __init__(self, machine: Machine, suite: str) -> None:
        self.suite = suite
        self.machine = machine
        self.sight = Sight(machine)
        self.installing = Installing(machine, self.sight)
        self.lists = Lists(machine, self.sight)
        # The newest revision, the one kept last, and the ids of all boots so far.
        self.newest = self.kept = 0
        self.boots: list[str] = []

    def play(self) -> None:
        """Play it all."""
        for part in (
            self.prepare,
            self.serve_the_world,
            self.installing.fetch_packages,
            self.installing.refuse,
            self.install,
            self.apply_and_keep_in_the_browser,
            self.apply_and_keep_on_the_command_line,
            self.end_sessions,
            self.fill_lists,
            self.log_a_refused_packet,
            self.boot_with_lists,
            self.installing.install_again,
            self.installing.fail_half_way,
            self.reboot,
            self.cut_the_power_in_the_window,
            self.reboot_in_the_window,
            self.kill_the_worker_in_the_window,
            self.stop_the_worker_in_the_window,
            self.look_for_denials,
            self.installing.uninstall_and_keep,
            self.installing.uninstall,
            self.upgrade_the_first_release,
        ):
            began = time.monotonic()
            seen = part()
            print(f"ok  {seen} ({time.monotonic() - began:.0f} s)", flush=True)

    def prepare(self) -> str:
        """Give the machine what only a container needs."""
        version = int(self.machine.sh("systemctl --version").split()[1])
        if version < PROC_STAYS:
            drop_in = "/etc/systemd/system/dockerfw-root.service.d"
            self.machine.sh(f"mkdir -p {drop_in}")
            self._write(f"{drop_in}/container.conf", CONTAINER)
            self._write("/etc/tmpfiles.d/boot-id.conf", BOOT_ID)
            self.machine.sh("systemd-tmpfiles --create /etc/tmpfiles.d/boot-id.conf; test -s /run/boot-id")
        return self.machine.sh(
            '. /etc/os-release; echo "$PRETTY_NAME, $(systemctl --version | head -n 1)"'
        ).strip()

    def serve_the_world(self) -> str:
        """Start two servers: what the rules will be about."""
        self.machine.sh("echo hello >/srv/index.html")
        self._write("/etc/systemd/system/server@.service", SERVERS)
        self.machine.sh(f"systemctl daemon-reload; systemctl enable --now server@{OPEN} server@{OTHER}")
        self._expect_open(OPEN, OTHER)
        return "before the first apply two ports are open to the world"

    def install(self) -> str:
        """Install; from now on each boot of the machine is one that dockerfw has seen."""
        seen = self.installing.install()
        self.boots.append(self.sight.boot_id())
        self._expect_open(OPEN, OTHER)
        return f"{seen}; both ports are still open"

    def apply_and_keep_in_the_browser(self) -> str:
        """Apply and keep over HTTP, as the first admin."""
        self._write("/tmp/document.json", document(other=False), mode="644")
        link = self.machine.sh("dockerfw firstadmin --url http://127.0.0.1:8000").strip()
        python = (
            f"cd {CLONE}; exec env PYTHONPATH=. /opt/dockerfw/.venv/bin/python -B tests/machine/visitor.py"
        )
        self.machine.sh(f"{python} {link} /tmp/document.json", seconds=600)
        self.newest = self.kept = 1
        self._expect_loaded(1)
        self._expect_open(OPEN)
        self._expect_closed(OTHER)
        return "revision 1 applied and kept over HTTP: one port is open, the other closed"

    def apply_and_keep_on_the_command_line(self) -> str:
        """Apply and keep with the command line."""
        self._apply_and_keep(other=True)
        self._expect_open(OPEN, OTHER)
        return f"revision {self.kept} applied and kept on the command line: both ports are open"

    def end_sessions(self) -> str:
        """Keep with --end-sessions: sessions of the removed rule end, sessions of another rule stay."""
        with self.machine.world.session(OTHER) as lost, self.machine.world.session(OPEN) as other:
            followed = f" sport={lost.port} dport={OTHER} "
            assert followed in self.sight.connections()
            self._apply_and_keep("--end-sessions", other=False)
            steps = {step["name"]: step for step in self.sight.last_apply().steps}
            told = steps["sessions"]["state"], steps["sessions"]["detail"]
            assert told == ("done", "1 session ended"), told
            assert (ending := lost.ending()) == "reset", ending
            assert followed not in self.sight.connections()
            assert (answer := other.ask()) == "answered", answer
        self._expect_closed(OTHER)
        seen = f"revision {self.kept} kept with --end-sessions: its one session was reset, the other goes on"
        self._apply_and_keep(other=True)
        self._expect_open(OPEN, OTHER)
        return f"{seen}; revision {self.kept} opens both ports again"

    def fill_lists(self) -> str:
        """Allow one port to a feed's networks, and another to a container that is not there."""
        self.lists.prepare()
        self._apply_and_keep(text=document_with_lists(OPEN, OTHER))
        self._expect_open(OPEN)
        self._await("the feed's networks", lambda: self.lists.networks() == HELD - {ROUTER})
        self._expect_closed(OTHER)
        self.lists.serve(MORE)
        self.lists.refresh()
        self._expect_open(OTHER)
        assert self.lists.containers() == set(), self.lists.containers()
        return f"a feed was fetched twice, and opened a port to its {len(HELD)} networks"

    def log_a_refused_packet(self) -> str:
        """Find a packet that was refused in the log, with its reason."""
        self.lists.check_the_log()
        self._expect_closed(SHUT)
        self._await("the refused packet", lambda: self.lists.refusal(SHUT) is not None)
        told = self.lists.refusal(SHUT) or {}
        seen = [told.get(name) for name in ("source", "port", "interface", "revision", "reason")]
        assert seen == [ROUTER, SHUT, "host0", self.kept, "elsewhere"], told
        return f"a refused packet is in the log, which the doctor calls read: {told['why']}"

    def boot_with_lists(self) -> str:
        """Boot without root worker: the feed is as it was accepted, and the set of the container is empty."""
        self.machine.run("systemctl", "disable", "dockerfw-root")
        self._reboot()
        self._expect_loaded(self.kept)
        held = self.lists.networks(), self.lists.containers()
        assert held == (HELD, set()), held
        self._expect_open(OPEN, OTHER)
        self.machine.run("systemctl", "enable", "--now", "dockerfw-root")
        booted = self._booted()
        self._apply_and_keep(other=True)
        self.lists.clear()
        return f"booted without root worker: the feed was loaded, the container's set is empty; {booted}"

    def reboot(self) -> str:
        """Reboot, and see when the rules were loaded."""
        self._reboot()
        return f"reboot: {self._booted()}"

    def cut_the_power_in_the_window(self) -> str:
        """Switch the machine off while an apply waits to be kept."""
        self._open_window(LONG)
        self._expect_closed(OTHER)
        self.machine.cut_power()
        return (
            f"power cut in the window of revision {self.newest}: {self._booted()}; {self._told('rebooted')}"
        )

    def reboot_in_the_window(self) -> str:
        """Reboot in good order while an apply waits to be kept."""
        self._open_window(LONG)
        self._reboot()
        return f"reboot in the window of revision {self.newest}: {self._booted()}; {self._told('rebooted')}"

    def kill_the_worker_in_the_window(self) -> str:
        """Kill root worker and watchdog together, as `systemctl kill` does."""
        self._open_window(SHORT)
        refused = self.installing.refuse_in_a_window()
        pid = self.sight.property("dockerfw-root", "MainPID")
        self.machine.run("systemctl", "kill", "-s", "KILL", "dockerfw-root")
        self._await(
            "a new root worker", lambda: self.sight.property("dockerfw-root", "MainPID") not in ("0", pid)
        )
        self._expect_loaded(self.newest)
        told = self._told("silence")
        self._expect_loaded(self.kept)
        self._expect_open(OPEN, OTHER)
        return (
            f"{refused};\n    root worker and watchdog killed in the window of revision {self.newest}:"
            f" started again; {told}"
        )

    def stop_the_worker_in_the_window(self) -> str:
        """Stop the root worker without killing it: the watchdog is on its own."""
        self._open_window(SHORT)
        self.machine.run("systemctl", "kill", "-s", "STOP", "--kill-who=main", "dockerfw-root")
        self._await("the rules from before", lambda: self.sight.loaded() == [self.kept] * 2)
        self._expect_open(OPEN, OTHER)
        self.machine.run("systemctl", "kill", "-s", "CONT", "--kill-who=main", "dockerfw-root")
        told = self._told("silence")
        return (
            f"root worker stopped in the window of revision {self.newest}: the watchdog did it alone; {told}"
        )

    def look_for_denials(self) -> str:
        """Look for what the hardening has forbidden, and ask systemd what it thinks of the units."""
        boots = self.sight.journal_boots()
        assert boots == len(self.boots), f"{boots} boots in the journal, not {len(self.boots)}"
        denials = self.sight.denials()
        assert not denials, "\n".join(denials)
        found = {unit: self.sight.exposure(unit) for unit in ("dockerfw-boot", *UNITS)}
        assert all(rated < exposure_bound(unit) for unit, rated in found.items()), found
        said = ", ".join(f"{unit.removeprefix('dockerfw-')} {exposure}" for unit, exposure in found.items())
        return f"nothing was denied in the journals of {boots} boots; systemd-analyze security: {said}"

    def upgrade_the_first_release(self) -> str:
        """Install release 0.1.0 by hand, keep a revision, upgrade it, and boot."""
        if self.suite in older.RUNS_NOT_ON:
            return f"release 0.1.0 does not run on {self.suite}: nothing to upgrade"
        older.install_by_hand(self.machine, self.sight)
        older.apply_and_keep(self.machine, document(other=True))
        self.newest = self.kept = 1
        self._expect_loaded(1)
        older.open_window(self.machine, document(other=False))
        self.newest = 2
        self._await_apply("awaiting")
        refused = self.installing.refuse_in_a_window()
        older.cancel(self.machine)
        self._expect_loaded(1)
        upgraded = self.installing.upgrade("0.1.0")
        # (What the kernel holds already is not applied again.)
        self._apply_and_keep(other=False)
        self._apply_and_keep(other=True)
        # It sees each boot; the last one's id is the first that this root worker has.
        self.boots = [self.sight.boot_id()]
        self._reboot()
        booted = self._booted()
        self.machine.sh("rm -r /opt/dockerfw-clone")
        out = self.installing.uninstall()
        return (
            f"release 0.1.0, installed by hand: {refused};\n    {upgraded};\n    reboot: {booted};\n    {out}"
        )

    def _apply_and_keep(self, *options: str, other: bool = True, text: str = "") -> None:
        self._draft(other=other, text=text)
        self.machine.run("dockerfw", "apply", "-m", "kept", "--keep", *options, seconds=300)
        self.newest += 1
        self.kept = self.newest
        self._expect_loaded(self.kept)

    def _open_window(self, seconds: int) -> None:
        """Apply a revision without the other port, and return when it waits to be kept."""
        self._draft(other=False)
        self.newest += 1
        command = ["dockerfw", "apply", "-m", "not kept", "--window", str(seconds)]
        self.machine.run("systemd-run", "--quiet", f"--unit=apply-{self.newest}", *command)
        self._await_apply("awaiting")
        self._expect_loaded(self.newest)

    def _reboot(self) -> None:
        self.machine.reboot()
        # What still runs in the end gets SIGTERM; systemd names it here when it does not heed that.
        said = self.machine.console.read_text(errors="replace")
        held_up = re.findall(r"Waiting for process: .*python.*", said)
        assert not held_up, held_up

    def _booted(self) -> str:
        """Look at a machine that has just booted; return what there was to see."""
        self._await("all units", self.sight.all_serve)
        boot, uptime = self.sight.boot_id(), self.sight.uptime()
        assert boot not in self.boots, f"the root worker sees boot {boot} again"
        assert uptime < PATIENCE, f"CLOCK_BOOTTIME went on, to {uptime:.0f} s"
        self.boots.append(boot)
        self._expect_loaded(self.kept)
        self._expect_open(OPEN, OTHER)
        loaded = self.sight.moment("dockerfw-boot.service", "ExecMainExit")
        assert self.sight.property("dockerfw-boot", "Result") == "success"
        moments = {
            "network-pre": self.sight.moment("network-pre.target", "ActiveEnter"),
            "networkd": self.sight.moment("systemd-networkd.service", "ExecMainStart"),
            "docker": self.sight.moment("docker.service", "ExecMainStart"),
        }
        assert all(loaded < moment for moment in moments.values()), (loaded, moments)
        self._await("Docker's call of DOCKER-USER", self.sight.docker_calls_its_chain)
        after = ", ".join(f"{name} {moment - loaded:.2f} s" for name, moment in moments.items())
        return f"revision {self.kept} was loaded first, then came {after} later and Docker calls it"

    def _told(self, reason: str) -> str:
        """Await the end of the newest apply, and see that it is told as rolled back for this reason."""
        self._await_apply("rolled_back")
        way_back = self.sight.last_apply().way_back
        assert way_back["reason"] == reason, way_back
        return f'told as rolled back, "{reason}"'

    def _await_apply(self, state: str) -> None:
        def there() -> bool:
            last = self.sight.last_apply()
            return (last.revision, last.state) == (self.newest, state)

        self._await(f"the state {state} of revision {self.newest}", there)

    def _draft(self, *, other: bool, text: str = "") -> None:
        self.machine.run("dockerfw", "import", "-", stdin=text or document(other=other))

    def _expect_loaded(self, revision: int) -> None:
        found = self.sight.loaded()
        assert found == [revision, revision], f"the kernel holds {found}, not revision {revision}"
        anchors = self.sight.anchors()
        assert anchors == 2, f"{anchors} families call our chain from Docker's"

    def _expect_open(self, *ports: int) -> None:
        for port in ports:
            self._await(f"port {port}", lambda port=port: self.machine.world.answers(port))  # type: ignore[misc]

    def _expect_closed(self, port: int) -> None:
        # What is let through answers at once: the other port has just shown it, or will.
        assert not self.machine.world.answers(port), f"port {port} answers"

    def _await(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE:.0f} s"
            time.sleep(0.5)

    def _write(self, path: str, text: str, *, mode: str = "600") -> None:
        assert Path(path).is_absolute()
        self.machine.run("sh", "-c", f"cat >{path} && chmod {mode} {path}", stdin=text)
