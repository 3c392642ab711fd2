"""Drift: the differences between the kernel and the revision that was confirmed last.

Each finding has its meaning, the lines that differ and the likely cause (causes.py). healing.py repairs some.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from dockerfw.chains import drift_sentences, sentences
from dockerfw.chains.anchors import anchor_place, anchored_interfaces, first_foreign, is_anchor
from dockerfw.chains.bypass import find_bypass
from dockerfw.chains.causes import (
    DriftFacts,
    explain_changed_rules,
    explain_earlier_rule,
    explain_missing_anchor,
    explain_missing_docker_user_jump,
    explain_missing_rules,
    explain_other_revision,
)
from dockerfw.chains.forwarding import add_own_jumps
from dockerfw.chains.log_lines import drop_log_lines
from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.names import (
    DOCKER,
    DOCKER_USER,
    FILTERS,
    FORWARD,
    PANIC,
    Label,
    body,
    container_anchor,
    label_of,
    own_chains,
    own_rules,
    sort_chains,
    without_label,
)
from dockerfw.chains.pairing import Pairing, pair_chains
from dockerfw.chains.render import earlier_rendering
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.static_sets import SetState, static_sets_in
from dockerfw.chains.ways_in import WayInCode, find_ways_in_problems
from dockerfw.document.document import digest
from dockerfw.document.values import Document, Settings
from dockerfw.iptables.model import Family, Ruleset

DriftCode = Literal[
    WayInCode,
    "unread",
    "nothing-loaded",
    "chain-replaced",
    "other-revision",
    "rules-changed",
    "reordered",
    "sets-changed",
    "sets-unread",
    "panic",
    "anchor-missing",
    "anchor-not-first",
    "anchor-stale",
    "own-jump-not-needed",
    "docker-user-not-called",
    "docker-user-not-first",
    "docker-user-unclear",
    "other-backend",
    "docker-rules-gone",
]

ANCHORS: Final[frozenset[DriftCode]] = frozenset(
    ("anchor-missing", "anchor-not-first", "own-jump-not-needed", "docker-user-not-called")
)
"""Findings that healing repairs: dockerfw's chains are intact, only the jumps to them are misplaced."""

REPAIRED: Final[frozenset[DriftCode]] = ANCHORS | {"sets-changed"}
"""Findings that self-repair removes: also sets of sources get their contents back."""

OF_RULES: Final[frozenset[DriftCode]] = frozenset(
    ("unread", "nothing-loaded", "chain-replaced", "other-revision", "rules-changed", "reordered")
)
"""Findings that dockerfw's chains hold other rules than the revision."""

WAYS_IN: Final[frozenset[DriftCode]] = frozenset(get_args(WayInCode))
"""Findings about the interfaces that packets from outside arrive on; dockerfw's rules may be intact."""

OF_DOCKER: Final[frozenset[DriftCode]] = frozenset(("docker-rules-gone",))
"""Findings about Docker's own rules, which only Docker restores; dockerfw's may be intact."""

WITHOUT_EFFECT: Final[frozenset[DriftCode]] = WAYS_IN | frozenset(
    ("docker-user-not-called", "docker-user-not-first", "docker-user-unclear")
)
"""Findings that leave the revision loaded while packets bypass some or all of its container rules."""

UNKNOWN: Final[frozenset[DriftCode]] = frozenset(
    ("unread", "interfaces-unread", "docker-user-unclear", "sets-unread")
)
"""Findings that something could not be read, or not be decided."""


@dataclass(frozen=True, slots=True)
class DriftLine:
    """A line that differs: "+" is only in the kernel, "-" only in the revision."""

    sign: Literal["+", "-"]
    text: str


@dataclass(frozen=True, slots=True)
class DriftFinding:
    """One difference. `message` is a sentence; it begins with the family if it concerns one family.

    `cause` is a sentence about the likely cause and its traces; empty without any.
    """

    code: DriftCode
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
    """All differences; none if the kernel holds the revision with its anchors first."""

    findings: tuple[DriftFinding, ...] = ()

    @property
    def codes(self) -> frozenset[DriftCode]:
        """The codes of the findings."""
        return frozenset(finding.code for finding in self.findings)

    @property
    def only_anchors(self) -> bool:
        """True if anchors are misplaced and no rule differs: restoring the anchors repairs the rules."""
        codes = self.codes - WAYS_IN - OF_DOCKER
        return bool(codes) and codes <= ANCHORS

    @property
    def is_repairable(self) -> bool:
        """True if self-repair restores everything: only anchors or the contents of sets differ."""
        codes = self.codes - WAYS_IN - OF_DOCKER
        return bool(codes) and codes <= REPAIRED

    @property
    def rules_differ(self) -> bool:
        """True if dockerfw's chains do not hold the revision's rules, whatever leads to them."""
        return not self.codes.isdisjoint(OF_RULES)

    @property
    def changed_sets(self) -> bool:
        """True if sets of sources do not hold what the revision loaded."""
        return "sets-changed" in self.codes

    @property
    def unknown(self) -> bool:
        """True if something could not be read, and all that could is as it should be."""
        return bool(self.findings) and all(finding.code in UNKNOWN for finding in self.findings)

    @property
    def mark(self) -> str:
        """A digest of the differences, equal for equal drift; empty without drift."""
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
    facts: DriftFacts | None = None,
    *,
    families: Sequence[Family] = (4, 6),
    loaded: Mapping[Family, Rendering] | None = None,
    limits: Thresholds = USUAL,
) -> Drift:
    """Compare the kernel with a revision's document, for the families that this kernel supports.

    A family that is not in `live` could not be read, which is a finding of its own. `loaded` are the rules
    that were loaded for this revision; a family without them is compared with what its document renders to,
    with or without the lines of later releases; `limits` are `WITHOUT_IP_SET` for a host without ipsets.
    """
    facts = facts or DriftFacts()
    findings = [*_host_findings(document.settings, facts)]
    for family in families:
        ruleset = live.get(family)
        if ruleset is None:
            findings.append(
                DriftFinding("unread", family, sentences.of_family(family, drift_sentences.UNREAD))
            )
            continue
        held = (loaded or {}).get(family)
        held = held or earlier_rendering(document, family, revision, live=ruleset, limits=limits)
        wanted = drop_log_lines(held)
        label = Label(revision, digest(document)[:12])
        findings += _chain_findings(wanted, label, family, ruleset, facts)
        findings += find_set_drift(revision, family, ruleset, facts)
        findings += _anchor_findings(wanted, document.settings, family, ruleset, facts)
    if not facts.docker_moved_to:
        findings += docker_findings(facts.docker_gone)
    return Drift(tuple(findings))


def _host_findings(settings: Settings, facts: DriftFacts) -> Iterator[DriftFinding]:
    if facts.docker_moved_to:
        message = drift_sentences.other_backend(facts.docker_moved_to, facts.kept_backend)
        yield DriftFinding("other-backend", None, message, drift_sentences.BACKEND_SWITCHED)
    if facts.surroundings is not None:
        for problem in find_ways_in_problems(settings, facts.surroundings, docker=facts.docker):
            yield DriftFinding(problem.code, None, problem.message, sentences.way_in_help(problem.code))


def docker_findings(gone: Sequence[Family]) -> Iterator[DriftFinding]:
    """Yield a finding for each family in which Docker's own rules are gone."""
    for family in gone:
        message = sentences.of_family(family, drift_sentences.DOCKER_RULES_GONE)
        yield DriftFinding("docker-rules-gone", family, message, drift_sentences.DOCKER_RULES_FLUSHED)


def _chain_findings(
    wanted: Rendering, confirmed: Label, family: Family, live: Ruleset, facts: DriftFacts
) -> Iterator[DriftFinding]:
    def finding(
        code: DriftCode, sentence: str, cause: str, lines: tuple[DriftLine, ...] = ()
    ) -> DriftFinding:
        return DriftFinding(code, family, sentences.of_family(family, sentence), cause, lines)

    chains, revision = wanted.chains, confirmed.revision
    pairings = pair_chains(chains, live, family)
    lines = tuple(_difference(chains, pairings))
    rules = own_rules(live, FILTERS)
    if _is_emptied(live):
        yield finding(
            "nothing-loaded", drift_sentences.NOTHING_LOADED, explain_missing_rules(live, facts), lines
        )
        return
    label = label_of(rules[-1].text) if rules else None
    if label is None and rules:
        yield finding("chain-replaced", drift_sentences.CHAIN_REPLACED, explain_changed_rules(rules), lines)
        return
    if label is not None and label != confirmed:
        sentence = drift_sentences.other_revision(label.revision, label.digest)
        yield finding("other-revision", sentence, explain_other_revision(facts))
    if lines:
        unwanted = [rule for pairing in pairings.values() for rule in pairing.rest]
        missing = sum(1 for pairing in pairings.values() for rule in pairing.live if rule is None)
        gone = [chain for chain in sort_chains(chains) if live.chain("filter", chain) is None]
        sentence = drift_sentences.rules_changed(revision, gone, missing, len(unwanted))
        yield finding("rules-changed", sentence, explain_changed_rules(unwanted), lines)
    elif not all(pairing.in_order for pairing in pairings.values()):
        yield finding("reordered", drift_sentences.REORDERED, explain_changed_rules(()))


def find_set_drift(revision: int, family: Family, live: Ruleset, facts: DriftFacts) -> Iterator[DriftFinding]:
    """Find the sets of sources that do not hold what they were loaded with."""
    if facts.static_sets is None:
        return
    states = [facts.static_sets.get(name, SetState(name)) for name in static_sets_in(live)]
    unread = [state for state in states if state.entries is None]
    if unread:
        message = sentences.of_family(family, drift_sentences.sets_unread(len(unread)))
        yield DriftFinding("sets-unread", family, message)
    changed = [state for state in states if not state.intact]
    if changed:
        lost, added = (sum(getattr(state, name) for state in changed) for name in ("lost", "added"))
        sentence = drift_sentences.sets_changed(revision, len(changed), lost, added)
        lines = tuple(
            DriftLine("-" if line.startswith("-") else "+", f"{state.name} {line[1:]}")
            for state in changed
            for line in state.lines
        )
        message = sentences.of_family(family, sentence)
        yield DriftFinding("sets-changed", family, message, drift_sentences.SETS_CHANGED_BY_OTHERS, lines)


def _is_emptied(live: Ruleset) -> bool:
    return not any(own_rules(live, chain) for chain in own_chains(live))


def _difference(wanted: Mapping[str, Sequence[str]], pairings: Mapping[str, Pairing]) -> Iterator[DriftLine]:
    for chain, pairing in pairings.items():
        for line, rule in zip(wanted.get(chain, ()), pairing.live, strict=True):
            if rule is None:
                yield DriftLine("-", f"-A {chain} {without_label(line)}")
        for rule in pairing.rest:
            yield DriftLine("+", rule.text)


def _anchor_findings(
    wanted: Rendering, settings: Settings, family: Family, live: Ruleset, facts: DriftFacts
) -> Iterator[DriftFinding]:
    def finding(code: DriftCode, sentence: str, cause: str, *lines: DriftLine) -> DriftFinding:
        return DriftFinding(code, family, sentences.of_family(family, sentence), cause, lines)

    if live.chain("filter", PANIC) is not None:
        yield finding("panic", drift_sentences.PANIC_ON, drift_sentences.panic_help(facts.command))
    # The finding about all the missing rules has the cause already.
    emptied = _is_emptied(live)
    containers = facts.docker_nftables or family in facts.container_families
    jumps = add_own_jumps(wanted.jumps, live, containers=containers)
    for chain, anchors in jumps.items():
        found = live.chain("filter", chain)
        for text in anchors:
            place = anchor_place(live, chain, text)
            if place == "missing" and chain != FORWARD:
                cause = "" if emptied else explain_missing_anchor(live, chain, facts)
                line = DriftLine("-", f"-A {chain} {text}")
                yield finding("anchor-missing", drift_sentences.anchor_missing(chain, text), cause, line)
            elif place == "not first":
                before = first_foreign(found.rules, anchors) if found else None
                lines = (DriftLine("+", before.text),) if before else ()
                sentence = drift_sentences.anchor_not_first(chain, text)
                yield finding("anchor-not-first", sentence, explain_earlier_rule(before, live), *lines)
    for name in anchored_interfaces(live):
        if name not in settings.external_interfaces:
            line = DriftLine("+", f"-A {DOCKER_USER} {container_anchor(name)}")
            yield finding("anchor-stale", drift_sentences.anchor_stale(name), "", line)
    yield from _own_jump_findings(jumps[FORWARD], family, live, facts)
    if not jumps[FORWARD]:
        # With jumps of its own in FORWARD, dockerfw does not depend on DOCKER-USER.
        yield from _bypass_findings(wanted, settings, family, live, facts)


def _own_jump_findings(
    wanted: Sequence[str], family: Family, live: Ruleset, facts: DriftFacts
) -> Iterator[DriftFinding]:
    """Compare the jumps of dockerfw's own in FORWARD with those that the family needs."""
    texts = [text for text in wanted if anchor_place(live, FORWARD, text) == "missing"]
    emptied = _is_emptied(live)
    # Where everything was flushed, Docker's chains too, its jump is one of many things that are gone.
    if texts and not (emptied and live.chain("filter", DOCKER) is None):
        sentence = sentences.of_family(family, drift_sentences.DOCKER_USER_NOT_CALLED)
        cause = explain_missing_docker_user_jump(family, live, facts)
        lines = tuple(DriftLine("-", f"-A {FORWARD} {text}") for text in texts)
        yield DriftFinding("docker-user-not-called", family, sentence, cause, lines)
    forward = live.chain("filter", FORWARD)
    for rule in forward.rules if forward else ():
        if is_anchor(rule) and body(rule) not in wanted:
            sentence = sentences.of_family(family, drift_sentences.own_jump_not_needed(body(rule)))
            yield DriftFinding("own-jump-not-needed", family, sentence, "", (DriftLine("+", rule.text),))


def _bypass_findings(
    wanted: Rendering, settings: Settings, family: Family, live: Ruleset, facts: DriftFacts
) -> Iterator[DriftFinding]:
    """Find what is let through before DOCKER-USER and dockerfw's rules would refuse."""

    def finding(code: DriftCode, sentence: str, cause: str, *lines: DriftLine) -> DriftFinding:
        return DriftFinding(code, family, sentences.of_family(family, sentence), cause, lines)

    external, around = settings.external_interfaces, facts.surroundings
    bypass = find_bypass(external, wanted.chains, family, live, around, wanted.sets)
    if bypass is not None and bypass.rule is None:
        message = drift_sentences.docker_user_unclear(str(bypass), bypass.unclear)
        yield finding("docker-user-unclear", message, "")
    elif bypass is not None and bypass.rule is not None:
        rules = dict.fromkeys(rule.text for rule in (bypass.entry, bypass.rule) if rule is not None)
        cause = explain_earlier_rule(bypass.entry, live)
        message = drift_sentences.docker_user_not_first(str(bypass))
        yield finding("docker-user-not-first", message, cause, *(DriftLine("+", text) for text in rules))
