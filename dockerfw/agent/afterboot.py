"""The load of the confirmed revision after a boot that did not load it: for a root worker in a container.

A host with the boot unit never needs it. It happens at most once in a boot: rules that are missing later were
removed, which is drift. The container starts after Docker, so until then the host is as open as Docker and
other programs leave it. Only the boot unit runs before Docker.
"""

from __future__ import annotations

import logging

from dockerfw.bindings.binder import prepare_bound_sets
from dockerfw.chains.bound_sets import bound_sets_of
from dockerfw.chains.names import FILTERS_CONTAINERS, FILTERS_HOST
from dockerfw.chains.render import write_restore
from dockerfw.host.clock import boot_id
from dockerfw.host.errors import HostError
from dockerfw.host.loading import load, rehearse_with_log, restore_previous
from dockerfw.host.observation import read_container_families
from dockerfw.host.reading import look
from dockerfw.host.static_sets import fill_static_sets
from dockerfw.iptables.errors import NetfilterError
from dockerfw.store.confirmed import ConfirmedRecord, read_confirmed
from dockerfw.store.state import StateDirectory

logger = logging.getLogger("dockerfw.afterboot")

PATIENCE_SECONDS = 5.0


def load_after_boot(state: StateDirectory) -> bool:
    """Load the confirmed revision unless this boot had it; return True if it was loaded. Never raises."""
    try:
        with state.lock(seconds=PATIENCE_SECONDS):
            confirmed = read_confirmed(state.boot)
            if state.is_boot_handled() or (confirmed is not None and confirmed.boot == boot_id()):
                return False
            if _is_due(state):
                loaded = confirmed is not None and _load(state, confirmed)
                state.mark_boot_handled()
                return loaded
    except (HostError, NetfilterError, OSError) as error:
        logger.error("the confirmed revision is not loaded after this boot: %s", error)
    return False


def _is_due(state: StateDirectory) -> bool:
    """Return True if no apply of this boot is in the way; log one that an earlier boot left."""
    window = state.read_window()
    if window is None:
        return True
    if window.boot != boot_id():
        logger.error(
            "the apply of revision %d, from an earlier boot, is not ended yet and blocks other applies. The"
            " confirmed revision is loaded anyway",
            window.revision,
        )
        return True
    logger.error(
        "the apply of revision %d has not ended: the confirmed revision is loaded after this boot only when"
        " the root worker is started again",
        window.revision,
    )
    return False


def _load(state: StateDirectory, confirmed: ConfirmedRecord) -> bool:
    before = look(confirmed.backend)
    # A worker that was killed between the families leaves only one of them.
    if all(any(live.chain("filter", name) for name in _OWN) for live in before.rulesets.values()):
        return False
    external = confirmed.document.settings.external_interfaces
    containers = read_container_families(external, None)(before.rulesets)

    renderings = {family: confirmed.rendering(family) for family in before.rulesets}
    texts = {
        family: write_restore(renderings[family], family, live=live, containers=family in containers)
        for family, live in before.rulesets.items()
    }
    if names := bound_sets_of(texts.values()):
        # Sets for rules by name stay empty here: the binder fills them, which asks Docker.
        prepare_bound_sets(state, names, confirmed.document, known=confirmed)
    sets = [one for rendering in renderings.values() for one in rendering.sets]
    fill_static_sets(sets)
    texts, without_log = rehearse_with_log(confirmed.backend, before.rulesets, texts)
    if without_log is not None:
        logger.warning("this kernel cannot log refused packets: the lines for that are left out")
    try:
        for family, text in texts.items():
            load(confirmed.backend, family, text)
    except BaseException:
        restore_previous(confirmed.backend, before.rulesets, texts, sets)
        raise
    logger.warning("revision %d was not loaded at boot and is loaded now", confirmed.revision)
    return True


_OWN = (FILTERS_HOST, FILTERS_CONTAINERS)
