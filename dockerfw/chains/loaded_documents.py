"""The documents that the loaded rules express, read from dockerfw's chains in the kernel.

The kernel may differ from its revision after a manual change, so this is what the kernel really allows. It
holds no comments and no disabled rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dockerfw.chains import import_sentences
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
    own_chains,
    own_rules,
    rule_id_of,
)
from dockerfw.chains.static_sets import static_sets_in
from dockerfw.document.values import Document
from dockerfw.iptables.errors import DocumentError, FieldError
from dockerfw.iptables.model import FAMILY_NAMES, Family, Ruleset


def is_compiled(live: Ruleset) -> bool:
    """Return True if dockerfw's chains hold rules in a form that cannot be read back as rules.

    Those are sets of sources, dispatch chains and blocks. Without them each line is a part of one rule, which
    may still have what no line of another program says: see `read_loaded_documents`.
    """
    return bool(static_sets_in(live)) or any(name not in OWN_CHAINS for name in own_chains(live))


def check_not_compiled(live: Mapping[Family, Ruleset]) -> None:
    """Raise DocumentError where a document read from these rules would lack some of them."""
    errors = tuple(
        FieldError(FAMILY_NAMES[family], import_sentences.COMPILED)
        for family, ruleset in live.items()
        if is_compiled(ruleset)
    )
    if errors:
        raise DocumentError(errors)


def read_loaded_documents(live: Mapping[Family, Ruleset]) -> dict[Family, Document]:
    """Return the loaded document of each family; a family without dockerfw rules is left out.

    An interface counts as external if packets from it really reach dockerfw's chains.
    Raise DocumentError if the chains hold lines that no document can express, or that cannot be read back.
    """
    check_not_compiled(live)
    found: dict[Family, Document] = {}
    for family, ruleset in live.items():
        if any(label_of(rule.text) for rule in own_rules(ruleset, FILTERS)):
            read = import_save("\n".join(_own_part(ruleset)), by_meaning=False)
            # Such as lines for a container by name, with a limit or with times.
            if any(rule_id_of(line.text) for line in read.skipped):
                raise DocumentError((FieldError(FAMILY_NAMES[family], import_sentences.COMPILED),))
            found[family] = read.document
    return found


def can_be_read_back(live: Mapping[Family, Ruleset]) -> bool:
    """Return True if the chains tell by themselves which rules they were loaded for."""
    try:
        read_loaded_documents(live)
    except DocumentError:
        return False
    return True


def documents_of(live: Mapping[Family, Ruleset], held: Document | None) -> dict[Family, Document]:
    """Return the loaded document of each family: `held` where the chains cannot be read back as rules.

    Raise DocumentError as `read_loaded_documents` does.
    """
    try:
        return read_loaded_documents(live)
    except DocumentError:
        if held is None:
            raise
    return {family: held for family, ruleset in live.items() if own_rules(ruleset, FILTERS)}


def _own_part(live: Ruleset) -> Iterator[str]:
    """Yield the lines of a save that holds only dockerfw's chains and anchors."""
    yield "*filter"
    yield from (f":{name} - [0:0]" for name in (DOCKER_USER, *own_chains(live)))
    # An anchor that no packet reaches filters nothing.
    calling = live.chain("filter", DOCKER_USER if docker_user_jumped(live) else FORWARD)
    for rule in calling.rules if calling else ():
        if rule.text.endswith(f" -j {FILTERS_CONTAINERS}"):
            yield f"-A {DOCKER_USER} {body(rule)}"
    for name in own_chains(live):
        yield from (rule.text for rule in own_rules(live, name))
    yield "COMMIT"
    yield ""
