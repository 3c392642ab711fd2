"""The rules that root loads at boot after a restore: never those that a backup contains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from dockerfw.chains.render import render
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.document.document import parse_document
from dockerfw.host.clock import utc_now
from dockerfw.iptables.model import FAMILIES
from dockerfw.store.backup import FOLDER, state_check, state_lock, state_replace, state_take
from dockerfw.store.bootfiles import boot_texts, switch_boot_set, write_boot_set
from dockerfw.store.confirmed import CONFIRMED, ConfirmedRecord, read_confirmed
from dockerfw.store.interrupted import RestoreNote
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import document

LATER_LINE = "-p udp -m udp --dport 5353 -j RETURN"


def record() -> ConfirmedRecord:
    """Return a record whose loaded rules differ from what its document renders to now."""
    one = parse_document(document("22", "8080"))
    loaded = {}
    for family in FAMILIES:
        now = render(one, family, 7)
        loaded[family] = Rendering(
            {name: (LATER_LINE, *rules) for name, rules in now.chains.items()}, now.jumps
        )
    return ConfirmedRecord(str(uuid4()), 7, "nft", "boot", one, loaded)


def forged(one: ConfirmedRecord) -> dict[str, bytes]:
    """Return a backup whose confirmed record also opens chains of other programs."""
    loaded = {
        family: Rendering({**rules.chains, "INPUT": ("-j ACCEPT",)}, rules.jumps)
        for family, rules in one.loaded.items()
    }
    return {f"{FOLDER}{CONFIRMED}": replace(one, loaded=loaded).to_text().encode()}


def restore(state: StateDirectory, members: dict[str, bytes]) -> None:
    """Replace the state by that of a backup."""
    note = RestoreNote(state.path, backup=utc_now(), aside="before", settings=False)
    stored = state_check(members)
    with state_lock(state), state_replace(state, stored, sequence=9, aside="before", note=note):
        pass


def boot_files(state: StateDirectory) -> dict[str, str]:
    """Return the contents of the files that a boot loads."""
    return {path.name: path.read_text() for path in state.boot.iterdir()}


def test_the_rules_in_a_backup_are_not_loaded_at_boot(tmp_path: Path) -> None:
    one, state = record(), StateDirectory(tmp_path / "state")
    restore(state, forged(one))
    plain = replace(one, loaded={})
    assert read_confirmed(state.boot) == plain
    assert boot_files(state) == boot_texts(plain, boot=state.boot)


def test_a_host_that_boots_the_revision_already_keeps_the_rules_that_it_loaded(tmp_path: Path) -> None:
    one, state = record(), StateDirectory(tmp_path / "state")
    state.prepare()
    switch_boot_set(write_boot_set(one, boot=state.boot), state.boot)
    before = boot_files(state)
    assert b"5353" not in state_take(state)[f"{FOLDER}{CONFIRMED}"]
    restore(state, forged(one))
    assert read_confirmed(state.boot) == one
    assert boot_files(state) == before
    assert LATER_LINE in before["rules.v4"]
