"""Loads the revision that was kept last when a boot went by without it: for a root worker in a container.

Owns the question whether that has to be done. On a host whose boot unit is installed it never has, and within
a boot never twice: what is gone then was taken away by somebody, which is told as drift. It comes after
Docker, so until then the host is open as Docker and the others leave it; only the boot unit comes before.
"""

from __future__ import annotations

import logging

from dockerfw.chains.names import FILTERS_CONTAINERS, FILTERS_HOST
from dockerfw.chains.render import render_restore
from dockerfw.host.clock import boot_id
from dockerfw.host.errors import HostError
from dockerfw.host.loading import load, rehearse, restore_previous
from dockerfw.host.reading import look
from dockerfw.iptables.errors import NetfilterError
from dockerfw.store.confirmed import ConfirmedRecord, read_confirmed
from dockerfw.store.state import StateDirectory

logger = logging.getLogger("dockerfw.afterboot")

PATIENCE_SECONDS = 5.0


def load_after_boot(state: StateDirectory) -> bool:
    """Load what was kept last, unless this boot has had it; say whether it was loaded. Never raises."""
    try:
        with state.lock(seconds=PATIENCE_SECONDS):
            confirmed = read_confirmed(state.boot)
            if state.is_boot_handled() or (confirmed is not None and confirmed.boot == boot_id()):
                return False
            if _is_due(state):
                loaded = confirmed is not None and _load(confirmed)
                state.mark_boot_handled()
                return loaded
    except (HostError, NetfilterError, OSError) as error:
        logger.error("the revision that was kept last is not loaded after this boot: %s", error)
    return False


def _is_due(state: StateDirectory) -> bool:
    """Say whether no apply of this boot is in the way; what is left of an earlier boot's is told."""
    window = state.read_window()
    if window is None:
        return True
    if window.boot != boot_id():
        logger.error(
            "the apply of revision %d, of an earlier boot, is not ended yet and keeps others waiting: what"
            " was kept last is loaded all the same",
            window.revision,
        )
        return True
    logger.error(
        "the apply of revision %d has not come to its end: what was kept last is not loaded after this boot"
        " before the root worker is started again",
        window.revision,
    )
    return False


def _load(confirmed: ConfirmedRecord) -> bool:
    before = look(confirmed.backend)
    # One family alone is what a worker leaves that was killed between both.
    if all(any(live.chain("filter", name) for name in _OWN) for live in before.rulesets.values()):
        return False
    texts = {
        family: render_restore(confirmed.document, family, live=live, revision=confirmed.revision)
        for family, live in before.rulesets.items()
    }
    rehearse(confirmed.backend, before.rulesets, texts)
    try:
        for family, text in texts.items():
            load(confirmed.backend, family, text)
    except BaseException:
        restore_previous(confirmed.backend, before.rulesets, texts)
        raise
    logger.warning("revision %d was not loaded at this boot: it is now", confirmed.revision)
    return True


_OWN = (FILTERS_HOST, FILTERS_CONTAINERS)
