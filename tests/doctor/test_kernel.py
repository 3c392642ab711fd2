"""The doctor on the real kernel: each thing broken in a namespace and found, and right and not found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfw.agent.panic import release
from dockerfw.chains.log_lines import DEFAULT_GROUP
from dockerfw.doctor.boot import UNIT, BootFacts, judge_boot
from dockerfw.doctor.boot_facts import boot_facts, unit_facts
from dockerfw.doctor.host import judge_host
from dockerfw.doctor.host_facts import host_facts
from dockerfw.doctor.kernel import judge_kernel
from dockerfw.doctor.kernel_facts import look_at_kernel
from dockerfw.doctor.work_facts import window_left
from dockerfw.host import runner
from dockerfw.host.clock import boottime
from dockerfw.host.log_socket import open_log_socket
from dockerfw.store.state import StateDirectory
from dockerfw.window import sentences
from tests.doctor.test_judging import levels
from tests.rig.host_states import HOST, add_foreign, answer, document, order, run, stop_watchdogs
from tests.rig.namespace import FAMILIES, Namespace

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def unread(inside: Namespace, state: StateDirectory) -> StateDirectory:
    """A host with Docker's chains in nf_tables, on which revision 1 is confirmed, without a root worker."""
    add_foreign(inside, "nft")
    inside.add_interface()
    assert run(order(document("22", "8080")), state).state == "awaiting"
    assert answer("keep", state).state == "confirmed"
    return state


@pytest.fixture
def log(inside: Namespace) -> Iterator[None]:
    """The log of refused packets is open, as a root worker has it."""
    with open_log_socket(DEFAULT_GROUP):
        yield


@pytest.fixture
def kept(unread: StateDirectory, log: None) -> StateDirectory:
    """Both of it."""
    return unread


def kernel(state: StateDirectory) -> dict[str, str]:
    """Return what is not well of the kernel. (What its iptables is good for is the machine's own.)"""
    found = levels(judge_kernel(look_at_kernel(HOST, state)))
    found.pop("backend.iptables")
    return {check: level for check, level in found.items() if level != "ok"}


def both(namespace: Namespace, *words: str) -> None:
    for family in FAMILIES:
        namespace.iptables(*words, family=family)


def test_a_host_as_it_was_confirmed_is_well(inside: Namespace, kept: StateDirectory) -> None:
    assert kernel(kept) == {}


def test_a_log_that_no_program_reads(inside: Namespace, unread: StateDirectory) -> None:
    assert kernel(unread) == {"chains.log": "problem"}


BROKEN: dict[str, tuple[Callable[[Namespace], None], dict[str, str]]] = {
    "a rule of ours is gone": (
        lambda host: host.iptables("-D", "FILTERS-HOST", "1", family=6),
        {"chains.confirmed": "problem"},
    ),
    "an anchor is gone": (
        lambda host: host.iptables("-D", "INPUT", "-j", "FILTERS-HOST"),
        {"anchors.first": "problem"},
    ),
    "an anchor is not first": (
        lambda host: host.iptables("-I", "DOCKER-USER", "-j", "ACCEPT", family=6),
        {"anchors.first": "problem"},
    ),
    "DOCKER-USER is not called for IPv6": (
        lambda host: host.iptables("-D", "FORWARD", "-j", "DOCKER-USER", family=6),
        {"anchors.docker-user": "problem"},
    ),
    "rules in the other backend": (
        lambda host: host.iptables("-A", "INPUT", "-p", "tcp", "-j", "ACCEPT", backend="legacy"),
        {"backend.readable": "problem", "backend.other": "note"},
    ),
    "a rule that iptables-save cannot print": (
        lambda host: nft_rule(host, "meta", "hour", '"10:00"-"12:00"', "drop"),
        {"backend.readable": "problem"},
    ),
    "Docker's chains in both backends": (
        lambda host: add_foreign(host, "legacy"),
        {"backend.docker": "problem", "backend.readable": "problem", "backend.other": "note"},
    ),
    "a table of nftables' own that drops": (
        lambda host: nft(host, "{ type filter hook input priority 10; policy drop; }"),
        {"chains.foreign": "note"},
    ),
    "a table of nftables' own whose rules may refuse": (
        lambda host: nft(host, "{ type filter hook input priority 10; policy accept; }"),
        {"chains.foreign": "note"},
    ),
    "a table of nftables' own that refuses nothing": (
        lambda host: nft(host, "{ type nat hook postrouting priority 100; }"),
        {},
    ),
}


def nft_rule(host: Namespace, *words: str) -> None:
    host.run("nft", "add", "rule", "ip", "filter", "INPUT", *words)


def nft(host: Namespace, hook: str) -> None:
    host.run("nft", "add", "table", "inet", "others")
    host.run("nft", "add", "chain", "inet", "others", "incoming", hook)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(inside: Namespace, kept: StateDirectory, name: str) -> None:
    breaking, expected = BROKEN[name]
    breaking(inside)
    assert kernel(kept) == expected


def test_a_window_a_release_and_a_fresh_host_are_told_as_such(
    inside: Namespace, state: StateDirectory, log: None
) -> None:
    add_foreign(inside, "nft")
    inside.add_interface()
    assert kernel(state) == {"chains.confirmed": "note"}
    assert run(order(document("22")), state).state == "awaiting"
    assert answer("keep", state).state == "confirmed"
    assert run(order(document("23"), sequence=2), state).state == "awaiting"
    assert kernel(state) == {"chains.confirmed": "note"}
    assert answer("rollback", state).state == "rolled_back"
    assert kernel(state) == {}
    release(state)
    assert kernel(state)["anchors.first"] == "problem"


def test_an_apply_that_has_not_come_to_its_end_is_found(inside: Namespace, kept: StateDirectory) -> None:
    assert window_left(kept) == ""
    assert run(order(document("23"), sequence=2), kept).state == "awaiting"
    assert window_left(kept) == ""
    stop_watchdogs(kept)
    window = kept.read_window()
    assert window is not None
    kept.write_window(replace(window, deadline=boottime() - 60))
    assert window_left(kept) == sentences.OVERDUE.format(revision=2, seconds=60)
    # The loaded rules are active, and cannot be kept any more.
    assert kernel(kept)["chains.confirmed"] == "problem"
    kept.write_window(replace(window, boot="an-earlier-one"))
    assert window_left(kept) == sentences.OVERDUE_FROM_EARLIER_BOOT.format(revision=2)
    Path(kept.path, "window.json").write_text("{")
    assert "window.json" in str(window_left(kept))


def test_rules_that_cannot_be_read_are_a_problem(
    inside: Namespace, kept: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "ip6tables-nft-save"
    broken.write_text("#!/bin/sh\necho 'iptables v1.8.9: Could not fetch: not supported' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert kernel(kept)["backend.readable"] == "problem"


def boot(state: StateDirectory) -> dict[str, str]:
    found = levels(judge_boot(boot_facts(state, unit=None)))
    return {check: level for check, level in found.items() if level not in ("ok", "unknown")}


def test_boot_files_as_they_were_written_are_well(inside: Namespace, kept: StateDirectory) -> None:
    facts = boot_facts(kept, unit=None)
    assert (facts.revision, facts.refused, facts.missing, facts.different) == (1, {}, [], [])
    assert boot(kept) == {}


def test_boot_files_that_are_broken_are_found(inside: Namespace, kept: StateDirectory) -> None:
    rules = kept.boot / "rules.v4"
    text = rules.read_text()
    rules.write_text(text.replace("COMMIT", "-A NOWHERE -j ACCEPT\nCOMMIT"))
    assert boot(kept) == {"boot.files": "note", "boot.loads": "problem"}
    rules.write_text(text)
    assert boot(kept) == {}
    (kept.boot / "rules.v6").unlink()
    assert boot(kept) == {"boot.files": "problem", "boot.loads": "problem"}
    (kept.boot / "confirmed.json").write_text("{}")
    assert boot(kept) == {"boot.files": "problem"}
    (kept.boot / "confirmed.json").unlink()
    kept.boot.unlink()
    kept.boot.symlink_to("boot-sets/gone")
    assert boot(kept) == {"boot.files": "problem"}


def unit(root: Path) -> str:
    found = unit_facts(root=root)
    return levels(judge_boot(BootFacts(readable=True, unit=found)))["boot.unit"]


def test_the_boot_unit(tmp_path: Path) -> None:
    assert unit(tmp_path) == "unknown"
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    etc = tmp_path / "etc/systemd/system"
    (etc / "multi-user.target.wants").mkdir(parents=True)
    assert unit(tmp_path) == "problem"
    (etc / UNIT).write_text((ROOT / "deploy" / UNIT).read_text())
    assert unit(tmp_path) == "problem"
    (etc / "multi-user.target.wants" / UNIT).symlink_to(f"/etc/systemd/system/{UNIT}")
    assert unit(tmp_path) == "ok"
    (etc / UNIT).write_text((ROOT / "deploy" / UNIT).read_text().replace("oneshot", "simple"))
    assert unit(tmp_path) == "note"
    (etc / UNIT).unlink()
    (etc / UNIT).symlink_to("/dev/null")
    assert unit(tmp_path) == "problem"


def around(state: StateDirectory) -> dict[str, str]:
    found = levels(judge_host(host_facts(look_at_kernel(HOST, state).snapshot)))
    return {check: level for check, level in found.items() if level != "ok"}


def test_switches_of_the_kernel(inside: Namespace, kept: StateDirectory) -> None:
    switches = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
    for name in switches:
        inside.run("sysctl", "-qw", f"{name}=1")
    assert "host.forwarding" not in around(kept)
    inside.run("sysctl", "-qw", f"{switches[1]}=0")
    assert around(kept)["host.forwarding"] == "note"
    inside.run("sysctl", "-qw", f"{switches[0]}=0")
    assert around(kept)["host.forwarding"] == "problem"
    if Path("/proc/sys/net/bridge").exists():
        both(inside, "-A", "FORWARD", "-i", "docker0", "-o", "docker0", "-j", "DROP")
        inside.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
        assert "host.bridges" not in around(kept)
        inside.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0")
        assert around(kept)["host.bridges"] == "problem"


def test_commands_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "host.commands" not in {
        finding.id for finding in judge_host(host_facts(None)) if finding.level != "ok"
    }
    monkeypatch.setattr(runner, "_SYSTEM_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = levels(judge_host(host_facts(None)))
    assert (found["host.commands"], found["host.conntrack"]) == ("problem", "note")


# As an ordinary user whose sandbox has a user namespace of its own, like that of scripts/run.
SANDBOX = """
import os, subprocess
from dockerfw.doctor.root_worker import join_network
from dockerfw.host.observation import observe

os.setgroups([]); os.setgid(65534); os.setuid(65534)
inside = "iptables-nft -A INPUT -p tcp --dport 4242 -j ACCEPT && echo ready && exec cat"
words = ["unshare", "-Urn", "sh", "-c", inside]
child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(join_network(os.getpid()), join_network(child.pid))
snapshot = observe("local")
print(sorted(snapshot.unread), "--dport 4242" in snapshot.saves[4])
child.stdin.close(); child.wait(10)
"""


def test_an_ordinary_users_sandbox_is_looked_at_from_inside() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    done = subprocess.run(
        [sys.executable, "-c", SANDBOX],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["False True", "[] True"], done.stderr
