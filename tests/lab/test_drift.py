"""Others change the rules under a real engine: it is noticed, never wrongly called protected, and put right.

What is called protected is held against real packets: a port that no rule allows must not answer meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from dockerfw.agent import drift_monitor as monitor_module
from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.chains import drift_sentences, sentences
from dockerfw.chains.drift import Drift
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.snapshot_values import drift_of
from dockerfw.messages.snapshots import Snapshot
from dockerfw.store.state import StateDirectory
from tests.kernel.generation import generation
from tests.rig.connections import fetch, try_port
from tests.rig.held import held_back
from tests.rig.lab import HOST, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES, wait_until

pytestmark = pytest.mark.lab

UFW = """*filter
:ufw-before-input - [0:0]
:ufw-user-input - [0:0]
-F INPUT
-A INPUT -j ufw-before-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""
FIREWALLD = """*filter
:INPUT_ZONES - [0:0]
:IN_public - [0:0]
:IN_public_allow - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -j INPUT_ZONES
-A INPUT_ZONES -g IN_public
-A IN_public -j IN_public_allow
-A IN_public_allow -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""


@dataclass
class Guard:
    """A lab with a confirmed revision, its drift monitor, and the events that it reported."""

    lab: Lab
    told: list[ConsoleEvent] = field(default_factory=list)
    revision: int = 0

    def load(self, *, heal: bool = False) -> None:
        """Have a revision confirmed that allows the port of `web` and no other."""
        self.revision += 1
        self.lab.load(document(allow("container", 8080), heal_anchors=heal), revision=self.revision)
        self.told.clear()

    @property
    def monitor(self) -> DriftMonitor:
        return DriftMonitor(
            StateDirectory(self.lab.host.directory / "state"), host="lab", tell=self.told.append
        )

    def look(self, *, heal: bool = False) -> Drift:
        """Look as the root worker does, and judge what was seen as the dashboard does."""
        with self.lab.host.entered():
            seen = self.monitor.look_and_heal() if heal else self.monitor.look()
        return self.judge(Snapshot.from_json(seen.to_json()))

    def judge(self, seen: Snapshot) -> Drift:
        rulesets = {family: parse_save(seen.saves[family]) for family in FAMILIES}
        return drift_of(seen, rulesets, self.lab.document, self.lab.revision)

    def shut(self) -> bool:
        """Return True if an outside client cannot reach the port of `other`, which no rule allows."""
        return try_port(self.lab.client, HOST, 8081) != "connected"

    def verbs(self) -> list[str]:
        verbs: list[str] = [event.verb for event in self.told]
        self.told.clear()
        return verbs

    def run(self, *commands: str, families: tuple[Family, ...] = FAMILIES) -> None:
        for command in commands:
            for family in families:
                self.lab.host.iptables(*command.split(), backend=self.lab.docker.backend, family=family)

    def restart(self) -> None:
        self.lab.docker.restart_daemon()
        wait_until("web answers", lambda: fetch(self.lab.client, HOST, 8080) == "web")


@pytest.fixture(scope="module")
def _own_lab(_engine_works: None) -> Iterator[Guard]:
    # Its own lab, because its tables are emptied again and again.
    built = Lab()
    # Otherwise the kernel answers one refused packet a second, and the other attempts wait for a second.
    built.host.run("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")
    yield Guard(built)
    built.delete()


@pytest.fixture
def guard(_own_lab: Guard, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    """A lab with a confirmed revision; afterwards its tables are emptied and Docker fills them again."""
    monkeypatch.setattr(monitor_module, "SETTLE_SECONDS", 0.0)
    _own_lab.load()
    assert _own_lab.look().findings == ()
    yield _own_lab
    for table in ("filter", "nat"):
        _own_lab.run(f"-t {table} -F", f"-t {table} -X")
    _own_lab.run("-P INPUT ACCEPT", "-P FORWARD ACCEPT")
    _own_lab.restart()


def test_an_engine_that_restarts_is_never_wrongly_called_protected(guard: Guard) -> None:
    done = threading.Event()

    def restart() -> None:
        try:
            for _ in range(2):
                guard.lab.docker.restart_daemon()
        finally:
            done.set()

    thread = threading.Thread(target=restart)
    thread.start()
    protected = 0
    while not done.is_set():
        before = generation(guard.lab.host)
        shut = guard.shut()
        seen = guard.look()
        # A packet only tells about the rules that it met: Docker removes its jump to DOCKER-USER for a
        # moment, which may start and end between two checks that both correctly find it.
        if not seen.findings and generation(guard.lab.host) == before:
            protected += 1
            assert shut
    thread.join(60)
    assert protected > 0
    assert guard.look().findings == ()
    wait_until("web answers", lambda: fetch(guard.lab.client, HOST, 8080) == "web")
    assert guard.shut()
    see_every_state(guard)


def see_every_state(guard: Guard) -> None:
    """Let the engine create a network, and judge every state of the rules meanwhile, however short."""

    def make() -> None:
        guard.lab.docker.docker("network", "create", "drifting", timeout=60)
        guard.lab.docker.docker("network", "rm", "drifting", timeout=60)

    judged = 0
    thread = threading.Thread(target=make)
    with held_back(guard.lab.docker) as waiting:
        thread.start()
        while thread.is_alive():
            thread.join(0.01)
            if waiting.exists():
                judged += 1
                assert guard.shut() or guard.look().findings
                waiting.unlink()
    assert judged > 0
    assert guard.look().findings == ()


def test_docker_user_is_flushed_and_healed(guard: Guard) -> None:
    guard.load(heal=True)
    guard.run("-F DOCKER-USER", "-A DOCKER-USER -j RETURN")
    assert not guard.shut()
    drift = guard.look()
    assert {(finding.code, finding.family) for finding in drift.findings} == {
        ("anchor-missing", 4),
        ("anchor-missing", 6),
    }
    assert all(drift_sentences.DOCKER_USER_RECREATED in finding.cause for finding in drift.findings)
    assert guard.verbs() == ["drift"]
    assert guard.look(heal=True).findings == ()
    assert guard.verbs() == ["heal"]
    guard.lab.assert_in_force()
    assert guard.shut()


def test_docker_user_that_docker_recreated(guard: Guard) -> None:
    guard.load(heal=True)
    guard.run("-D FORWARD -j DOCKER-USER", "-F DOCKER-USER", "-X DOCKER-USER", families=(4,))
    assert {finding.code for finding in guard.look().findings} >= {"anchor-missing"}
    guard.restart()
    assert not guard.shut()
    (finding,) = guard.look().findings
    assert (finding.code, finding.family) == ("anchor-missing", 4)
    assert drift_sentences.DOCKER_USER_RECREATED in finding.cause
    assert guard.look(heal=True).findings == ()
    assert guard.shut()


def test_everything_is_flushed_and_restored(guard: Guard) -> None:
    guard.load(heal=True)
    guard.run("-F")
    drift = guard.look(heal=True)
    first = drift.findings[0]
    assert (first.code, first.family) == ("nothing-loaded", 4)
    assert first.cause.startswith("INPUT and FORWARD are empty")
    # More than the jumps is gone, so self-repair does nothing.
    assert guard.verbs() == ["drift"]
    guard.restart()
    assert guard.look().findings
    guard.load()
    assert guard.look().findings == ()
    assert guard.shut()


def test_ufw_rewrites_input(guard: Guard) -> None:
    guard.load(heal=True)
    guard.lab.host.restore(UFW)
    (finding,) = guard.look().findings
    assert (finding.code, finding.family) == ("anchor-missing", 4)
    assert drift_sentences.RELOADED["ufw"] in finding.cause
    before = guard.lab.host.save(family=4, table="filter").decode()
    assert guard.look(heal=True).findings == ()
    after = guard.lab.host.save(family=4, table="filter").decode()
    rules = [line for line in after.splitlines() if line.startswith("-A ")]
    assert [line for line in rules if line != "-A INPUT -j FILTERS-HOST"] == [
        line for line in before.splitlines() if line.startswith("-A ")
    ]
    assert guard.verbs() == ["drift", "heal"]


def test_firewalld_removes_everything_and_docker_restores_its_rules(guard: Guard) -> None:
    for table in ("nat", "filter"):
        guard.run(f"-t {table} -F", f"-t {table} -X")
    guard.lab.host.restore(FIREWALLD)
    drift = guard.look()
    assert drift.findings[0].code == "nothing-loaded"
    assert drift_sentences.RELOADED["firewalld"] in drift.findings[0].cause
    assert guard.verbs() == ["drift"]
    guard.restart()
    drift = guard.look()
    codes = {(finding.code, finding.family) for finding in drift.findings}
    assert codes >= {("nothing-loaded", 4), ("nothing-loaded", 6), ("anchor-missing", 4)}
    assert not guard.shut()
    guard.load()
    assert guard.look().findings == ()
    assert guard.shut()


def test_fail2ban_puts_its_rule_first(guard: Guard) -> None:
    guard.load(heal=True)
    guard.run(
        "-N f2b-sshd", "-A f2b-sshd -j RETURN", "-I INPUT 1 -p tcp --dport 22 -j f2b-sshd", families=(4,)
    )
    (finding,) = guard.look().findings
    assert (finding.code, finding.family) == ("anchor-not-first", 4)
    assert drift_sentences.INSERTED_BY["fail2ban"] in finding.cause
    assert guard.look(heal=True).findings == ()
    assert "f2b-sshd" in guard.lab.host.save(family=4, table="filter").decode()


def test_only_ipv6_is_gone(guard: Guard) -> None:
    guard.run("-F", families=(6,))
    drift = guard.look()
    assert {finding.family for finding in drift.findings} == {6}
    assert drift.findings[0].message == sentences.of_family(6, drift_sentences.NOTHING_LOADED)
    # Later releases filter IPv6 too, and rewrite it when they start.
    guard.restart()
    guard.load()
    assert guard.look().findings == ()


def test_an_edit_of_our_chains_by_hand(guard: Guard) -> None:
    guard.run("-I FILTERS-CONTAINERS 1 -p tcp --dport 80 -j RETURN")
    assert not guard.shut()
    drift = guard.look()
    assert {finding.code for finding in drift.findings} == {"rules-changed"}
    (line,) = drift.findings[0].lines
    assert (line.sign, "--dport 80 -j RETURN" in line.text) == ("+", True)
    guard.load()
    assert guard.shut()


@pytest.mark.usefixtures("_engine_works")
def test_docker_moves_to_the_legacy_backend() -> None:
    lab = Lab()
    try:
        guard = Guard(lab)
        guard.load()
        assert guard.look().findings == ()
        for stem in ("iptables", "ip6tables"):
            program = lab.docker.directory / "programs" / stem
            target = str(program.resolve()).replace(program.resolve().name, "xtables-legacy-multi")
            program.unlink()
            program.symlink_to(target)
        lab.docker.restart_daemon()
        finding, unread = guard.look().findings
        assert (finding.code, finding.family) == ("other-backend", None)
        # Rules in both backends: the save of one does not show everything.
        assert (unread.code, unread.family) == ("unread", 4)
        assert guard.verbs() == ["drift"]
        assert finding.message == drift_sentences.other_backend("legacy", "nft")
        # Docker's former chains are removed, and ours with them.
        for table in ("nat", "filter"):
            for family in FAMILIES:
                for verb in ("-F", "-X"):
                    lab.host.iptables("-t", table, verb, backend="nft", family=family)
        codes = {finding.code for finding in guard.look().findings}
        assert {"other-backend", "nothing-loaded"} <= codes
    finally:
        lab.delete()
