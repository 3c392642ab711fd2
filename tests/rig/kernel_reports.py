"""What a root worker would say of a kernel that holds a document, made by the renderer.

The kernel's own answers are tested in tests/kernel; here it is about what the web makes of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from dockerfw.chains.render import render, wanted_chains
from dockerfw.document.document import Document, digest
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.messages.codec import dump_json
from dockerfw.messages.confirmed import Confirmed
from dockerfw.messages.loaded import LoadedRules, loaded_key
from dockerfw.messages.outcomes import Outcome, progress_key
from dockerfw.messages.session_groups import SessionGroups
from dockerfw.messages.snapshot_values import listening_of, surroundings_of
from dockerfw.messages.snapshots import CommandError, DockerState, Snapshot, saves_digest, snapshot_key
from dockerfw.messages.surroundings import Interface, SetMembers, StaticSetState
from dockerfw.reach.bound_sets import with_bound_sets
from rules.link import client
from rules.models import Apply, Host
from rules.seen import snapshot_selectors

CLEAN = """*filter
:INPUT ACCEPT [10:1000]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [12:1200]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
[0:0] -A FORWARD -j DOCKER-USER
[0:0] -A DOCKER-USER -j RETURN
COMMIT
"""

# What a snapshot says of a family whose rules could not be read; a save without rules is empty, too.
UNREAD_6 = (CommandError(("ip6tables-nft-save", "-c"), 1, "ip6tables-nft-save failed"),)


def save_of(document: Document | None, family: Family, revision: int = 0, *, packets: int = 0) -> str:
    """Return a save of a host with Docker, holding a document's chains, or none of ours."""
    if document is None:
        return CLEAN
    hits = f"[{packets}:{packets * 60}]"
    chains = wanted_chains(document, family, revision)
    lines = ["*filter", ":INPUT ACCEPT [10:1000]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [12:1200]"]
    lines += [":DOCKER - [0:0]", ":DOCKER-USER - [0:0]", *(f":{name} - [0:0]" for name in sorted(chains))]
    lines += [f"{hits} -A INPUT -j FILTERS-HOST", "[0:0] -A FORWARD -j DOCKER-USER"]
    for name in document.settings.external_interfaces:
        lines.append(f"[0:0] -A DOCKER-USER -i {name} -j FILTERS-CONTAINERS")
    lines.append("[0:0] -A DOCKER-USER -j RETURN")
    lines += [f"{hits} -A {chain} {line}" for chain in sorted(chains) for line in chains[chain]]
    return "\n".join([*lines, "COMMIT", ""])


def snapshot_store(
    host: Host,
    document: Document | None = None,
    revision: int = 0,
    *,
    age: float = 0.0,
    packets: int = 0,
    saves: dict[Family, str] | None = None,
    bridge: tuple[str, ...] = (),
    sessions: SessionGroups | None = None,
    docker_state: DockerState = "iptables",
    families: tuple[Family, ...] = FAMILIES,
    confirmed: Confirmed | None = None,
    around: Mapping[str, Any] | None = None,
    forget: bool = True,
) -> datetime:
    """Store a snapshot that was taken `age` seconds ago, as the root worker would; return when.

    `around` are fields of the snapshot that are other than usual, such as its sockets. With `forget`, the web
    process has seen none before it.
    """
    if forget:
        snapshot_selectors._newest.clear()
    taken = timezone.now() - timedelta(seconds=age)
    both: dict[Family, str] = saves or {
        4: save_of(document, 4, revision, packets=packets),
        6: save_of(document, 6, revision, packets=packets),
    }
    snapshot = Snapshot(
        host=host.name,
        taken_at=_text(taken),
        backend="nft",
        docker_state=docker_state,
        saves=both,
        interfaces=(
            Interface("docker0", bridge, True, kind="bridge"),
            Interface("ens33", ("192.0.2.1/24", "2001:db8::1/64"), True),
            Interface("lo", ("127.0.0.1/8", "::1/128"), True),
        ),
        default_routes={4: ("ens33",), 6: ()},
        published=(),
        versions={"iptables": "1.8.9", "kernel": "6.1"},
        errors=(),
        sha256=saves_digest(both),
        sessions=sessions,
        families=families,
        confirmed=confirmed,
    )
    snapshot = replace(snapshot, **(around or {}))
    if document is not None and not snapshot.static_sets:
        snapshot = replace(snapshot, static_sets=tuple(_static_sets(document, revision, both)))
    if not snapshot.sets:
        snapshot = replace(snapshot, sets=tuple(_bound_sets(snapshot)))
    client.connection().set(snapshot_key(host.name), dump_json(snapshot.to_json()))
    return taken


def _static_sets(document: Document, revision: int, saves: dict[Family, str]) -> Iterator[StaticSetState]:
    """Yield the states of the source lists that the rules match, all as they were loaded."""
    for family, save in saves.items():
        for one in render(document, family, revision).sets:
            if one.name in save:
                yield StaticSetState(one.name, len(one.members))


def _bound_sets(snapshot: Snapshot) -> Iterator[SetMembers]:
    """Yield the sets that the rules name, with the members that the root worker gives them."""
    found = with_bound_sets(surroundings_of(snapshot), listening_of(snapshot, {}), ("ens33",)).sets
    for each in found.values():
        if any(f"--match-set {each.name} " in save for save in snapshot.saves.values()):
            yield SetMembers(each.name, each.type, each.members, each.options)


def loaded_store(host: Host, document: Document, revision: int) -> None:
    """Store the rules that a revision is rendered to, as the root worker does when it has loaded them."""
    rules = {family: render(document, family, revision) for family in FAMILIES}
    loaded = LoadedRules.of(host.name, revision, digest(document), rules)
    client.connection().set(loaded_key(host.name), dump_json(loaded.to_json()))


def outcome_of(apply: Apply, state: str, event: int, changes: dict[str, object] | None = None) -> Outcome:
    """Return an outcome as the root worker would send it."""
    now = _text(timezone.now())
    failed = state == "failed"
    value: dict[str, object] = {
        "format": "dockerfw-outcome/1",
        "apply": str(apply.pk),
        "host": apply.host.name,
        "event": event,
        "state": state,
        "at": now,
        "steps": [
            {"name": "lock", "state": "done", "at": now, "seconds": 0.01, "detail": ""},
            {
                "name": "validate",
                "state": "failed" if failed else "done",
                "at": now,
                "seconds": 0.02,
                "detail": "",
            },
        ],
        "error": None,
        "loaded": None,
        "window": None,
        "way_back": None,
    }
    if failed:
        value["error"] = {
            "step": "validate",
            "summary": "iptables-restore refused line 7.",
            "command": ["iptables-restore", "-n"],
            "exit_status": 1,
            "stderr": "line 7 failed",
            "line_number": 7,
            "line": "-A FILTERS -j NOWHERE",
        }
    if state == "awaiting":
        value["window"] = window_of(apply.window_seconds)
    if state == "rolled_back":
        value["way_back"] = {"reason": "silence", "summary": "The window ended without an answer."}
    return Outcome.from_json({**value, **(changes or {})})


def window_of(seconds: int, *, left: float | None = None) -> dict[str, object]:
    """Return a window of `seconds` that stays open for `left` more, all of it when not given."""
    remaining = float(seconds) if left is None else left
    deadline = timezone.now() + timedelta(seconds=remaining)
    return {"deadline": _text(deadline), "seconds_left": max(0.0, remaining), "seconds": seconds}


def progress_store(outcome: Outcome) -> None:
    """Store an outcome as live progress."""
    client.connection().set(
        progress_key(outcome.host, str(uuid.UUID(outcome.apply))), dump_json(outcome.to_json())
    )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
