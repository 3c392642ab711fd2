"""The drift monitor on the real kernel: it reports each change once, restores jumps, and pauses in time."""

from __future__ import annotations

from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any

import pytest

from dockerfw.agent import drift_monitor as monitor_module
from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.agent.panic import end_panic, panic, release
from dockerfw.chains import drift_sentences, sentences
from dockerfw.chains.drift import find_drift
from dockerfw.command_line.status import judge_status
from dockerfw.doctor.kernel import judge_kernel
from dockerfw.doctor.kernel_facts import look_at_kernel
from dockerfw.host.reading import look
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.snapshots import Snapshot
from dockerfw.store import confirmed as confirmed_module
from dockerfw.store.confirmed import read_confirmed, read_drift_record
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import (
    HOST,
    Saboteur,
    add_foreign,
    answer,
    document,
    foreign_lines,
    held,
    order,
    run,
)
from tests.rig.meeting import let_meet
from tests.rig.namespace import FAMILIES, Backend, Family, Namespace

pytestmark = pytest.mark.kernel


class Watched:
    """A host with a confirmed revision, its drift monitor, and what that reported."""

    def __init__(self, namespace: Namespace, state: StateDirectory, backend: Backend) -> None:
        self.namespace, self.state, self.backend = namespace, state, backend
        self.told: list[ConsoleEvent] = []
        self.monitor = DriftMonitor(state, host=HOST, tell=self.told.append)
        self.sequence = 0

    def keep(self, *, heal: bool) -> None:
        """Load a document and keep it."""
        self.sequence += 1
        value = document("22", "8080")
        value["settings"]["heal_anchors"] = heal
        outcome = run(order(value, sequence=self.sequence), self.state)
        assert outcome.state == "awaiting", outcome.error
        assert answer("keep", self.state).state == "confirmed"

    def iptables(self, *words: str, families: tuple[Family, ...] = FAMILIES) -> None:
        for family in families:
            self.namespace.iptables(*words, backend=self.backend, family=family)

    def look(self) -> Snapshot:
        seen = self.monitor.look()
        assert Snapshot.from_json(load_json(dump_json(seen.to_json()))) == seen
        return seen

    def verbs(self) -> list[str]:
        """Return the verbs told since the last time."""
        verbs: list[str] = [event.verb for event in self.told]
        for event in self.told:
            assert ConsoleEvent.from_json(load_json(dump_json(event.to_json()))) == event
        self.told.clear()
        return verbs

    def in_sync(self) -> bool:
        confirmed = read_confirmed(self.state.boot)
        assert confirmed is not None
        live = look(self.backend).rulesets
        return not find_drift(confirmed.document, confirmed.revision, live).findings


@pytest.fixture
def watched(
    inside: Namespace, state: StateDirectory, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> Watched:
    """A host with Docker's chains and fail2ban's on which revision 1 is confirmed, and healed."""
    monkeypatch.setattr(monitor_module, "SETTLE_SECONDS", 0.0)
    add_foreign(inside, backend)
    inside.add_interface()
    one = Watched(inside, state, backend)
    one.keep(heal=True)
    return one


def test_each_change_is_reported_once(watched: Watched) -> None:
    for _ in range(2):
        kept = watched.look().confirmed
        assert kept is not None
        assert (kept.revision, kept.backend, kept.rebooted, kept.released) == (
            1,
            watched.backend,
            False,
            False,
        )
        assert watched.verbs() == []
    watched.iptables("-D", "INPUT", "-j", "FILTERS-HOST", families=(4,))
    watched.look()
    (event,) = watched.told
    assert (event.host, event.actor, event.verb) == (HOST, "root worker", "drift")
    assert "IPv4: INPUT has no jump to dockerfw" in event.detail
    assert "- -A INPUT -j FILTERS-HOST" in event.detail
    watched.look()
    assert watched.verbs() == ["drift"]
    watched.iptables("-F", "FILTERS-CONTAINERS", families=(6,))
    watched.look()
    watched.look()
    assert watched.verbs() == ["drift"]
    watched.iptables("-I", "INPUT", "-j", "FILTERS-HOST", families=(4,))
    watched.keep(heal=False)
    watched.look()
    # The apply has its own words about this.
    assert watched.verbs() == []


def test_the_end_of_drift_is_reported(watched: Watched) -> None:
    watched.iptables("-I", "INPUT", "-p", "tcp", "-j", "ACCEPT")
    watched.look()
    watched.iptables("-D", "INPUT", "-p", "tcp", "-j", "ACCEPT")
    watched.look()
    watched.look()
    assert watched.verbs() == ["drift", "drift-gone"]


def test_nothing_is_reported_without_a_confirmed_revision(
    inside: Namespace, state: StateDirectory, backend: Backend
) -> None:
    add_foreign(inside, backend)
    one = Watched(inside, state, backend)
    assert one.look().confirmed is None
    run(order(document("22")), state)
    assert one.look().confirmed is None
    answer("rollback", state)
    one.look()
    assert one.verbs() == []


def test_an_open_window_is_no_drift(watched: Watched) -> None:
    outcome = run(order(document("443"), sequence=9), watched.state)
    assert outcome.state == "awaiting"
    watched.look()
    watched.monitor.look_and_heal()
    answer("rollback", watched.state)
    watched.look()
    assert watched.verbs() == []


def test_self_repair_restores_the_jumps_and_nothing_else(watched: Watched) -> None:
    watched.iptables("-F", "DOCKER-USER")
    watched.iptables("-I", "INPUT", "-p", "udp", "-j", "ACCEPT", families=(6,))
    watched.iptables("-D", "INPUT", "-j", "FILTERS-HOST", families=(4,))
    before = held(watched.namespace, watched.backend)
    watched.monitor.look_and_heal()
    assert watched.in_sync()
    after = held(watched.namespace, watched.backend)
    for family in FAMILIES:
        assert foreign_lines(after[family]) == foreign_lines(before[family])
        kept = [line for line in before[family] if "-A FILTERS" in line]
        assert [line for line in after[family] if "-A FILTERS" in line] == kept
    assert [event.verb for event in watched.told] == ["drift", "heal"]
    assert "Self-repair restored the jumps of revision 1." in watched.told[1].detail
    assert drift_sentences.DOCKER_USER_RECREATED in watched.told[1].detail
    watched.told.clear()
    watched.monitor.look_and_heal()
    assert watched.verbs() == []


def test_self_repair_only_where_the_document_asks_for_it(watched: Watched) -> None:
    watched.keep(heal=False)
    watched.iptables("-F", "DOCKER-USER")
    watched.monitor.look_and_heal()
    assert watched.verbs() == ["drift"]
    assert not watched.in_sync()


@pytest.mark.parametrize("what", ["edited", "panic", "release"])
def test_self_repair_leaves_other_drift_alone(watched: Watched, what: str) -> None:
    if what == "edited":
        watched.iptables("-D", "INPUT", "-j", "FILTERS-HOST")
        watched.iptables("-I", "FILTERS-HOST", "-s", "127.0.0.9", "-j", "RETURN", families=(4,))
    elif what == "panic":
        panic(watched.state, ())
    else:
        release(watched.state)
    before = held(watched.namespace, watched.backend)
    snapshot = watched.monitor.look_and_heal()
    assert held(watched.namespace, watched.backend) == before
    assert snapshot.confirmed is not None
    assert snapshot.confirmed.released == (what == "release")
    assert watched.verbs() == ["drift"]
    if what == "panic":
        end_panic(watched.state)
        watched.monitor.look_and_heal()
        assert watched.verbs() == ["drift-gone"]


def test_a_release_ends_with_the_next_revision_that_is_kept(watched: Watched) -> None:
    release(watched.state)
    watched.monitor.look_and_heal()
    assert not watched.in_sync()
    watched.keep(heal=True)
    watched.iptables("-D", "INPUT", "-j", "FILTERS-HOST")
    watched.monitor.look_and_heal()
    assert watched.in_sync()


def test_self_repair_pauses_when_the_jumps_keep_disappearing(watched: Watched) -> None:
    verbs: list[str] = []
    for _ in range(6):
        watched.iptables("-D", "INPUT", "-j", "FILTERS-HOST")
        watched.monitor.look_and_heal()
        verbs += watched.verbs()
        if watched.in_sync():
            continue
        watched.iptables("-I", "INPUT", "1", "-j", "FILTERS-HOST")
    assert verbs[:7] == ["drift", "heal"] * 3 + ["drift"]
    assert verbs.count("heal-rests") == 1
    assert verbs.count("heal") == 3


def test_failed_self_repair_is_reported_and_not_retried_forever(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Saboteur(tmp_path, watched.backend)
    one.on(4, "echo 'no such luck' >&2; exit 4", times=99)
    monkeypatch.setenv("PATH", one.path)
    watched.iptables("-D", "INPUT", "-j", "FILTERS-HOST")
    for _ in range(6):
        watched.monitor.look_and_heal()
    (first, *more) = watched.told
    assert first.verb == "drift"
    assert [event.verb for event in more if "no such luck" in event.detail][:1] == ["heal-failed"]
    assert one.calls(4) <= monitor_module.MOST_HEALS


def test_failed_reports_are_retried_under_the_same_id(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.look()
    watched.iptables("-D", "INPUT", "-j", "FILTERS-HOST", families=(4,))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(watched.monitor, "_tell", full)
        watched.look()
    assert watched.told == []
    with monkeypatch.context() as patch:
        # Told, and not remembered as told.
        patch.setattr(monitor_module, "write_durably", full)
        watched.look()
    watched.look()
    assert [event.verb for event in watched.told] == ["drift", "drift"]
    assert len({event.id for event in watched.told}) == 1


def test_self_repair_works_beside_an_interface_that_is_gone(watched: Watched) -> None:
    watched.namespace.run("ip", "link", "del", "ens33")
    watched.look()
    assert sentences.interface_missing("ens33") in watched.told[0].detail
    watched.iptables("-F", "DOCKER-USER")
    watched.monitor.look_and_heal()
    assert watched.in_sync()
    assert [event.verb for event in watched.told][:3] == ["drift", "drift", "heal"]


def test_docker_in_the_other_backend(inside: Namespace, state: StateDirectory) -> None:
    add_foreign(inside, "nft")
    inside.add_interface()
    one = Watched(inside, state, "nft")
    one.keep(heal=True)
    assert one.look().docker_backends == ("nft",)
    for family in FAMILIES:
        for chain in ("DOCKER", "DOCKER-USER"):
            inside.iptables("-N", chain, backend="legacy", family=family)
    seen = one.look()
    assert seen.docker_backends == ("nft", "legacy")
    assert seen.confirmed is not None
    assert seen.confirmed.docker_moved_to == "legacy"
    assert "Docker's chains are in iptables-legacy now" in one.told[0].detail
    assert one.verbs() == ["drift"]


def flush(watched: Watched, *families: Family) -> None:
    """Remove all rules, chains and policies of a family, as `nft flush ruleset` and a boot script do."""
    for family in families:
        for table in ("nat", "filter"):
            for words in (("-F",), ("-X",)):
                watched.iptables("-t", table, *words, families=(family,))
        watched.iptables("-P", "FORWARD", "ACCEPT", families=(family,))


def test_an_apply_after_a_flush_does_not_hide_that_dockers_rules_are_gone(watched: Watched) -> None:
    seen = watched.look()
    assert seen.confirmed is not None
    assert seen.confirmed.docker_gone == ()
    flush(watched, 4)
    watched.look()
    watched.verbs()
    watched.keep(heal=True)
    seen = watched.look()
    assert seen.confirmed is not None
    assert seen.confirmed.docker_gone == (4,)
    assert f"IPv4: {drift_sentences.DOCKER_RULES_GONE}" in watched.told[-1].detail
    facts = look_at_kernel(HOST, watched.state)
    (finding,) = [each for each in judge_kernel(facts) if each.id == "anchors.docker-user"]
    assert (finding.level, finding.todo) == ("problem", "systemctl restart docker")
    assert drift_sentences.DOCKER_RULES_GONE in finding.text
    assert judge_status(facts).level == "bad"
    watched.verbs()
    # Docker starts again.
    watched.iptables("-N", "DOCKER", families=(4,))
    watched.iptables("-I", "FORWARD", "-o", "docker0", "-j", "DOCKER", families=(4,))
    watched.iptables("-I", "FORWARD", "-j", "DOCKER-USER", families=(4,))
    seen = watched.look()
    assert seen.confirmed is not None
    assert seen.confirmed.docker_gone == ()
    assert judge_status(look_at_kernel(HOST, watched.state)).level == "ok"


def test_a_flush_before_the_first_revision_is_remembered(
    inside: Namespace, state: StateDirectory, backend: Backend
) -> None:
    add_foreign(inside, backend)
    inside.add_interface()
    one = Watched(inside, state, backend)
    assert one.look().confirmed is None
    flush(one, 4)
    one.keep(heal=True)
    seen = one.look()
    assert seen.confirmed is not None
    assert seen.confirmed.docker_gone == (4,)
    assert judge_status(look_at_kernel(HOST, state)).level == "bad"


def test_a_flushed_forward_chain_is_repaired_and_dockers_part_of_it_told(watched: Watched) -> None:
    watched.look()
    watched.iptables("-F", "FORWARD", families=(4,))
    watched.monitor.look_and_heal()
    assert watched.verbs()[:2] == ["drift", "heal"]
    assert watched.in_sync()
    facts = look_at_kernel(HOST, watched.state)
    (finding,) = [each for each in judge_kernel(facts) if each.id == "anchors.docker-user"]
    assert (finding.level, finding.todo) == ("problem", "systemctl restart docker")


def test_after_a_boot_dockers_rules_may_not_be_there_yet(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.look()
    flush(watched, 4, 6)
    monkeypatch.setattr(confirmed_module, "boot_id", lambda: "2f6a8a4c-4dd4-4ec4-8d5b-6a8f0cb0d9d5")
    watched.keep(heal=True)
    seen = watched.look()
    assert seen.confirmed is not None
    assert seen.confirmed.docker_gone == ()


def test_docker_with_nftables_of_its_own(watched: Watched) -> None:
    watched.namespace.run("nft", "add", "table", "ip", "docker-bridges")
    for family in FAMILIES:
        call = ("-D", "FORWARD", "-j", "DOCKER-USER")
        watched.namespace.iptables(*call, backend=watched.backend, family=family)
    before = held(watched.namespace, watched.backend)
    assert watched.monitor.look().docker_state == "nftables"
    assert drift_sentences.DOCKER_FILTERS_ITSELF in watched.told[0].detail
    assert watched.verbs() == ["drift"]
    assert held(watched.namespace, watched.backend) == before
    watched.monitor.look_and_heal()
    assert watched.verbs() == ["heal"]
    for lines in held(watched.namespace, watched.backend).values():
        forward = [line for line in lines if "-A FORWARD" in line]
        assert forward[0].endswith("-A FORWARD -i ens33 -j FILTERS-CONTAINERS")


def test_drift_with_bytes_that_are_not_text_is_reported(watched: Watched) -> None:
    rule = b'*filter\n-I FILTERS-HOST 1 -m comment --comment "caf\xe9" -j RETURN\nCOMMIT\n'
    watched.namespace.restore(rule, watched.backend, 4)
    watched.look()
    (event,) = watched.told
    assert "caf" in event.detail
    event.detail.encode("utf-8")


def test_an_invalid_drift_record_is_replaced(watched: Watched) -> None:
    watched.iptables("-D", "INPUT", "-j", "FILTERS-HOST")
    watched.look()
    path = watched.state.path / "seen.json"
    for junk in (b"{", b"[]", b'{"format": "dockerfw-seen/1"}'):
        path.write_bytes(junk)
        assert read_drift_record(path).mark == ""
        watched.look()
    assert watched.verbs() == ["drift"] * 4


def test_a_look_reads_the_rules_and_the_rest_at_the_same_time(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.add_interface()
    watched = Watched(inside, state, "nft")
    watched.keep(heal=False)
    # The kernel tracks a connection, or conntrack is not asked.
    with socket(AF_INET, SOCK_DGRAM) as sender:
        sender.sendto(b"", ("127.0.0.1", 9))
    (tmp_path / "bin").mkdir()
    together = ("iptables-nft-save", "ip6tables-nft-save", "ip", "ss", "conntrack")
    monkeypatch.setenv("PATH", let_meet(tmp_path / "bin", *together)["PATH"])
    assert watched.monitor.look().errors == ()
    assert {path.stem for path in (tmp_path / "bin").glob("*.came")} == {*together}
