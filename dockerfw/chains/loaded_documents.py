"""The documents that the loaded rules express, read from dockerfw's chains in the kernel.

The kernel may differ from its revision after a manual change, so this is what the kernel really allows. It
holds no comments and no disabled rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dockerfw.chains.forwarding import docker_user_jumped
from dockerfw.chains.importing import import_save
from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS,
    FILTERS_CONTAINERS,
    FORWARD,
    OWN_CHAINS,
    body,
    label_of,
    own_rules,
)
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Ruleset


def read_loaded_documents(live: Mapping[Family, Ruleset]) -> dict[Family, Document]:
    """Return the loaded document of each family; a family without dockerfw rules is left out.

    An interface counts as external if packets from it really reach dockerfw's chains.
    Raise DocumentError if the chains hold lines that no document can express.
    """
    return {
        family: import_save("\n".join(_own_part(ruleset)), by_meaning=False).document
        for family, ruleset in live.items()
        if any(label_of(rule.text) for rule in own_rules(ruleset, FILTERS))
    }


def _own_part(live: Ruleset) -> Iterator[str]:
    """Yield the lines of a save that holds only dockerfw's chains and anchors."""
    yield "*filter"
    yield from (f":{name} - [0:0]" for name in (DOCKER_USER, *OWN_CHAINS))
    # An anchor that no packet reaches filters nothing.
    calling = live.chain("filter", DOCKER_USER if docker_user_jumped(live) else FORWARD)
    for rule in calling.rules if calling else ():
        if rule.text.endswith(f" -j {FILTERS_CONTAINERS}"):
            yield f"-A {DOCKER_USER} {body(rule)}"
    for name in OWN_CHAINS:
        yield from (rule.text for rule in own_rules(live, name))
    yield "COMMIT"
    yield ""
