"""Read the rules that a host's root worker loaded last, parsed once for each digest of them."""

from __future__ import annotations

import logging
import re

from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.static_sets import StaticSet, read_sets
from dockerfw.iptables.model import Family
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.loaded import MAX_BYTES, LoadedRules
from rules.link import client
from rules.models import Host
from rules.seen.memory import Memory

logger = logging.getLogger(__name__)

_SHA256 = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_loaded: Memory[LoadedRules] = Memory(8, lambda known: sum(text.count("\n") for text in known.texts.values()))
_sets: Memory[tuple[StaticSet, ...]] = Memory(4)


def loaded_rules(host: Host) -> LoadedRules | None:
    """Return the rules loaded last, None where the root worker reported none that can be read.

    Raises QueueError.
    """
    found = _SHA256.search(client.loaded_head(host.name))
    if found is None:
        return None
    known = _loaded.get((host.name, found[1]))
    if known is not None:
        return known
    data = client.loaded_read(host.name)
    try:
        loaded = None if data is None else LoadedRules.from_json(load_json(data, max_bytes=MAX_BYTES))
    except MessageError as error:
        logger.warning("the loaded rules of %s cannot be read: %s", host.name, error)
        return None
    if loaded is None or loaded.host != host.name:
        return None
    return _loaded.get_or_compute((host.name, loaded.sha256.encode()), lambda: loaded)


def loaded_static_sets(loaded: LoadedRules | None) -> tuple[StaticSet, ...]:
    """Return the sets of sources that the loaded rules match; none where they are not known."""
    if loaded is None or not loaded.sets:
        return ()
    return _sets.get_or_compute(loaded.sha256, lambda: read_sets(loaded.sets))


def loaded_renderings(loaded: LoadedRules | None, revision: int, digest: str) -> dict[Family, Rendering]:
    """Return the rules by family where they were loaded for this revision, else none."""
    if loaded is None or (loaded.revision, loaded.digest) != (revision, digest):
        return {}
    return loaded.rules()
