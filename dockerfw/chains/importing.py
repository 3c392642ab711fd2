"""A ruleset imported as a document: the article's iptables.conf, a save of a host, or dockerfw's own chains.

Every line becomes part of the document, is one of the basics that dockerfw always loads, or is listed with
the reason why it was skipped. Nothing is dropped silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dockerfw.chains import import_sentences
from dockerfw.chains.anchors import adopted_interface, is_anchor
from dockerfw.chains.import_reading import read_rulesets
from dockerfw.chains.names import (
    BRIDGES_SETS,
    DOCKER_USER,
    FILTERS,
    FILTERS_CONTAINERS,
    FILTERS_HOST,
    FORWARD,
    INPUT,
    PROXY_SETS,
    body,
    is_dockerfw_rule,
    is_log_line,
    is_own_chain,
    label_of,
    own_rules,
    rule_id_of,
)
from dockerfw.chains.narrowing import Narrowed, narrow
from dockerfw.chains.owners import chain_owner
from dockerfw.chains.packet_classes import TooManyClasses
from dockerfw.chains.render import wanted_chains
from dockerfw.chains.rule_reading import InexpressibleError, RuleContent, read_rule
from dockerfw.document.document import FORMAT_2, parse_document, validate_rule
from dockerfw.document.fields import MAX_COMMENT, Note, interfaces_overlap
from dockerfw.document.rule_fields import MAX_SOURCES
from dockerfw.document.rules import upgrade_rule
from dockerfw.document.values import Document, Settings
from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.errors import DocumentError
from dockerfw.iptables.model import FAMILIES, Family, Rule, Ruleset
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS
from dockerfw.iptables.tokens import printable
from dockerfw.simulation.surroundings import IpSet

_SCOPES: Final = {
    INPUT: "host",
    FILTERS_HOST: "host",
    FILTERS_CONTAINERS: "container",
    DOCKER_USER: "container",
}
_RULE_PATH = re.compile(r"\brules\[[0-9]+\]")
_IPV6 = re.compile(r"-(?:[sd]|-ctorigdst) [0-9a-f.]*:|ipv6-icmp|icmp6|icmpv6", re.ASCII)


@dataclass(frozen=True, slots=True)
class SkippedLine:
    """A line that is not in the document, with the reason; `line` counts from 1."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The document made from rulesets, with the skipped lines and notes."""

    document: Document
    skipped: tuple[SkippedLine, ...]
    notes: tuple[Note, ...]
    rulesets: Mapping[Family, Ruleset] = field(default_factory=dict, compare=False, repr=False)


def import_save(text: bytes | str, *, by_meaning: bool = True) -> Imported:
    """Turn iptables-save text or a restore file into a document. Raise ParseError or DocumentError.

    Without `by_meaning` the lines are not compared with each other, for chains that dockerfw wrote.
    """
    return import_rulesets(read_rulesets(text), by_meaning=by_meaning)


def import_rulesets(
    rulesets: tuple[Ruleset, ...],
    *,
    by_meaning: bool = True,
    sets: Mapping[str, IpSet] | None = None,
) -> Imported:
    """Turn parsed rulesets, of one family or both, into a document. Raise DocumentError.

    `sets` are the ipsets of the host, where they are known.
    """
    return _Import(rulesets, by_meaning=by_meaning, sets=sets).result()


def _basics() -> frozenset[str]:
    """Return the canonical forms of the lines that dockerfw loads with any rules, except for interfaces."""
    found = set()
    for icmp in ("accept", "refuse"):
        settings = Settings(icmp="accept" if icmp == "accept" else "refuse")
        for family in (4, 6):
            version: Family = 4 if family == 4 else 6
            for chain, lines in wanted_chains(Document(settings), version).items():
                found |= {
                    canonical_text(f"-A {chain} {line}", version) for line in lines if not label_of(line)
                }
    return frozenset(found)


_BASICS: Final = _basics()


@dataclass(slots=True)
class _Import:
    rulesets: tuple[Ruleset, ...]
    rules: list[dict[str, Any]] = field(default_factory=list)
    by_id: dict[str, dict[str, Any]] = field(default_factory=dict)
    external: set[str] = field(default_factory=set)
    filtered: set[str] = field(default_factory=set)
    # By chain, the first line that refuses or may refuse packets.
    refusing: dict[str, int] = field(default_factory=dict)
    trusted: set[str] = field(default_factory=set)
    by_meaning: bool = True
    refuse: str = "reject"
    icmp: str = "accept"
    containers_reach_host: str = "by-rules"
    sets: Mapping[str, IpSet] | None = None
    # Lines that refuse some packets, as blocks.
    blocks: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[SkippedLine] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    family: Family = 4
    callers: set[str] = field(default_factory=set)

    def result(self) -> Imported:
        for ruleset in self.rulesets:
            self.external.update(_external_interfaces(ruleset))
            self.filtered.update(_jumped_interfaces(ruleset, INPUT))
            self.callers.update(_callers_of_filters(ruleset))
        if "container" in self.callers:
            self.external |= self.filtered
        tables = [table for ruleset in self.rulesets for table in ruleset.tables.values()]
        for rule in (rule for table in tables for chain in table.chains.values() for rule in chain.rules):
            self._take(rule)
        self._read_icmp_setting()
        self._drop_external_from_trusted()
        self._add_general_notes()
        read = [rule for rule in [*self.rules, *self.by_id.values()] if self._is_complete(rule)]
        rules = self._narrowed(read)
        lines = {f"rules[{at}]": rule.pop("line") for at, rule in enumerate(rules) if "line" in rule}
        document = parse_document(
            {
                "format": FORMAT_2,
                "settings": {
                    "external_interfaces": sorted(self.external),
                    "trusted_interfaces": sorted({"lo", *self.trusted}),
                    "refuse": self.refuse,
                    "icmp": self.icmp,
                    "containers_reach_host": self.containers_reach_host,
                },
                "rules": [upgrade_rule(rule) for rule in rules],
            }
        )
        self.notes += [_with_line(note, lines) for note in document.notes]
        self.skipped.sort(key=lambda line: line.line)
        return Imported(document, tuple(self.skipped), tuple(self.notes), _by_family(self.rulesets))

    def _take(self, rule: Rule) -> None:
        try:
            self._import(rule)
        except InexpressibleError as reason:
            self.refusing.setdefault(rule.chain, rule.line)
            self._skip(rule, str(reason))

    def _import(self, rule: Rule) -> None:
        if rule.table != "filter":
            reason = import_sentences.STAYS.get(
                chain_owner(rule.table, rule.chain), import_sentences.NOT_FOR_DOCKERFW
            )
            raise InexpressibleError(import_sentences.other_table(rule.table, reason))
        if rule.chain == FORWARD and is_anchor(rule):
            return
        if rule.chain not in _SCOPES and rule.chain != FILTERS:
            stays = import_sentences.STAYS.get(chain_owner(rule.table, rule.chain))
            raise InexpressibleError(stays or import_sentences.other_chain(rule.chain))
        if is_own_chain(rule.chain) and is_log_line(rule.text):
            return
        self.family = 6 if _IPV6.search(rule.text) else 4
        if is_own_chain(rule.chain) and canonical_text(rule.text, self.family) in _BASICS:
            return
        content = read_rule(rule, self.family)
        if content.action == "jump":
            self._take_jump(rule, content)
        elif content.own_set:
            self._take_own_set(rule, content)
        elif content.action == "refuse":
            self._take_refusal(rule, content)
        elif not (content.established and content.ports == []):
            self._take_allowed(rule, content)
        elif (content.source, content.to, content.protocol) != ("any", "", "any"):
            raise InexpressibleError(import_sentences.ESTABLISHED_PASSES)

    def _take_jump(self, rule: Rule, content: RuleContent) -> None:
        if is_own_chain(content.target) and content.matches_everything:
            return
        stays = import_sentences.STAYS.get(chain_owner("filter", content.target))
        raise InexpressibleError(stays or import_sentences.jumps_to(content.target))

    def _take_own_set(self, rule: Rule, content: RuleContent) -> None:
        """Take a line that matches a bound set, if it is one that dockerfw writes."""
        if rule.chain == FILTERS_HOST and content.action == "allow" and content.interface is None:
            limited = (content.source, content.protocol, content.ports) != ("any", "any", [])
            if content.own_set in BRIDGES_SETS.values() and not (limited or content.established):
                self.containers_reach_host = "allow"
                return
            if content.own_set in PROXY_SETS.values() and rule_id_of(rule.text) and content.ports:
                self._add(rule, content)
                return
        raise InexpressibleError(import_sentences.no_counterpart(f"-m set --match-set {content.own_set}"))

    def _take_refusal(self, rule: Rule, content: RuleContent) -> None:
        if not content.matches_everything:
            self._take_block(rule, content)
            return
        if rule.chain == DOCKER_USER and content.interface is None:
            raise InexpressibleError(import_sentences.REFUSES_ALL_FORWARDED)
        self.refusing.setdefault(rule.chain, rule.line)
        if rule.chain in (FILTERS, INPUT):
            self.refuse = "drop" if content.target == "DROP" else "reject"

    def _take_block(self, rule: Rule, content: RuleContent) -> None:
        """Take a line that refuses some sources. One that refuses ports leaves them out of the rules."""
        values = self._values(rule, content)
        portless = content.ports and content.protocol not in PROTOCOLS_WITH_PORTS
        # A block of the host's ports counts on every interface.
        external = content.interface in self.external and values["scope"] == "container"
        if not self.by_meaning or content.source == "any" or content.to or content.established:
            raise InexpressibleError(import_sentences.REFUSES)
        if portless or not (content.interface is None or external):
            raise InexpressibleError(import_sentences.REFUSES)
        self.refusing.setdefault(rule.chain, rule.line)
        self.blocks.append({"action": "block", **values})

    def _take_allowed(self, rule: Rule, content: RuleContent) -> None:
        if rule.chain in (INPUT, FILTERS_HOST) and content.interface is not None:
            self._take_trusted(content.interface, content)
            return
        if content.interface is not None and content.interface not in self.external:
            raise InexpressibleError(import_sentences.only_on_interface(content.interface))
        if rule.chain == INPUT and content.protocol in ("icmp", "ipv6-icmp") and content.source == "any":
            self.icmp = "accept"
            return
        if rule.chain == DOCKER_USER and content.interface is None and content.matches_everything:
            # Docker up to 28.2.1 ends the chain with such a RETURN; it decides nothing.
            raise InexpressibleError(import_sentences.STAYS["docker"])
        if content.to and _SCOPES.get(rule.chain) != "container":
            raise InexpressibleError(import_sentences.no_counterpart(f"-d {content.to}"))
        if content.ports and content.protocol not in PROTOCOLS_WITH_PORTS:
            raise InexpressibleError(import_sentences.no_ports(content.protocol))
        self._add(rule, content)

    def _take_trusted(self, interface: str, content: RuleContent) -> None:
        if not content.matches_everything:
            raise InexpressibleError(import_sentences.limited_on_interface(interface))
        self.trusted.add(interface)

    def _values(self, rule: Rule, content: RuleContent) -> dict[str, Any]:
        """Return what a line and a rule say alike, as JSON values, with the line."""
        scope = _SCOPES.get(rule.chain) or (self.callers.copy().pop() if len(self.callers) == 1 else "both")
        scope = "forwarded" if content.to else scope
        kind = "container" if content.ports and not content.published and scope != "host" else "published"
        return {
            "scope": scope,
            "source": content.source,
            "to": content.to,
            "protocol": content.protocol,
            "ports": list(content.ports),
            "port_kind": kind,
            "comment": "" if rule_id_of(rule.text) else _comment(content.comment),
            "line": rule,
        }

    def _add(self, rule: Rule, content: RuleContent) -> None:
        identifier = rule_id_of(rule.text)
        values = {**self._values(rule, content), "proxied": bool(content.own_set)}
        if identifier is None:
            self.rules.append(values)
        elif identifier not in self.by_id:
            self.by_id[identifier] = {"id": identifier, **values}
        else:
            _merge(self.by_id[identifier], values)

    def _narrowed(self, read: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rules without what an earlier line of the file refuses, and set icmp by its meaning."""
        if not self.by_meaning:
            return read
        rules = [(validate_rule(_without_line(values)), "id" in values) for values in read]
        blocks = [validate_rule(_without_line(values)) for values in self.blocks]
        rulesets = _by_family(self.rulesets)
        try:
            found = narrow(rules, rulesets, sorted(self.external | self.filtered), self.sets, blocks)
        except TooManyClasses:
            self.notes.append(Note("", import_sentences.NOT_NARROWED))
            behind = {at for at, values in enumerate(read) if "id" not in values and self._is_behind(values)}
            found = Narrowed(frozenset(behind), (), self.icmp == "accept", incomplete=False)
        # No kind of packet has a destination, so lines for forwarded traffic are judged by their place alone.
        forwarded = {at for at, (rule, own) in enumerate(rules) if rule.to and not own}
        too_wide = found.too_wide | {at for at in forwarded if self._is_behind(read[at])}
        for at in sorted(too_wide):
            rule = read[at]["line"]
            self._skip(rule, import_sentences.ACCEPTS_LESS)
        for at in sorted({*range(len(blocks))} - found.blocks):
            more = at in found.refusing_more
            reason = import_sentences.REFUSES_LESS if more else import_sentences.REFUSES
            self._skip(self.blocks[at]["line"], reason)
        if found.incomplete:
            self.notes.append(Note("", import_sentences.PARTLY_LEFT_OUT))
        if not any(map(_label_rule, self.rulesets)):
            self.icmp = "accept" if found.icmp else "refuse"
        needed = _join_blocks([self.blocks[at] for at in sorted(found.blocks)])
        return [*needed, *(each for at, each in enumerate(read) if at not in too_wide), *found.added]

    def _skip(self, rule: Rule, reason: str) -> None:
        self.skipped.append(SkippedLine(rule.line, printable(rule.text), reason))

    def _is_behind(self, values: dict[str, Any]) -> bool:
        """Return True if a line before this one may refuse what it accepts."""
        rule: Rule = values["line"]
        callers = (INPUT, DOCKER_USER, FILTERS_HOST, FILTERS_CONTAINERS) if rule.chain == FILTERS else ()
        called = any(chain in self.refusing for chain in callers)
        return called or self.refusing.get(rule.chain, rule.line) < rule.line

    def _read_icmp_setting(self) -> None:
        labels = [label for ruleset in self.rulesets if (label := _label_rule(ruleset))]
        for label in labels[:1]:
            wanted = ("-p icmp -j RETURN", "-p ipv6-icmp -j RETURN")
            hosts = (own_rules(ruleset, FILTERS_HOST) for ruleset in self.rulesets)
            self.icmp = (
                "accept" if any(body(rule) in wanted for rules in hosts for rule in rules) else "refuse"
            )
            self.notes.append(Note(f"line {label.line}", import_sentences.NO_COMMENTS))

    def _drop_external_from_trusted(self) -> None:
        for name in sorted(self.trusted):
            if any(interfaces_overlap(name, other) for other in self.external):
                self.trusted.discard(name)
                self.notes.append(Note("", import_sentences.interface_not_trusted(name)))

    def _add_general_notes(self) -> None:
        if self.filtered and not any("" in _jumps_to_filters(each, INPUT) for each in self.rulesets):
            self.notes.append(Note("", import_sentences.only_some_interfaces(sorted(self.filtered))))
        inner = [rule for rule in self.rules if rule["port_kind"] == "container" and not rule["to"]]
        if inner:
            self.notes.append(Note("", import_sentences.ports_inside_containers(len(inner))))
        if self.rules and self.family == 4:
            self.notes.append(Note("", import_sentences.IPV6_TOO))

    def _is_complete(self, values: dict[str, Any]) -> bool:
        """Return True if the values are a valid rule, and not only its line for docker-proxy."""
        rule: Rule = values["line"]
        if values.pop("proxied"):
            self._skip(rule, import_sentences.ONLY_DOCKER_PROXY)
            return False
        try:
            validate_rule(_without_line(values))
        except DocumentError as error:
            self._skip(rule, str(error).replace("\n", "; "))
            return False
        return True


def _external_interfaces(ruleset: Ruleset) -> Iterator[str]:
    """Yield the interfaces whose forwarded packets are sent to dockerfw's chains or to a refusal."""
    forward = ruleset.chain("filter", FORWARD)
    yield from (rule.text.split()[3] for rule in (forward.rules if forward else ()) if is_anchor(rule))
    yield from _jumped_interfaces(ruleset, DOCKER_USER)
    chain = ruleset.chain("filter", DOCKER_USER)
    for rule in chain.rules if chain else ():
        words = rule.text.split()
        named = len(words) >= 6 and words[2] == "-i" and words[4] == "-j"
        if named and words[5] in (FILTERS_CONTAINERS, "DROP", "REJECT"):
            yield words[3]


def _jumped_interfaces(ruleset: Ruleset, caller: str) -> Iterator[str]:
    """Yield the interfaces whose packets a chain sends to FILTERS."""
    return (name for name in _jumps_to_filters(ruleset, caller) if name)


def _jumps_to_filters(ruleset: Ruleset, caller: str) -> Iterator[str]:
    """Yield the interface of each jump from a chain to FILTERS, empty for all of them."""
    chain = ruleset.chain("filter", caller)
    for rule in chain.rules if chain else ():
        if (name := adopted_interface(rule)) is not None:
            yield name


def _callers_of_filters(ruleset: Ruleset) -> Iterator[str]:
    """Yield the scopes of the chains that call FILTERS."""
    for name, scope in _SCOPES.items():
        chain = ruleset.chain("filter", name)
        if any(rule.target and rule.target.name == FILTERS for rule in (chain.rules if chain else ())):
            yield scope


def _by_family(rulesets: Sequence[Ruleset]) -> dict[Family, Ruleset]:
    """Return the rulesets by family; of two, the second is IPv6's."""
    if len(rulesets) == 2:
        return dict(zip(FAMILIES, rulesets, strict=True))
    return {_family_of(ruleset): ruleset for ruleset in rulesets[:1]}


def _family_of(ruleset: Ruleset) -> Family:
    tables = ruleset.tables.values()
    rules = (rule for table in tables for chain in table.chains.values() for rule in chain.rules)
    return 6 if any(_IPV6.search(rule.text) for rule in rules) else 4


def _without_line(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "line"}


def _label_rule(ruleset: Ruleset) -> Rule | None:
    return next(
        (rule for rule in own_rules(ruleset, FILTERS) if is_dockerfw_rule(rule.text) and label_of(rule.text)),
        None,
    )


def _merge(known: dict[str, Any], values: dict[str, Any]) -> None:
    """Join two lines of one dockerfw rule: all ports, and the scope of the more specific chain."""
    if known["scope"] == values["scope"]:
        known["ports"] += [port for port in values["ports"] if port not in known["ports"]]
    elif known["scope"] == "host":
        # The host's line of a container rule is only for docker-proxy. The other line is the rule.
        known.update(values)


def _join_blocks(blocks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return blocks of the same packets as one block with all sources; a comment stays if all have it."""
    found: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for at, values in enumerate(blocks):
        what = (values["scope"], values["protocol"], *values["ports"], values["port_kind"])
        found.setdefault((*what, at // MAX_SOURCES), []).append(values)
    return [
        {
            **{key: value for key, value in alike[0].items() if key not in ("source", "to", "line")},
            "sources": [each["source"] for each in alike],
            "comment": alike[0]["comment"] if len({each["comment"] for each in alike}) == 1 else "",
        }
        for alike in found.values()
    ]


def _comment(text: str) -> str:
    return text.strip()[:MAX_COMMENT]


def _with_line(note: Note, lines: dict[str, Rule]) -> Note:
    """Return a note about a document's path as a note about a line of the file."""

    def line(path: str) -> str:
        return f"line {lines[path].line}" if path in lines else path

    path, _, rest = note.path.partition(".")
    message = _RULE_PATH.sub(lambda found: line(found[0]), note.message)
    return Note(line(path) + (f", {rest}" if rest else ""), message)
