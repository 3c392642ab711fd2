"""Drift: how what the kernel holds differs from the revision that was confirmed last, finding by finding.

Owns the comparison, and says of each difference what it means, which lines make it up, and who probably made
it (suspects.py). It works on rulesets and on a few facts that somebody hands it; it repairs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.chains.anchors import anchor_place, anchored_interfaces, first_foreign, wanted_anchors
from dockerfw.chains.causes import (
    DriftFacts,
    who_bypassed,
    who_changed_rules,
    who_emptied,
    who_relabelled,
    who_removed_anchor,
    who_stands_before,
)
from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS,
    OWN_CHAINS,
    PANIC,
    Label,
    container_anchor,
    label_of,
    own_rules,
    without_label,
)
from dockerfw.chains.owners import FAMILY_NAMES
from dockerfw.chains.pairing import Pairing, pair_lines
from dockerfw.chains.render import wanted_chains
from dockerfw.chains.warnings import docker_user_bypassed, past_docker_user
from dockerfw.document.document import digest
from dockerfw.document.values import Document, Settings
from dockerfw.document.words import counted
from dockerfw.iptables.model import Family, Ruleset

Code = Literal[
    "unread",
    "nothing-loaded",
    "chain-replaced",
    "other-revision",
    "rules-changed",
    "reordered",
    "panic",
    "anchor-missing",
    "anchor-not-first",
    "anchor-stale",
    "docker-user-not-called",
    "docker-user-not-first",
    "other-backend",
    "docker-nftables",
]

ANCHORS: Final[frozenset[Code]] = frozenset(("anchor-missing", "anchor-not-first"))
"""What can be put right without touching our chains: only their calls are not where they belong."""

WITHOUT_EFFECT: Final[frozenset[Code]] = frozenset(
    ("docker-user-not-called", "docker-user-not-first", "docker-nftables")
)
"""The revision is loaded as it was, and its rules for containers are not asked, or not about everything."""


@dataclass(frozen=True, slots=True)
class DriftLine:
    """A line that differs: "+" is in the kernel and not in the revision, "-" the other way round."""

    sign: Literal["+", "-"]
    text: str


@dataclass(frozen=True, slots=True)
class DriftFinding:
    """One difference: `what` is a sentence that begins with the family, where it is one family's.

    `who` says who probably made it and by what that shows; empty when nothing tells.
    """

    code: Code
    family: Family | None
    message: str
    cause: str = ""
    lines: tuple[DriftLine, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the finding as a JSON object."""
        return {
            "code": self.code,
            "family": self.family,
            "what": self.message,
            "who": self.cause,
            "lines": [f"{line.sign} {line.text}" for line in self.lines],
        }


@dataclass(frozen=True, slots=True)
class Drift:
    """All differences, none when the kernel holds the revision with its anchors first."""

    findings: tuple[DriftFinding, ...] = ()

    @property
    def only_anchors(self) -> bool:
        """Whether there is something to repair, and putting the anchors back repairs all of it."""
        return bool(self.findings) and all(finding.code in ANCHORS for finding in self.findings)

    @property
    def mark(self) -> str:
        """A short mark of what differs, the same as long as the same differs; empty when nothing does."""
        if not self.findings:
            return ""
        parts = [
            (each.code, each.message, [f"{line.sign}{line.text}" for line in each.lines])
            for each in self.findings
        ]
        text = repr(parts)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def find_drift(
    document: Document,
    revision: int,
    live: Mapping[Family, Ruleset],
    around: DriftFacts | None = None,
    *,
    families: Sequence[Family] = (4, 6),
) -> Drift:
    """Compare the kernel with a revision's document, for the families that this kernel speaks.

    One of them that is not in `live` could not be read, which is a finding of its own.
    """
    facts = around or DriftFacts()
    findings = [*_host_findings(document.settings, facts)]
    for family in families:
        ruleset = live.get(family)
        if ruleset is None:
            findings.append(DriftFinding("unread", family, _of(family, "the rules could not be read.")))
            continue
        findings += _chain_findings(document, revision, family, ruleset, facts)
        findings += _anchor_findings(document.settings, family, ruleset, facts)
    return Drift(tuple(findings))


def _of(family: Family, sentence: str) -> str:
    return f"{FAMILY_NAMES[family]}: {sentence}"


def _host_findings(settings: Settings, facts: DriftFacts) -> Iterator[DriftFinding]:
    if facts.docker_moved_to:
        ours = f"dockerfw's were loaded into iptables-{facts.kept_backend}"
        what = f"Docker's chains are in iptables-{facts.docker_moved_to} now, and {ours}."
        who = "Docker was probably started again after the host's iptables was switched to the other backend."
        yield DriftFinding("other-backend", None, what, who)
    if facts.docker_nftables and settings.external_interfaces:
        what = "Docker filters with nftables itself, so rules for containers have no effect."
        who = "Docker's setting firewall-backend says nftables; with iptables it calls DOCKER-USER."
        yield DriftFinding("docker-nftables", None, what, who)


def _chain_findings(
    document: Document, revision: int, family: Family, live: Ruleset, facts: DriftFacts
) -> Iterator[DriftFinding]:
    wanted = wanted_chains(document, family, revision)
    pairings = {
        chain: pair_lines(chain, wanted[chain], own_rules(live, chain), family) for chain in OWN_CHAINS
    }
    lines = tuple(_difference(wanted, pairings))
    rules = own_rules(live, FILTERS)
    if not any(own_rules(live, chain) for chain in OWN_CHAINS):
        what = _of(family, "nothing of dockerfw is loaded.")
        yield DriftFinding("nothing-loaded", family, what, who_emptied(live, facts), lines)
        return
    label = label_of(rules[-1].text) if rules else None
    if label is None and rules:
        what = _of(family, "the chain FILTERS is not dockerfw's.")
        yield DriftFinding("chain-replaced", family, what, who_changed_rules(live, rules), lines)
        return
    if label is not None and label != Label(revision, digest(document)[:12]):
        what = _of(family, f"the kernel says that revision {label.revision} ({label.digest}) is loaded.")
        yield DriftFinding("other-revision", family, what, who_relabelled(facts))
    if lines:
        unwanted = [rule for pairing in pairings.values() for rule in pairing.rest]
        what = _of(family, _changed_words(revision, live, pairings))
        yield DriftFinding("rules-changed", family, what, who_changed_rules(live, unwanted), lines)
    elif not all(pairing.in_order for pairing in pairings.values()):
        what = _of(family, "the rules are loaded in another order.")
        yield DriftFinding("reordered", family, what, who_changed_rules(live, ()))


def _difference(wanted: Mapping[str, Sequence[str]], pairings: Mapping[str, Pairing]) -> Iterator[DriftLine]:
    for chain, pairing in pairings.items():
        for line, rule in zip(wanted[chain], pairing.live, strict=True):
            if rule is None:
                yield DriftLine("-", f"-A {chain} {without_label(line)}")
        for rule in pairing.rest:
            yield DriftLine("+", rule.text)


def _changed_words(revision: int, live: Ruleset, pairings: Mapping[str, Pairing]) -> str:
    gone = [chain for chain in OWN_CHAINS if live.chain("filter", chain) is None]
    missing = sum(1 for pairing in pairings.values() for rule in pairing.live if rule is None)
    unwanted = sum(len(pairing.rest) for pairing in pairings.values())
    words = [f"the chain {chain} is gone." for chain in gone]
    if missing:
        words.append(f"{counted(missing, 'rule')} of revision {revision} {_are(missing)} not loaded.")
    if unwanted:
        had = f"that revision {revision} does not have."
        words.append(f"{counted(unwanted, 'rule')} {_are(unwanted)} loaded {had}")
    return " ".join(words)


def _anchor_findings(
    settings: Settings, family: Family, live: Ruleset, facts: DriftFacts
) -> Iterator[DriftFinding]:
    if live.chain("filter", PANIC) is not None:
        what = "somebody on its console has called a panic, so all but who was named is refused."
        who = f"`{facts.command} panic --off` on the host's console ends it."
        yield DriftFinding("panic", family, _of(family, what), who)
    # Who took everything away was said already.
    emptied = not any(own_rules(live, chain) for chain in OWN_CHAINS)
    for chain, anchors in wanted_anchors(settings).items():
        found = live.chain("filter", chain)
        for text in anchors:
            place = anchor_place(live, chain, text)
            if place == "missing":
                what = _of(family, f"{chain} does not call dockerfw ({text} is missing).")
                who = "" if emptied else who_removed_anchor(live, chain, facts)
                lines = (DriftLine("-", f"-A {chain} {text}"),)
                yield DriftFinding("anchor-missing", family, what, who, lines)
            elif place == "not first":
                what = _of(family, f"somebody's rule stands before {text} in {chain}.")
                before = first_foreign(found.rules, anchors) if found else None
                line = (DriftLine("+", before.text),) if before else ()
                yield DriftFinding("anchor-not-first", family, what, who_stands_before(before), line)
    for name in anchored_interfaces(live):
        if name not in settings.external_interfaces:
            what = f"{DOCKER_USER} still calls dockerfw for {name}, which is not external any more."
            lines = (DriftLine("+", f"-A {DOCKER_USER} {container_anchor(name)}"),)
            yield DriftFinding("anchor-stale", family, _of(family, what), "", lines)
    if settings.external_interfaces and docker_user_bypassed(live):
        what = "FORWARD does not call DOCKER-USER, so rules for containers have no effect."
        yield DriftFinding(
            "docker-user-not-called", family, _of(family, what), who_bypassed(family, live, facts)
        )
    past = past_docker_user(settings, live) if settings.external_interfaces else None
    if past is not None:
        what = "a rule in FORWARD lets packets in before DOCKER-USER is asked, so past rules for containers."
        lines = (DriftLine("+", past.text),)
        yield DriftFinding("docker-user-not-first", family, _of(family, what), who_stands_before(past), lines)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
