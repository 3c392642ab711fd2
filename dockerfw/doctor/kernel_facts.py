"""Read the rules in the kernel: both backends, and nftables chains of other programs that drop."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dockerfw.chains.log_lines import groups_in
from dockerfw.doctor.bound_sets_facts import bound_set_facts
from dockerfw.doctor.kernel import KernelFacts
from dockerfw.doctor.log import LogFacts
from dockerfw.host.backend import legacy_in_use, read_saves
from dockerfw.host.log_socket import log_readers
from dockerfw.host.observation import observe
from dockerfw.host.runner import Command, CommandFailed, run
from dockerfw.iptables.model import BUILTIN_CHAINS, Backend
from dockerfw.messages.snapshots import Snapshot
from dockerfw.store.confirmed import ConfirmedRecord, read_confirmed, read_drift_record
from dockerfw.store.log_note import read_log_note
from dockerfw.store.records import StateError
from dockerfw.store.state import StateDirectory
from dockerfw.window.window import describe_overdue

_RULE = re.compile(rb"^(?:\[\d+:\d+\] )?-A ", re.MULTILINE)
_KEPT_APART = re.compile(r"^(?:\[\d+:\d+\] )?-A \S+ -i (\S+) -o \1 -j DROP$", re.MULTILINE)


def look_at_kernel(host: str, state: StateDirectory, docker_socket: Path | None = None) -> KernelFacts:
    """Read what this process may read; Docker is asked if a rule names containers. Never raises."""
    confirmed, confirmed_problem = _confirmed(state)
    snapshot = observe(host, static_sets=confirmed.sets if confirmed else ())
    return KernelFacts(
        snapshot=snapshot,
        document=confirmed.document if confirmed else None,
        revision=confirmed.revision if confirmed else 0,
        kept_backend=confirmed.backend if confirmed else None,
        other_backend=_rules_elsewhere(snapshot.backend),
        drops=_drops(),
        window=_window(state),
        released=state.is_released(),
        loaded=confirmed.loaded if confirmed else {},
        confirmed_problem=confirmed_problem,
        docker_gone=read_drift_record(state.path / "seen.json").docker_gone(snapshot),
        sets=bound_set_facts(state, confirmed, snapshot.saves.values(), docker_socket),
        log=_log(state, confirmed, snapshot),
    )


def _log(state: StateDirectory, confirmed: ConfirmedRecord | None, snapshot: Snapshot) -> LogFacts:
    left_out = ""
    with contextlib.suppress(OSError):
        left_out = read_log_note(state)
    return LogFacts(
        wanted=confirmed is not None and confirmed.document.settings.log_refused,
        groups=groups_in(line for save in snapshot.saves.values() for line in save.splitlines()),
        readers=log_readers(),
        left_out=left_out,
    )


def keeps_apart(snapshot: Snapshot) -> bool:
    """Return True if Docker drops traffic between containers of one network."""
    return any(_KEPT_APART.search(save) for save in snapshot.saves.values())


def _confirmed(state: StateDirectory) -> tuple[ConfirmedRecord | None, str]:
    try:
        return read_confirmed(state.boot), ""
    except (StateError, OSError) as error:
        return None, str(error)


def _window(state: StateDirectory) -> bool:
    try:
        record = state.read_window()
        return record is not None and not describe_overdue(record)
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
    """Name the nftables base chains of other programs with policy drop: "inet firewalld filter_INPUT"."""
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
