"""An upgrade on the real kernel: a release that renders other rules changes and reddens nothing by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dockerfw.agent.afterboot import load_after_boot
from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import DIALLED_TO_LOOPBACK, render_compiled
from dockerfw.doctor.boot_facts import boot_facts
from dockerfw.host.reading import look
from dockerfw.messages.events import ConsoleEvent
from dockerfw.store.confirmed import CONFIRMED, ConfirmedRecord, read_confirmed
from dockerfw.store.records import StateError
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import HOST, add_foreign, answer, document, held, order, run, stop_watchdogs
from tests.rig.namespace import FAMILIES, Backend, Namespace
from tests.rig.new_release import NEW_LINE, install_new_release

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _fresh_rendering() -> Iterator[None]:
    """Forget what another release rendered."""
    yield
    render_compiled.cache_clear()


def keep(state: StateDirectory, *, sequence: int) -> None:
    """Load a document and keep it."""
    value = document("22", "8080")
    value["settings"]["heal_anchors"] = True
    outcome = run(order(value, sequence=sequence), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state).state == "confirmed"


@pytest.fixture
def upgraded(
    inside: Namespace, state: StateDirectory, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> Namespace:
    """A host on which revision 1 was confirmed, and a later release installed since."""
    add_foreign(inside, backend)
    inside.add_interface()
    keep(state, sequence=1)
    install_new_release(monkeypatch)
    return inside


def confirmed_record(state: StateDirectory) -> ConfirmedRecord:
    confirmed = read_confirmed(state.boot)
    assert confirmed is not None
    return confirmed


def watch(state: StateDirectory) -> list[ConsoleEvent]:
    """Look at the host as a root worker does unasked; return what it told."""
    told: list[ConsoleEvent] = []
    DriftMonitor(state, host=HOST, tell=told.append).look_and_heal()
    return told


def test_an_upgrade_changes_nothing_and_is_no_drift(
    upgraded: Namespace, state: StateDirectory, backend: Backend
) -> None:
    before = held(upgraded, backend)
    assert watch(state) == []
    assert held(upgraded, backend) == before
    assert boot_facts(state, unit=None).different == []


def test_self_repair_restores_the_jumps_and_leaves_the_rules(
    upgraded: Namespace, state: StateDirectory, backend: Backend
) -> None:
    before = held(upgraded, backend)
    for family in FAMILIES:
        upgraded.iptables("-D", "INPUT", "-j", "FILTERS-HOST", backend=backend, family=family)
    assert [event.verb for event in watch(state)] == ["drift", "heal"]
    after = held(upgraded, backend)
    for family in FAMILIES:
        own = [line for line in before[family] if "-A FILTERS" in line]
        assert [line for line in after[family] if "-A FILTERS" in line] == own
    assert watch(state) == []


def test_a_manual_change_is_drift_even_if_the_new_release_would_write_it(
    upgraded: Namespace, state: StateDirectory, backend: Backend
) -> None:
    upgraded.iptables("-I", "FILTERS-HOST", *NEW_LINE.split(), backend=backend, family=4)
    (event,) = watch(state)
    assert event.verb == "drift"
    assert f"+ -A FILTERS-HOST {NEW_LINE}" in event.detail


def test_the_plan_offers_the_new_line_and_the_next_apply_loads_it(
    upgraded: Namespace, state: StateDirectory, backend: Backend
) -> None:
    wanted = confirmed_record(state).document
    plan = plan_changes(wanted, look(backend).rulesets, revision=1)
    for family in FAMILIES:
        assert [line.text for line in plan.families[family].added] == [NEW_LINE]
        assert plan.families[family].removed == ()
    keep(state, sequence=2)
    assert all(
        f"-A FILTERS-HOST {NEW_LINE}" in "\n".join(held(upgraded, backend)[family]) for family in FAMILIES
    )
    assert watch(state) == []
    assert NEW_LINE in confirmed_record(state).loaded[4].chains["FILTERS-HOST"]


def test_a_boot_loads_what_was_confirmed(
    upgraded: Namespace, state: StateDirectory, backend: Backend
) -> None:
    stop_watchdogs(state)
    path = state.boot / CONFIRMED
    path.write_text(replace(confirmed_record(state), boot="an-earlier-one").to_text())
    before = held(upgraded, backend)
    for family in FAMILIES:
        for words in ("-F", "-X"):
            upgraded.iptables(words, backend=backend, family=family)
    add_foreign(upgraded, backend)
    assert load_after_boot(state)
    assert held(upgraded, backend) == before
    assert watch(state) == []


def test_a_record_of_an_earlier_release_gets_the_loaded_rules_at_the_next_keep(
    upgraded: Namespace, state: StateDirectory, backend: Backend
) -> None:
    path = state.boot / CONFIRMED
    value = json.loads(path.read_text())
    assert set(value["loaded"]) == {"4", "6"}
    del value["loaded"], value["loaded_digest"]
    path.write_text(json.dumps(value))
    assert confirmed_record(state).loaded == {}
    # Without them the kernel can only be compared with what this release renders.
    assert [event.verb for event in watch(state)] == ["drift"]
    keep(state, sequence=2)
    assert set(confirmed_record(state).loaded) == {4, 6}


def test_what_a_release_without_the_loopback_line_kept_is_no_drift(
    inside: Namespace, state: StateDirectory, backend: Backend
) -> None:
    add_foreign(inside, backend)
    inside.add_interface()
    keep(state, sequence=1)
    path = state.boot / CONFIRMED
    value = json.loads(path.read_text())
    del value["loaded"], value["loaded_digest"]
    path.write_text(json.dumps(value))
    assert (watch(state), boot_facts(state, unit=None).different) == ([], [])
    for family in FAMILIES:
        line = DIALLED_TO_LOOPBACK[family].split()
        inside.iptables("-D", "FILTERS-CONTAINERS", *line, backend=backend, family=family)
        boot = state.boot / f"rules.v{family}"
        lines = boot.read_text().splitlines(keepends=True)
        boot.write_text("".join(line for line in lines if DIALLED_TO_LOOPBACK[family] not in line))
    assert (watch(state), boot_facts(state, unit=None).different) == ([], [])
    plan = plan_changes(confirmed_record(state).document, look(backend).rulesets, revision=1)
    assert [line.text for line in plan.families[4].added] == [DIALLED_TO_LOOPBACK[4]]


def test_loaded_rules_that_were_changed_on_disk_are_refused(
    upgraded: Namespace, state: StateDirectory
) -> None:
    path = state.boot / CONFIRMED
    path.write_text(path.read_text().replace("--ctorigdstport 22 ", "--ctorigdstport 23 "))
    with pytest.raises(StateError, match="loaded_digest"):
        read_confirmed(state.boot)
