"""The rules in dockerfw's chains as a draft, for an admin who wants to keep a manual change.

The kernel holds no comments, disabled rules or expectations: they come from the current draft. Lines that no
rule can express are listed, as with every import (importing.py). Sets and dispatch chains are read back into
the rules that were compiled to them (read_back.py).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from dockerfw.chains import import_sentences
from dockerfw.chains.anchors import is_anchor
from dockerfw.chains.dispatch import CONTINUE
from dockerfw.chains.importing import Imported, SkippedLine, import_rulesets
from dockerfw.chains.names import (
    DOCKER_USER,
    FILTERS,
    FILTERS_HOST,
    FORWARD,
    OWN_CHAINS,
    body,
    is_own_chain,
    is_refusal,
    own_chains,
    own_rules,
    rule_id_of,
)
from dockerfw.chains.new_connections import without_start
from dockerfw.chains.read_back import ReadBack, is_block_chain, is_compiled_line, read_back
from dockerfw.chains.render import rule_lines
from dockerfw.chains.set_matches import earlier_line, static_set_of
from dockerfw.document.document import make_document
from dockerfw.document.fields import Note, interfaces_overlap
from dockerfw.document.values import ContainersReachHost, Document, DocumentRule, Group, Settings
from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.model import FAMILY_NAMES, Chain, Family, Rule, Ruleset, Table
from dockerfw.iptables.tokens import printable
from dockerfw.simulation.surroundings import IpSet


def adopt_live(
    live: Mapping[Family, Ruleset], draft: Document, sets: Mapping[str, IpSet] | None = None
) -> Imported | None:
    """Return the rules in dockerfw's chains as a document, None if the chains hold no rules.

    `sets` are the sets that their lines match, as far as they are known and as they were loaded. Raise
    DocumentError if the lines together make no valid document.
    """
    loaded = {
        family: ruleset
        for family, ruleset in live.items()
        if any(own_rules(ruleset, chain) for chain in own_chains(ruleset))
    }
    if not loaded:
        return None
    known = {rule.id: rule for rule in draft.rules}
    back = read_back(loaded, [rule for rule in draft.rules if rule.enabled], draft.groups, sets or {})
    # A rule of the draft of which only some lines were changed is read line by line, with what was changed.
    by_line = {
        name
        for name in known
        if name in back.lines
        and known[name] != back.rules.get(name)
        and not any(map(is_compiled_line, back.lines[name]))
    }
    whole = {name: rule for name, rule in back.rules.items() if name not in by_line}
    unread = {name: reason for name, reason in back.unread.items() if name not in by_line}
    kept = {
        name: known[name]
        for name in known
        if _is_kept(known[name], name in whole, name in by_line, unread, back)
    }
    imported = import_rulesets(tuple(_own(ruleset, {*whole, *unread}) for ruleset in loaded.values()))
    lines = _lines_by_id(loaded)
    read = tuple(
        _with_draft(rule, known.get(rule.id), lines, draft.groups) for rule in imported.document.rules
    )
    rules = (*read, *whole.values(), *kept.values())
    here = {rule.id for rule in rules}
    disabled = tuple(rule for rule in draft.rules if not rule.enabled and rule.id not in here)
    document = make_document(
        _settings(imported.document.settings, draft.settings, loaded),
        (*rules, *disabled),
        draft.expectations,
        draft.groups,
    )
    # The comments come from the draft.
    notes = [note for note in imported.notes if note.message != import_sentences.NO_COMMENTS]
    notes += [
        Note(rule.id, import_sentences.FAMILIES_DIFFER)
        for rule in read
        if rule.id in lines and not _is_held(rule, lines[rule.id], draft.groups)
    ]
    notes += [Note(name, import_sentences.KEPT_UNREAD) for name in kept]
    notes += [
        Note(FAMILY_NAMES[family], import_sentences.ONE_FAMILY_ONLY)
        for family in live
        if family not in loaded
    ]
    lost = {name: reason for name, reason in unread.items() if name not in kept}
    skipped = sorted((*imported.skipped, *_not_read(loaded.values(), back, lost)), key=lambda each: each.line)
    return replace(
        imported, document=document, notes=tuple(notes), rulesets=dict(live), skipped=tuple(skipped)
    )


def _is_kept(
    rule: DocumentRule, is_whole: bool, is_by_line: bool, unread: Container[str], back: ReadBack
) -> bool:
    """Return True if the draft's rule stays, because what the kernel holds of it cannot be read."""
    if not rule.enabled or is_whole or is_by_line:
        return False
    return rule.id in unread or (bool(back.lost) and rule.id not in back.lines)


def _not_read(loaded: Iterable[Ruleset], back: ReadBack, unread: Mapping[str, str]) -> Iterator[SkippedLine]:
    """Yield the lines that no rule has: of the rules `unread`, of rules nobody knows, and added ones."""
    found = [(line, reason) for name, reason in unread.items() for line in back.lines[name]]
    found += back.lost
    found += [(line, import_sentences.ADDED_TO_COMPILED) for ruleset in loaded for line in _added(ruleset)]
    for line, reason in found:
        yield SkippedLine(line.line, printable(line.text), reason)


def _added(live: Ruleset) -> Iterator[Rule]:
    """Yield the lines in chains of blocks and of dispatch that dockerfw did not write."""
    for name in own_chains(live):
        rules = own_rules(live, name) if name not in OWN_CHAINS else ()
        for place, rule in enumerate(rules, 1):
            leads = rule.target is not None and is_own_chain(rule.target.name)
            # The end of a chain of blocks.
            ends = body(rule) == CONTINUE and place == len(rules) and is_block_chain(name)
            if not (leads or ends or is_refusal(rule) or rule_id_of(rule.text) or static_set_of(rule.text)):
                yield rule


def keep_from_draft(imported: Imported, draft: Document) -> Imported:
    """Return an imported ruleset with what only the draft says: interfaces, self-repair, expectations.

    A file that names external interfaces replaces those of the draft. Trusted ones come from both.
    """
    found = imported.document.settings
    external = found.external_interfaces or draft.settings.external_interfaces
    trusted = {*found.trusted_interfaces, *draft.settings.trusted_interfaces}
    settings = replace(
        found,
        external_interfaces=external,
        trusted_interfaces=tuple(
            name for name in sorted(trusted) if not any(interfaces_overlap(name, each) for each in external)
        ),
        heal_anchors=draft.settings.heal_anchors,
        log_refused=draft.settings.log_refused,
        containers_reach_host=_wider(found, draft.settings),
    )
    document = make_document(settings, imported.document.rules, draft.expectations)
    return replace(imported, document=replace(document, notes=imported.document.notes))


def _own(live: Ruleset, without: Container[str]) -> Ruleset:
    """Return the lines of dockerfw's chains that are no part of the rules `without`, in its home chains.

    Its jumps from Docker's way come along, which name the external interfaces.
    """
    chains: dict[str, Chain] = {}
    for name in (DOCKER_USER, FORWARD):
        calling = live.chain("filter", name)
        if calling is not None:
            chains[name] = replace(calling, rules=tuple(rule for rule in calling.rules if is_anchor(rule)))
    # Where packets are dispatched, the refusal ends the last chain and not FILTERS.
    refusals = [
        rule
        for name in own_chains(live)
        if name not in OWN_CHAINS
        for rule in own_rules(live, name)
        if is_refusal(rule)
    ]
    for name in OWN_CHAINS:
        found = live.chain("filter", name)
        if found is None:
            continue
        rules = [
            rule
            for rule in found.rules
            if rule_id_of(rule.text) not in without
            and not (rule.target is not None and rule.target.goto and is_own_chain(rule.target.name))
            and not static_set_of(rule.text)
        ]
        if name == FILTERS:
            rules += [
                replace(rule, chain=FILTERS, text=f"-A {FILTERS} {body(rule)}") for rule in refusals[:1]
            ]
        chains[name] = replace(found, rules=tuple(rules))
    return Ruleset(MappingProxyType({"filter": Table("filter", MappingProxyType(chains))}))


def _lines_by_id(live: Mapping[Family, Ruleset]) -> Mapping[str, Mapping[Family, list[str]]]:
    """Return the lines of each document rule by family, in canonical form."""
    found: dict[str, dict[Family, list[str]]] = {}
    for family, ruleset in live.items():
        for chain in own_chains(ruleset):
            for rule in own_rules(ruleset, chain):
                if (identifier := rule_id_of(rule.text)) is not None:
                    families = found.setdefault(identifier, {each: [] for each in live})
                    families[family].append(canonical_text(rule.text, family))
    return found


def _with_draft(
    rule: DocumentRule,
    known: DocumentRule | None,
    lines: Mapping[str, Mapping[Family, list[str]]],
    groups: Sequence[Group],
) -> DocumentRule:
    """Return the draft's rule if the kernel holds exactly its lines; else add the draft's comment."""
    if known is None:
        return rule
    return known if _is_held(known, lines[rule.id], groups) else replace(rule, comment=known.comment)


def _is_held(rule: DocumentRule, lines: Mapping[Family, list[str]], groups: Sequence[Group]) -> bool:
    """Return True if the kernel holds exactly the lines that the rule renders to.

    When a rule that expires starts may be the time of an apply.
    """
    spelled = without_start if rule.expires else str
    return any(
        all(
            sorted(map(spelled, held)) == sorted(map(spelled, _lines(rule, family, groups, earlier=earlier)))
            for family, held in lines.items()
        )
        for earlier in (False, True)
    )


def _lines(rule: DocumentRule, family: Family, groups: Sequence[Group], *, earlier: bool) -> list[str]:
    """Return the lines of a rule; `earlier` are those of a release without sets."""
    chains = rule_lines(rule, family, groups)
    return [
        canonical_text(f"-A {chain} {text}", family)
        for chain, found in chains.items()
        for line in found
        if (text := earlier_line(line, family) if earlier else line) is not None
    ]


def _wider(found: Settings, draft: Settings) -> ContainersReachHost:
    """Return what containers may reach; only a file of dockerfw's own can say it, the draft always does."""
    return "allow" if "allow" in (found.containers_reach_host, draft.containers_reach_host) else "by-rules"


def _settings(found: Settings, draft: Settings, live: Mapping[Family, Ruleset]) -> Settings:
    """Return the kernel's settings, with the draft's where the kernel has no anchor to tell them."""
    hosts = [rule for ruleset in live.values() for rule in own_rules(ruleset, FILTERS_HOST)]
    # An import always trusts the loopback interface.
    lo = any(body(rule) == "-i lo -j RETURN" for rule in hosts)
    return replace(
        found,
        external_interfaces=found.external_interfaces or draft.external_interfaces,
        trusted_interfaces=tuple(name for name in found.trusted_interfaces if lo or name != "lo"),
        heal_anchors=draft.heal_anchors,
        log_refused=draft.log_refused,
    )
