"""Check the rules in the kernel: the backend, dockerfw's chains and jumps, and tables of other programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from dockerfw.chains import sentences
from dockerfw.chains.drift import OF_DOCKER, WAYS_IN, Drift, DriftCode, docker_findings
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.sentences import describe_tables
from dockerfw.doctor.bound_sets import BoundSetFacts, judge_bound_sets
from dockerfw.doctor.finding import Finding, note, ok, problem, unknown
from dockerfw.doctor.log import LogFacts, judge_log
from dockerfw.document.values import Document
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Backend, Family
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.sentences import LEGACY_NOT_PRINTED
from dockerfw.iptables.unprinted import Unprinted
from dockerfw.messages.snapshot_values import drift_of
from dockerfw.messages.snapshots import Snapshot

CHECKS: Final = (
    *("backend.readable", "backend.docker", "backend.other", "backend.iptables"),
    *("chains.confirmed", "chains.sets", "chains.log", "chains.foreign"),
    *("anchors.first", "anchors.docker-user", "anchors.interfaces"),
)
_ANCHORS: Final[frozenset[DriftCode]] = frozenset(
    ("anchor-missing", "anchor-not-first", "anchor-stale", "own-jump-not-needed")
)
_DOCKER_USER: Final[frozenset[DriftCode]] = frozenset(
    ("docker-user-not-called", "docker-user-not-first", "docker-user-unclear", "docker-rules-gone")
)
_ELSEWHERE: Final[frozenset[DriftCode]] = frozenset(("unread", "other-backend"))
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_OLDEST_TRIED = (1, 8, 7)

SET_BACKEND: Final = 'set "firewall-backend": "iptables" in /etc/docker/daemon.json; systemctl restart docker'
LOAD_AGAIN: Final = "{command} rollback {number} -m 'as confirmed'"


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """The rules in the kernel; `snapshot` is None when they could not be read, and `why_not` says why.

    `other_backend` is the number of rules in the backend that is not in use. `drops` names the nftables base
    chains of other programs whose policy is drop, None when they could not be read. `window` is true while a
    revision waits for confirmation, `released` after an admin ran `release`. `command` is the name of the
    command line here. `loaded` holds the rules that the root worker loaded for the confirmed revision.
    `confirmed_problem` says why the record of the confirmed revision cannot be read. `docker_gone` are the
    families in which Docker's own rules are gone. `sets` are the bound sets, None where this process cannot
    see them. `log` is about the log of refused packets.
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
    loaded: Mapping[Family, Rendering] = field(default_factory=dict)
    command: str = "dockerfw"
    confirmed_problem: str = ""
    docker_gone: tuple[Family, ...] = ()
    sets: BoundSetFacts | None = None
    log: LogFacts | None = None


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
    yield judge_bound_sets(facts.sets)
    yield judge_log(facts.log)
    yield _foreign(facts.drops, snapshot.foreign_tables)
    yield from _chains(snapshot, facts)


def _readable(snapshot: Snapshot) -> Finding:
    check = "backend.readable"
    if not snapshot.unread:
        return ok(check, f"The rules could be read with iptables-{snapshot.backend}-save.")
    if snapshot.unprinted:
        family, one = snapshot.unprinted[0]
        text = f"Not all rules can be read. {sentences.of_family(family, one.sentence)}."
        return problem(check, text, _remedy(family, one))
    words = " ".join(error.stderr.strip() for error in snapshot.errors if error.stderr.strip())[:400]
    if snapshot.backend == "nft" and "not supported" in words:
        todo = "modprobe nf_tables; if the kernel has none: update-alternatives --config iptables"
    else:
        todo = f"iptables-{snapshot.backend}-save"
    return problem(check, f"The rules could not be read: {words or 'no message'}", todo)


def _remedy(family: Family, unprinted: Unprinted) -> str:
    if unprinted.sentence == LEGACY_NOT_PRINTED:
        stem = "iptables" if family == 4 else "ip6tables"
        return f"{stem}-legacy-save, then remove these rules, or reboot"
    table = f"{'ip' if family == 4 else 'ip6'} {unprinted.table}"
    return f"nft list table {table}, then move the rules that nft added to a table of their own"


def _docker(snapshot: Snapshot, facts: KernelFacts) -> Finding:
    check, found, kept = "backend.docker", snapshot.docker_backends, facts.kept_backend
    if snapshot.docker_state == "nftables":
        text = "Docker uses nftables, whose rules dockerfw cannot read: who reaches containers is unknown."
        return note(check, text, SET_BACKEND)
    if len(found) > 1:
        text = "Docker's chains are in both backends, nft and legacy, and the kernel applies both."
        return problem(check, text, "reboot, so that only the backend that Docker uses now has them")
    if not found:
        return ok(check, "Docker has no chains here.")
    if kept is not None and kept != found[0]:
        text = f"Docker uses the {found[0]} backend, but the confirmed revision was loaded into {kept}."
        return problem(check, text, f"{facts.command} apply -m 'into the backend that Docker uses'")
    return ok(check, f"Docker's chains are in the {found[0]} backend.")


def _other(backend: Backend, count: int | None) -> Finding:
    check = "backend.other"
    other = "legacy" if backend == "nft" else "nft"
    if count is None:
        return unknown(check, "needs root on the host to read the other backend")
    if not count:
        return ok(check, f"The {other} backend holds no rules.")
    text = f"The {other} backend also holds {count} rules. dockerfw reads only {backend}, the kernel both."
    return note(check, text, f"iptables-{other}-save; ip6tables-{other}-save")


def _iptables(snapshot: Snapshot) -> Finding:
    check, words = "backend.iptables", snapshot.versions["iptables"]
    found = _VERSION.search(words)
    if found is None:
        return problem(check, "The version of iptables is unknown.", "apt-get install iptables")
    version = tuple(map(int, found.groups()))
    if version < _OLDEST_TRIED:
        text = f"{words} is older than any version that dockerfw is tested with."
        return note(check, text, "apt-get install --only-upgrade iptables")
    if version == (1, 8, 9) and snapshot.backend == "nft" and 6 in snapshot.families:
        text = "ip6tables 1.8.9 loses counters: hits of IPv6 rules start at zero with each apply."
        return note(check, text, "nothing, or iptables 1.8.10 or later")
    return ok(check, f"{words} is in use.")


def _foreign(drops: tuple[str, ...] | None, tables: tuple[str, ...]) -> Finding:
    check = "chains.foreign"
    if tables and not drops:
        return note(check, describe_tables(tables), f"nft list table {tables[0]}")
    if drops is None:
        return unknown(check, "nft is not installed, or needs root")
    if not drops:
        return ok(check, "No other nftables table filters packets.")
    text = (
        f"nftables drops by policy in {', '.join(drops)}: traffic that dockerfw allows has to pass there too."
    )
    family, table = drops[0].split()[:2]
    return note(check, text, f"nft list table {family} {table}")


def _chains(snapshot: Snapshot, facts: KernelFacts) -> Iterator[Finding]:
    checks = ("chains.confirmed", "anchors.first", "anchors.docker-user", "anchors.interfaces")
    if facts.confirmed_problem:
        why = f"the confirmed revision is not known: {facts.confirmed_problem}"
        yield from (unknown(check, why) for check in checks)
        return
    if facts.document is None:
        yield note(checks[0], "No revision is confirmed yet.", f"{facts.command} apply -m 'the first rules'")
        yield from (ok(check, "No revision is loaded yet.") for check in checks[1:])
        return
    if facts.window:
        text = "A revision waits for confirmation: the loaded rules are not the confirmed ones."
        yield note(checks[0], text, f"{facts.command} confirm, or {facts.command} cancel")
        yield from (ok(check, "A revision waits for confirmation.") for check in checks[1:])
        return
    try:
        drift = _drift(snapshot, facts.document, facts)
    except NetfilterError as error:
        yield from (unknown(check, f"the rules cannot be parsed: {error}") for check in checks)
        return
    again = LOAD_AGAIN.format(command=facts.command, number=facts.revision)
    if facts.released:
        again += f" (an admin took dockerfw out with {facts.command} release)"
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
        else ok(checks[1], "The jumps to dockerfw's chains come first.")
    )
    yield (
        problem(checks[2], words["docker-user"], _restore_the_way(drift, again))
        if words["docker-user"]
        else ok(checks[2], "FORWARD calls dockerfw's chains wherever containers have addresses.")
    )
    yield _ways_in(drift)


def _ways_in(drift: Drift) -> Finding:
    check = "anchors.interfaces"
    found = [finding for finding in drift.findings if finding.code in WAYS_IN]
    if not found:
        return ok(check, "Packets from outside arrive on external interfaces only.")
    text = " ".join(finding.message for finding in found)
    if all(finding.code == "interfaces-unread" for finding in found):
        return unknown(check, text)
    return problem(check, text, sentences.way_in_help(found[0].code))


def _restore_the_way(drift: Drift, again: str) -> str:
    """Return what leads forwarded packets to dockerfw's chains again."""
    codes = {finding.code for finding in drift.findings}
    if "docker-user-not-called" in codes and codes.isdisjoint(OF_DOCKER):
        return again
    return "systemctl restart docker"


def _drift(snapshot: Snapshot, document: Document, facts: KernelFacts) -> Drift:
    rulesets = {family: parse_save(snapshot.saves[family]) for family in snapshot.families}
    # The dashboard shows what happened to the host since.
    without_confirmed = replace(snapshot, confirmed=None)
    drift = drift_of(without_confirmed, rulesets, document, facts.revision, loaded=facts.loaded)
    return Drift((*drift.findings, *docker_findings(facts.docker_gone)))


def _words(drift: Drift) -> Mapping[str, str]:
    found: dict[str, list[str]] = {"chains": [], "anchors": [], "docker-user": []}
    for finding in drift.findings:
        if finding.code in _ELSEWHERE | WAYS_IN:
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
