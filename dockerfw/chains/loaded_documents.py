"""The documents that our own chains in the kernel come from, read back out of them.

What is loaded is not always what a revision says: somebody may have added or taken away a line. Whoever wants
to know what was really allowed asks here. Comments and disabled rules are not in the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dockerfw.chains.importing import import_save
from dockerfw.chains.names import DOCKER_USER, FILTERS, FILTERS_CONTAINERS, OWN_CHAINS, label_of, own_rules
from dockerfw.chains.warnings import docker_user_jumped
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Ruleset


def read_loaded_documents(live: Mapping[Family, Ruleset]) -> dict[Family, Document]:
    """Return what is loaded in each family; one that holds nothing of ours is left out.

    Interfaces count as external where packets from them really come to our chains.
    Raises DocumentError when our chains hold what no document can say.
    """
    return {
        family: import_save("\n".join(_own_part(ruleset))).document
        for family, ruleset in live.items()
        if any(label_of(rule.text) for rule in own_rules(ruleset, FILTERS))
    }


def _own_part(live: Ruleset) -> Iterator[str]:
    """Yield a save of our chains and anchors alone."""
    yield "*filter"
    yield from (f":{name} - [0:0]" for name in (DOCKER_USER, *OWN_CHAINS))
    # An anchor that no packet comes to filters nothing.
    docker_user = live.chain("filter", DOCKER_USER) if docker_user_jumped(live) else None
    for rule in docker_user.rules if docker_user else ():
        if rule.text.endswith(f" -j {FILTERS_CONTAINERS}"):
            yield rule.text
    for name in OWN_CHAINS:
        yield from (rule.text for rule in own_rules(live, name))
    yield "COMMIT"
    yield ""
