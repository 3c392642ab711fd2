"""Self-repair: one try to restore the jumps to dockerfw's chains, and the contents of its source lists.

It is done only when nothing else differs.

A try holds the lock, looks at the kernel afresh, rehearses, loads and reads back. The document's setting says
whether it is wanted, and drift_monitor.py how often it is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dockerfw.chains.causes import DriftFacts
from dockerfw.chains.drift import Drift, find_drift
from dockerfw.chains.forwarding import Jumps, add_own_jumps
from dockerfw.chains.healing import render_anchors
from dockerfw.chains.static_sets import SetState, judge_set, static_sets_in
from dockerfw.host.backend import kernel_families
from dockerfw.host.errors import HostError
from dockerfw.host.files import LockHeld
from dockerfw.host.loading import load, rehearse
from dockerfw.host.observation import read_container_families
from dockerfw.host.reading import look
from dockerfw.host.static_sets import fill_static_sets, ip_set_limits, read_static_sets
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.store.bootfiles import boot_apply
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.state import StateDirectory


@dataclass(frozen=True, slots=True)
class Healed:
    """The result of a try: the drift that it found, and why it failed, empty when it worked."""

    drift: Drift
    problem: str = ""


def heal_anchors(
    state: StateDirectory, confirmed: ConfirmedRecord, *, docker_socket: Path | None = None
) -> Healed | None:
    """Restore the jumps and source lists of the confirmed revision.

    Return None if there is nothing to heal, or not now: another process loads rules, a window is open, an
    admin released the host or started a panic on the console, or something else differs too.
    """
    try:
        with state.lock(seconds=0.0):
            if state.read_window() is not None or state.is_released():
                return None
            if boot_apply(state.boot) != confirmed.apply:
                return None
            return _heal(confirmed, docker_socket)
    except LockHeld:
        return None
    except (HostError, NetfilterError, OSError) as error:
        return Healed(Drift(), str(error))


def _heal(confirmed: ConfirmedRecord, docker_socket: Path | None) -> Healed | None:
    before = look(confirmed.backend)
    external = confirmed.document.settings.external_interfaces
    containers = read_container_families(external, docker_socket)(before.rulesets)
    drift = _drift(confirmed, before.rulesets, containers)
    if not drift.is_repairable:
        return None
    texts = {
        family: text
        for family, live in before.rulesets.items()
        if (text := render_anchors(_jumps(confirmed, family, live, containers), live))
    }
    try:
        if drift.changed_sets:
            fill_static_sets(one for one in confirmed.sets if one.name in _static_sets(before.rulesets))
        rehearse(confirmed.backend, before.rulesets, texts)
        # A family whose jumps are restored stays so when the other one fails: it is right by itself.
        for family, text in texts.items():
            load(confirmed.backend, family, text)
        left = _drift(confirmed, look(confirmed.backend).rulesets, containers)
    except (HostError, NetfilterError, OSError) as error:
        return Healed(drift, str(error))
    return Healed(drift, " ".join(finding.message for finding in left.findings))


def _jumps(confirmed: ConfirmedRecord, family: Family, live: Ruleset, containers: frozenset[Family]) -> Jumps:
    return add_own_jumps(confirmed.rendering(family).jumps, live, containers=family in containers)


def _drift(
    confirmed: ConfirmedRecord, live: Mapping[Family, Ruleset], containers: frozenset[Family]
) -> Drift:
    return find_drift(
        confirmed.document,
        confirmed.revision,
        live,
        DriftFacts(container_families=containers, static_sets=_read_sets(confirmed, live)),
        families=kernel_families(),
        loaded=confirmed.loaded,
        limits=ip_set_limits(),
    )


def _static_sets(live: Mapping[Family, Ruleset]) -> frozenset[str]:
    """Return the names of the static sets that rules in the kernel match."""
    return frozenset(name for ruleset in live.values() for name in static_sets_in(ruleset))


def _read_sets(confirmed: ConfirmedRecord, live: Mapping[Family, Ruleset]) -> Mapping[str, SetState]:
    """Return the states of the static sets that rules match. Raises SetsFailed."""
    names = _static_sets(live)
    wanted = {one.name: one for one in confirmed.sets}
    held = read_static_sets(names)
    return {name: judge_set(name, held.get(name), wanted.get(name)) for name in names}
