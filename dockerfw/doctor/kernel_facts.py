"""Gather what the kernel holds, for the doctor: both backends, and who drops beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from dockerfw.doctor.kernel import KernelFacts
from dockerfw.document.values import Document
from dockerfw.host.backend import legacy_in_use, read_saves
from dockerfw.host.observation import observe
from dockerfw.host.runner import Command, CommandFailed, run
from dockerfw.iptables.model import BUILTIN_CHAINS, Backend
from dockerfw.messages.snapshots import Snapshot
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.records import StateError
from dockerfw.store.state import StateDirectory
from dockerfw.window.window import overstay_words

_RULE = re.compile(rb"^(?:\[\d+:\d+\] )?-A ", re.MULTILINE)
_KEPT_APART = re.compile(r"^(?:\[\d+:\d+\] )?-A \S+ -i (\S+) -o \1 -j DROP$", re.MULTILINE)


def look_at_kernel(host: str, state: StateDirectory) -> KernelFacts:
    """Look at everything that this process may look at; never raises."""
    snapshot = observe(host)
    document, revision, kept_backend = _confirmed(state)
    return KernelFacts(
        snapshot=snapshot,
        document=document,
        revision=revision,
        kept_backend=kept_backend,
        other_backend=_rules_elsewhere(snapshot.backend),
        drops=_drops(),
        window=_window(state),
        released=state.is_released(),
    )


def keeps_apart(snapshot: Snapshot) -> bool:
    """Say whether Docker was told to drop what crosses one of its bridges."""
    return any(_KEPT_APART.search(save) for save in snapshot.saves.values())


def _confirmed(state: StateDirectory) -> tuple[Document | None, int, Backend | None]:
    try:
        confirmed = read_confirmed(state.boot)
    except (StateError, OSError):
        confirmed = None
    if confirmed is None:
        return None, 0, None
    return confirmed.document, confirmed.revision, confirmed.backend


def _window(state: StateDirectory) -> bool:
    try:
        record = state.read_window()
        return record is not None and not overstay_words(record)
    except (StateError, OSError):
        return False


def _rules_elsewhere(backend: Backend) -> int | None:
    if backend == "nft" and not legacy_in_use():
        return 0
    saves = read_saves("legacy" if backend == "nft" else "nft").values()
    if all(isinstance(save, CommandFailed) for save in saves):
        return None
    return sum(len(_RULE.findall(save)) for save in saves if isinstance(save, bytes))


def _drops() -> tuple[str, ...] | None:
    """Name nftables' own base chains that drop by policy: "inet firewalld filter_INPUT"."""
    try:
        listing = json.loads(run(Command(("nft", "--json", "list", "chains"))))
    except (CommandFailed, ValueError):
        return None
    return tuple(_dropping(listing.get("nftables", ())))


def _dropping(items: list[dict[str, Any]]) -> Iterator[str]:
    for item in items:
        chain = item.get("chain", {})
        if chain.get("policy") != "drop":
            continue
        if chain["family"] in ("ip", "ip6") and chain["table"] in BUILTIN_CHAINS:
            continue
        yield f"{chain['family']} {chain['table']} {chain['name']}"
