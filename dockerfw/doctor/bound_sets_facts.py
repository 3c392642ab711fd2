"""Read the bound sets, what they should hold, and whether this kernel can create them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from dockerfw.chains.bound_sets import BOUND_SETS, bound_sets_of, follows_host, render_creation
from dockerfw.chains.container_sets import ContainerSet, container_definitions
from dockerfw.chains.static_sets import empty_creation_text
from dockerfw.doctor.bound_sets import BoundSetFacts, Members
from dockerfw.document.values import Document
from dockerfw.host.bound_sets import read_bound_sets
from dockerfw.host.errors import HostError
from dockerfw.host.observation import read_bound_members
from dockerfw.host.privileges import scratch_namespace
from dockerfw.host.runner import Command, CommandFailed, run
from dockerfw.iptables.errors import NetfilterError
from dockerfw.store.bound_sets import describe_binder_problem, sets_of_confirmed
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.state import StateDirectory

# The root worker follows a change of Docker within this time.
AGAIN_SECONDS = 2.0
# Any name of a static set does: it is created in a namespace of its own.
STATIC_EXAMPLE = f"dockerfw4-s{'0' * 20}"


def bound_set_facts(
    state: StateDirectory,
    confirmed: ConfirmedRecord | None,
    saves: Iterable[str],
    docker_socket: Path | None = None,
) -> BoundSetFacts:
    """Read everything in the network namespace of this process; `saves` are its rules. Never raises."""
    needed: tuple[str, ...] = ()
    try:
        named = {*sets_of_confirmed(confirmed), *bound_sets_of(saves)}
        # The lists of groups are no facts of this host.
        needed = tuple(sorted(filter(follows_host, named)))
        if not needed or confirmed is None:
            return BoundSetFacts()
        held, shown = _read(needed, confirmed.document, docker_socket)
        if any(sorted(held.get(name, ())) != sorted(shown[name]) for name in needed):
            time.sleep(AGAIN_SECONDS)
            held, shown = _read(needed, confirmed.document, docker_socket)
    except (HostError, NetfilterError, OSError) as error:
        return BoundSetFacts(needed, why_not=str(error), problem=describe_binder_problem(state))
    return BoundSetFacts(needed, held, shown, problem=describe_binder_problem(state))


def find_sets_fault() -> str | None:
    """Return why the kernel cannot create the sets, empty when it can, None when that was not tried."""
    scratch = scratch_namespace()
    try:
        run(Command((*scratch, "true")))
    except CommandFailed:
        return None
    try:
        text = render_creation((*BOUND_SETS, *_OF_CONTAINERS)) + empty_creation_text([STATIC_EXAMPLE])
        run(Command((*scratch, "ipset", "-exist", "restore"), text.encode("ascii")))
    except CommandFailed as failure:
        return failure.stderr.strip() or failure.reason
    return ""


# One set of each type for rules by name.
_OF_CONTAINERS = tuple(ContainerSet("any", kind).name(4) for kind in ("published", "inside"))


def _read(needed: tuple[str, ...], document: Document, docker_socket: Path | None) -> tuple[Members, Members]:
    definitions = {name: each for name, each in container_definitions(document).items() if name in needed}
    shown = read_bound_members(document.settings.external_interfaces, definitions, docker_socket)
    if shown.why_unknown:
        raise HostError(shown.why_unknown)
    # A set of a rule that the confirmed revision does not have holds nothing.
    return read_bound_sets(needed), {**dict.fromkeys(needed, ()), **shown.members}
