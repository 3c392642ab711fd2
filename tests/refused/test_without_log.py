"""A kernel that cannot log refused packets: the rules are loaded all the same, at an apply and at a boot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dockerfw.agent.afterboot import load_after_boot
from dockerfw.agent.sentences import REHEARSED_WITHOUT_LOG
from dockerfw.store.bootfiles import SCRIPT
from dockerfw.store.log_note import read_log_note
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import Saboteur, add_foreign, answer, document, order, run
from tests.rig.namespace import FAMILIES, Backend, Namespace

pytestmark = pytest.mark.kernel

# The real program refuses the line, so that its words are its own.
WITHOUT_NFLOG = 'sed "s/-j NFLOG/-j NFLOX/" | "$REAL" "$@"'


@pytest.fixture
def old_kernel(tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the programs of the backend refuse NFLOG."""
    directory = tmp_path / "bin"
    directory.mkdir()
    one = Saboteur(directory, backend)
    monkeypatch.setenv("PATH", one.path)
    for family in FAMILIES:
        one.on(family, WITHOUT_NFLOG, times=100, rehearsal=True)


def test_an_apply_leaves_the_log_lines_out_and_says_so(
    inside: Namespace, backend: Backend, state: StateDirectory, old_kernel: None
) -> None:
    add_foreign(inside, backend)
    outcome = run(order(document("22")), state)
    assert outcome.state == "awaiting", outcome.error
    assert {step.detail for step in outcome.steps if step.name == "rehearse"} == {REHEARSED_WITHOUT_LOG}
    assert "NFLOG" in read_log_note(state)
    for family in FAMILIES:
        assert b"NFLOG" not in inside.save(backend, family)
        assert b"-A FILTERS -m comment" in inside.save(backend, family)


def test_the_note_goes_with_an_apply_that_logs(
    inside: Namespace, backend: Backend, state: StateDirectory
) -> None:
    add_foreign(inside, backend)
    (state.path / "log-left-out").write_text("this kernel has no NFLOG")
    assert run(order(document("22")), state).state == "awaiting"
    assert read_log_note(state) == ""
    assert b"NFLOG" in inside.save(backend, 4)


def kept(inside: Namespace, backend: Backend, state: StateDirectory) -> None:
    """Load and keep a document with log lines."""
    add_foreign(inside, backend)
    assert run(order(document("22")), state).state == "awaiting"
    assert answer("keep", state).state == "confirmed"


def test_a_boot_loads_the_rules_without_the_log_lines(
    inside: Namespace, backend: Backend, state: StateDirectory, make_namespace: Callable[..., Namespace]
) -> None:
    kept(inside, backend, state)
    for family in FAMILIES:
        path = state.boot / f"rules.v{family}"
        path.write_text(path.read_text().replace("-j NFLOG ", "-j NFLOG --nflog-unknown "))
    booted = make_namespace("booted")
    done = booted.run("sh", str(state.boot / SCRIPT))
    assert b"is loaded with" in done.stderr
    for family in FAMILIES:
        saved = booted.save(backend, family)
        assert b"NFLOG" not in saved
        assert b"-A FILTERS -m comment" in saved
        assert b"-A INPUT -j FILTERS-HOST" in saved


def test_a_root_worker_in_a_container_loads_them_after_a_boot(
    inside: Namespace,
    backend: Backend,
    state: StateDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept(inside, backend, state)
    record = state.boot / "confirmed.json"
    text = record.read_text()
    boot = text.partition('"boot": "')[2].partition('"')[0]
    record.write_text(text.replace(boot, "0" * 36))
    for family in FAMILIES:
        for chain in ("INPUT", "DOCKER-USER"):
            inside.iptables("-F", chain, backend=backend, family=family)
        for verb in ("-F", "-X"):
            for chain in ("FILTERS-HOST", "FILTERS-CONTAINERS", "FILTERS"):
                inside.iptables(verb, chain, backend=backend, family=family)
    directory = tmp_path / "bin"
    directory.mkdir()
    one = Saboteur(directory, backend)
    monkeypatch.setenv("PATH", one.path)
    for family in FAMILIES:
        one.on(family, WITHOUT_NFLOG, times=100, rehearsal=True)
    assert load_after_boot(state)
    for family in FAMILIES:
        assert b"NFLOG" not in inside.save(backend, family)
        assert b"-A FILTERS -m comment" in inside.save(backend, family)
