"""A host on which the command ipset is missing, or the kernel has no ip_set: what works, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.chains.log_lines import without_log_lines
from dockerfw.chains.plan import plan_changes
from dockerfw.document.document import parse_document
from dockerfw.host import runner
from dockerfw.host.static_sets import find_ip_set_fault
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import drift_of, limits_of
from dockerfw.messages.snapshots import Snapshot
from dockerfw.store.bootfiles import boot_texts
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import HOST, answer, document, held, order, run
from tests.rig.namespace import FAMILIES, Namespace
from tests.rig.static_sets import long_list, networks

pytestmark = pytest.mark.kernel

NO_KERNEL = "#!/bin/sh\necho 'ipset v7.17: Cannot open session to kernel.' >&2\nexit 1\n"


@pytest.fixture(params=["missing", "no kernel"])
def lacking(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inside: Namespace
) -> Iterator[str]:
    """A search path without ipset, or with one that finds no ip_set; yield which."""
    inside.add_interface()
    folder = tmp_path / "path"
    folder.mkdir()
    for place in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for program in Path(place).iterdir():
            if program.name != "ipset" and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    if request.param == "no kernel":
        (folder / "ipset").write_text(NO_KERNEL)
        (folder / "ipset").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(runner, "_SYSTEM_PATH", str(folder))
    find_ip_set_fault.cache_clear()
    yield str(request.param)
    # What was found without ipset is not true of the tests that follow in this process.
    find_ip_set_fault.cache_clear()


def test_rules_without_sets_need_no_ipset(lacking: str, inside: Namespace, state: StateDirectory) -> None:
    outcome = run(order(document("22")), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state).state == "confirmed"
    assert any("--ctorigdstport 22 " in line for line in held(inside, "nft")[4])
    run(order(document("23"), sequence=2), state)
    assert answer("rollback", state).state == "rolled_back"
    assert any("--ctorigdstport 22 " in line for line in held(inside, "nft")[4])
    outcome = run(order(document("24"), sequence=3), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state).state == "confirmed"


def test_a_long_list_is_written_as_lines(lacking: str, inside: Namespace, state: StateDirectory) -> None:
    assert run(order(long_list(70)), state).state == "awaiting"
    assert answer("keep", state).state == "confirmed"
    lines = held(inside, "nft")
    assert [sum(f'"dockerfw:p22n{family}' in line for line in lines[family]) for family in FAMILIES] == [
        70,
        70,
    ]
    assert not any("--match-set" in line for family in FAMILIES for line in lines[family])
    assert "match-set" not in (state.boot / "rules.v4").read_text()
    assert not (state.boot / "sets").exists()
    events: list[object] = []
    snapshot = DriftMonitor(state, host=HOST, tell=events.append).look()
    assert (events, snapshot.lacks_ip_set) == ([], True)
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
    # What the dashboard plans from this report is what the root worker has loaded.
    rulesets = {family: parse_save(snapshot.saves[family]) for family in FAMILIES}
    wanted, limits = parse_document(long_list(70)), limits_of(snapshot)
    assert plan_changes(wanted, rulesets, revision=1, limits=limits).empty
    assert not plan_changes(wanted, rulesets, revision=1).empty
    confirmed = read_confirmed(state.boot)
    assert confirmed is not None
    assert not drift_of(snapshot, rulesets, wanted, 1, loaded=confirmed.loaded).rules_differ
    # A record from a backup has no copy of the loaded rules: what it would load is rendered for this host.
    restored = replace(confirmed, loaded={})
    texts = boot_texts(restored, boot=state.boot)
    assert texts["rules.v4"] == without_log_lines((state.boot / "rules.v4").read_text())
    assert "sets" not in texts
    assert not drift_of(snapshot, rulesets, wanted, 1).rules_differ
    # Another list takes its place, and goes again.
    before = held(inside, "nft")
    assert run(order(long_list(80), sequence=2), state).state == "awaiting"
    assert answer("rollback", state).state == "rolled_back"
    assert held(inside, "nft") == before


def test_a_rule_for_containers_is_loaded_without_the_path_through_docker_proxy(
    lacking: str, inside: Namespace, state: StateDirectory
) -> None:
    wanted = {
        "format": "dockerfw/2",
        "settings": {"external_interfaces": ["ens33"]},
        "rules": [{"scope": "container", "protocol": "tcp", "ports": ["443"]}],
    }
    outcome = run(order(wanted), state)
    assert outcome.state == "awaiting", outcome.error
    lines = [line for line in held(inside, "nft")[4] if "443" in line]
    assert len(lines) == 1
    assert " FILTERS-CONTAINERS " in lines[0]


FEED = {"kind": "feed", "url": "https://lists.example.org/bad.txt"}
NEEDING: dict[str, dict[str, Any]] = {
    "a list longer than lines": {
        "format": "dockerfw/2",
        "settings": {"external_interfaces": ["ens33"]},
        "groups": {"office": {"kind": "static", "entries": list(networks(20_050))}},
        "rules": [{"scope": "host", "protocol": "tcp", "ports": ["22"], "sources": ["@office"]}],
    },
    "a feed": {
        "format": "dockerfw/2",
        "settings": {"external_interfaces": ["ens33"]},
        "groups": {"bad": FEED},
        "rules": [{"action": "block", "sources": ["@bad"]}],
    },
    "a container": {
        "format": "dockerfw/2",
        "settings": {"external_interfaces": ["ens33"]},
        "rules": [{"scope": "container", "container": "shop/web", "protocol": "tcp", "ports": ["443"]}],
    },
}

SAID = {
    "a list longer than lines": "would take 20,049 lines of at most 20,000: @office.",
    "a feed": "The rule “block everything from @bad to the host and containers” needs ipsets",
    "a container": "The rule “443/tcp from anywhere to container shop/web” needs ipsets",
}


@pytest.mark.parametrize("what", NEEDING)
def test_rules_that_need_sets_are_refused_in_a_sentence_and_nothing_changes(
    lacking: str, inside: Namespace, state: StateDirectory, what: str
) -> None:
    assert run(order(document("22")), state).state == "awaiting"
    assert answer("keep", state).state == "confirmed"
    before = held(inside, "nft")
    outcome = run(order(NEEDING[what], sequence=2), state)
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert outcome.error.step == "snapshot"
    said = outcome.error.summary
    assert SAID[what] in said
    assert "nstall the package ipset" in said
    assert said.count("\n") == 0
    assert held(inside, "nft") == before
    assert not state.has_window()
    # The host goes on to be watched, without an error that is none.
    events: list[object] = []
    DriftMonitor(state, host=HOST, tell=events.append).look()
    assert events == []
