"""Put our anchors back where they belong, and nothing else, when they alone are gone or not first.

Owns one try: with the lock, looked at afresh, rehearsed, loaded, read back. Whether it is wanted is the
document's setting, and how often it may be tried the lookout's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dockerfw.chains.drift import Drift, find_drift
from dockerfw.chains.healing import render_anchors
from dockerfw.host.backend import kernel_families
from dockerfw.host.errors import HostError
from dockerfw.host.files import LockHeld
from dockerfw.host.loading import load, rehearse
from dockerfw.host.reading import look
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.store.bootfiles import boot_apply
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.state import StateDirectory


@dataclass(frozen=True, slots=True)
class Healed:
    """What became of a try: the drift that was met, and why it did not work, empty when it did."""

    drift: Drift
    problem: str = ""


def heal_anchors(state: StateDirectory, confirmed: ConfirmedRecord) -> Healed | None:
    """Put the anchors of the confirmed revision back; None when there is nothing to heal, or not now.

    Not now: somebody loads rules, a window is open, the console has let go of the host or called a panic, or
    more than the anchors differs.
    """
    try:
        with state.lock(seconds=0.0):
            if state.read_window() is not None or state.is_released():
                return None
            if boot_apply(state.boot) != confirmed.apply:
                return None
            return _heal(confirmed)
    except LockHeld:
        return None
    except (HostError, NetfilterError, OSError) as error:
        return Healed(Drift(), str(error))


def _heal(confirmed: ConfirmedRecord) -> Healed | None:
    before = look(confirmed.backend)
    drift = _drift(confirmed, before.rulesets)
    if not drift.only_anchors:
        return None
    texts = {
        family: text
        for family, live in before.rulesets.items()
        if (text := render_anchors(confirmed.document.settings, live))
    }
    try:
        rehearse(confirmed.backend, before.rulesets, texts)
        # A family whose anchors are back stays so when the other one fails: that is right by itself.
        for family, text in texts.items():
            load(confirmed.backend, family, text)
        left = _drift(confirmed, look(confirmed.backend).rulesets)
    except (HostError, NetfilterError, OSError) as error:
        return Healed(drift, str(error))
    return Healed(drift, " ".join(finding.message for finding in left.findings))


def _drift(confirmed: ConfirmedRecord, live: Mapping[Family, Ruleset]) -> Drift:
    return find_drift(confirmed.document, confirmed.revision, live, families=kernel_families())
