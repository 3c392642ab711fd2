"""Judge what the kernel holds: the backend, our chains, their anchors, and who refuses beside us."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from dockerfw.chains.drift import Drift, DriftCode
from dockerfw.chains.sentences import describe_tables
from dockerfw.doctor.finding import Finding, note, ok, problem, unknown
from dockerfw.document.values import Document
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Backend
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import drift_of
from dockerfw.messages.snapshots import Snapshot

CHECKS: Final = (
    *("backend.readable", "backend.docker", "backend.other", "backend.iptables"),
    *("chains.confirmed", "chains.foreign", "anchors.first", "anchors.docker-user"),
)
_ANCHORS: Final[frozenset[DriftCode]] = frozenset(("anchor-missing", "anchor-not-first", "anchor-stale"))
_DOCKER_USER: Final[frozenset[DriftCode]] = frozenset(
    ("docker-user-not-called", "docker-user-not-first", "docker-nftables")
)
_ELSEWHERE: Final[frozenset[DriftCode]] = frozenset(("unread", "other-backend"))
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_OLDEST_TRIED = (1, 8, 7)

LOAD_AGAIN: Final = "{command} rollback {number} -m 'as confirmed'"


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """What was seen of the kernel, None when it could not be looked at, and then `why_not`.

    `other_backend` is how many rules the backend holds that is not in use. `drops` name the base chains of
    nftables, iptables' own left out, whose policy is to drop; None where nobody could ask. `window` says that
    an apply waits to be kept, `released` that somebody let go of the host on its console. `command` is how
    the command line is called here.
    """

    snapshot: Snapshot | None
    why_not: str = ""
    document: Document | None = None
    revision: int = 0
    kept_backend: Backend | None = None
    other_backend: int | None = None
    drops: tuple[str, ...] | None = None
    window: bool = False
    released: bool = False
    command: str = "dockerfw"


def judge_kernel(facts: KernelFacts) -> Iterator[Finding]:
    """Judge all of it."""
    snapshot = facts.snapshot
    if snapshot is None:
        yield from (unknown(check, facts.why_not) for check in CHECKS)
        return
    yield _readable(snapshot)
    yield _docker(snapshot, facts)
    yield _other(snapshot.backend, facts.other_backend)
    yield _iptables(snapshot)
    yield _foreign(facts.drops, snapshot.foreign_tables)
    yield from _chains(snapshot, facts)


def _readable(snapshot: Snapshot) -> Finding:
    check = "backend.readable"
    if not snapshot.unread:
        return ok(check, f"The rules could be read with iptables-{snapshot.backend}-save.")
    words = " ".join(error.stderr.strip() for error in snapshot.errors if error.stderr.strip())[:400]
    if snapshot.backend == "nft" and "not supported" in words:
        todo = "modprobe nf_tables; if the kernel has none: update-alternatives --config iptables"
    else:
        todo = f"iptables-{snapshot.backend}-save"
    return problem(check, f"The rules could not be read: {words or 'no message'}", todo)


def _docker(snapshot: Snapshot, facts: KernelFacts) -> Finding:
    check, found, kept = "backend.docker", snapshot.docker_backends, facts.kept_backend
    if snapshot.docker_state == "nftables":
        text = "Docker filters with nftables itself and has no DOCKER-USER: rules for containers cannot work."
        todo = 'set "firewall-backend": "iptables" in /etc/docker/daemon.json; systemctl restart docker'
        return problem(check, text, todo)
    if len(found) > 1:
        text = "Docker's chains are in both backends, nft and legacy; the kernel asks both."
        return problem(check, text, "reboot, so that only the backend that Docker uses now has them")
    if not found:
        return ok(check, "Docker has no chains here.")
    if kept is not None and kept != found[0]:
        text = (
            f"Docker's chains are in the {found[0]} backend; the confirmed revision was loaded into {kept}."
        )
        return problem(check, text, f"{facts.command} apply -m 'into the backend that Docker uses'")
    return ok(check, f"Docker's chains are in the {found[0]} backend.")


def _other(backend: Backend, count: int | None) -> Finding:
    check = "backend.other"
    other = "legacy" if backend == "nft" else "nft"
    if count is None:
        return unknown(check, "only root on the host can look into the other backend")
    if not count:
        return ok(check, f"The {other} backend holds no rules.")
    text = (
        f"The {other} backend holds {count} rules as well; the kernel asks both, and dockerfw sees {backend}."
    )
    return note(check, text, f"iptables-{other}-save; ip6tables-{other}-save")


def _iptables(snapshot: Snapshot) -> Finding:
    check, words = "backend.iptables", snapshot.versions["iptables"]
    found = _VERSION.search(words)
    if found is None:
        return problem(check, "iptables does not tell its version.", "apt-get install iptables")
    version = tuple(map(int, found.groups()))
    if version < _OLDEST_TRIED:
        text = f"{words} is older than any that dockerfw was tried with."
        return note(check, text, "apt-get install --only-upgrade iptables")
    if version == (1, 8, 9) and snapshot.backend == "nft" and 6 in snapshot.families:
        text = "ip6tables 1.8.9 drops counters: hits of IPv6 rules start at zero with each apply."
        return note(check, text, "nothing, or iptables 1.8.10 or later")
    return ok(check, f"{words} is in use.")


def _foreign(drops: tuple[str, ...] | None, tables: tuple[str, ...]) -> Finding:
    check = "chains.foreign"
    if tables and not drops:
        return note(check, describe_tables(tables), f"nft list table {tables[0]}")
    if drops is None:
        return unknown(check, "nft is not installed, or only root can ask it")
    if not drops:
        return ok(check, "No table of nftables' own filters beside iptables.")
    text = f"nftables drops by policy in {', '.join(drops)}: what dockerfw allows needs its yes as well."
    family, table = drops[0].split()[:2]
    return note(check, text, f"nft list table {family} {table}")


def _chains(snapshot: Snapshot, facts: KernelFacts) -> Iterator[Finding]:
    checks = ("chains.confirmed", "anchors.first", "anchors.docker-user")
    if facts.document is None:
        yield note(checks[0], "No revision was confirmed yet.", f"{facts.command} apply -m 'the first rules'")
        yield from (ok(check, "Nothing is loaded yet.") for check in checks[1:])
        return
    if facts.window:
        text = "An apply waits to be kept: other rules than the confirmed ones are loaded."
        yield note(checks[0], text, f"{facts.command} confirm, or {facts.command} cancel")
        yield from (ok(check, "An apply waits to be kept.") for check in checks[1:])
        return
    try:
        drift = _drift(snapshot, facts.document, facts.revision)
    except NetfilterError as error:
        yield from (unknown(check, f"the rules make no sense: {error}") for check in checks)
        return
    again = LOAD_AGAIN.format(command=facts.command, number=facts.revision)
    if facts.released:
        again += f" (somebody let go of the host with {facts.command} release)"
    words = _words(drift)
    number = facts.revision
    yield (
        problem(checks[0], words["chains"], again)
        if words["chains"]
        else ok(checks[0], f"The kernel holds revision {number} as it was confirmed.")
    )
    yield (
        problem(checks[1], words["anchors"], again)
        if words["anchors"]
        else ok(checks[1], "dockerfw's chains are asked first.")
    )
    todo = "systemctl restart docker"
    if "IPv6" in words["docker-user"]:
        todo += (
            "; Docker 20.10 with experimental ip6tables never calls it for IPv6: switch that off or upgrade"
        )
    yield (
        problem(checks[2], words["docker-user"], todo)
        if words["docker-user"]
        else ok(checks[2], "DOCKER-USER is called wherever Docker filters.")
    )


def _drift(snapshot: Snapshot, document: Document, revision: int) -> Drift:
    rulesets = {family: parse_save(snapshot.saves[family]) for family in snapshot.families}
    # What happened to the host since is for the dashboard to tell.
    return drift_of(replace(snapshot, confirmed=None), rulesets, document, revision)


def _words(drift: Drift) -> Mapping[str, str]:
    found: dict[str, list[str]] = {"chains": [], "anchors": [], "docker-user": []}
    for finding in drift.findings:
        if finding.code in _ELSEWHERE:
            continue
        kind = (
            "anchors"
            if finding.code in _ANCHORS
            else "docker-user"
            if finding.code in _DOCKER_USER
            else "chains"
        )
        found[kind].append(finding.message)
    return {kind: " ".join(texts) for kind, texts in found.items()}
