"""The rules in dockerfw's chains as a draft, for an admin who wants to keep a manual change.

The kernel holds no comments, disabled rules or expectations: they come from the current draft. Lines that no
rule can express are listed, as with every import (importing.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from dockerfw.chains import sentences
from dockerfw.chains.anchors import is_anchor
from dockerfw.chains.importing import Imported, import_rulesets
from dockerfw.chains.names import DOCKER_USER, FILTERS_HOST, FORWARD, OWN_CHAINS, body, own_rules, rule_id_of
from dockerfw.chains.render import rule_lines
from dockerfw.document.document import make_document
from dockerfw.document.fields import Note, interfaces_overlap
from dockerfw.document.values import Document, DocumentRule, Settings
from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.model import FAMILY_NAMES, Chain, Family, Ruleset, Table


def adopt_live(live: Mapping[Family, Ruleset], draft: Document) -> Imported | None:
    """Return the rules in dockerfw's chains as a document, None if the chains hold no rules.

    Raise DocumentError if the lines together make no valid document.
    """
    loaded = {
        family: ruleset
        for family, ruleset in live.items()
        if any(own_rules(ruleset, chain) for chain in OWN_CHAINS)
    }
    if not loaded:
        return None
    imported = import_rulesets(tuple(_own(ruleset) for ruleset in loaded.values()))
    known = {rule.id: rule for rule in draft.rules}
    lines = _lines_by_id(loaded)
    rules = tuple(_with_draft(rule, known.get(rule.id), lines) for rule in imported.document.rules)
    here = {rule.id for rule in rules}
    disabled = tuple(rule for rule in draft.rules if not rule.enabled and rule.id not in here)
    document = make_document(
        _settings(imported.document.settings, draft.settings, loaded), (*rules, *disabled), draft.expectations
    )
    # The comments come from the draft.
    notes = [note for note in imported.notes if note.message != sentences.NO_COMMENTS]
    notes += [
        Note(rule.id, sentences.FAMILIES_DIFFER)
        for rule in rules
        if rule.id in lines and not _is_held(rule, lines[rule.id])
    ]
    notes += [
        Note(FAMILY_NAMES[family], sentences.ONE_FAMILY_ONLY) for family in live if family not in loaded
    ]
    return replace(imported, document=document, notes=tuple(notes), rulesets=dict(live))


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
    )
    document = make_document(settings, imported.document.rules, draft.expectations)
    return replace(imported, document=replace(document, notes=imported.document.notes))


def _own(live: Ruleset) -> Ruleset:
    """Return dockerfw's chains, and its jumps from Docker's way, which name the external interfaces."""
    chains: dict[str, Chain] = {}
    for name in (DOCKER_USER, FORWARD):
        calling = live.chain("filter", name)
        if calling is not None:
            chains[name] = replace(calling, rules=tuple(rule for rule in calling.rules if is_anchor(rule)))
    for name in OWN_CHAINS:
        found = live.chain("filter", name)
        if found is not None:
            chains[name] = found
    return Ruleset(MappingProxyType({"filter": Table("filter", MappingProxyType(chains))}))


def _lines_by_id(live: Mapping[Family, Ruleset]) -> Mapping[str, Mapping[Family, list[str]]]:
    """Return the lines of each document rule by family, in canonical form."""
    found: dict[str, dict[Family, list[str]]] = {}
    for family, ruleset in live.items():
        for chain in OWN_CHAINS:
            for rule in own_rules(ruleset, chain):
                if (identifier := rule_id_of(rule.text)) is not None:
                    families = found.setdefault(identifier, {each: [] for each in live})
                    families[family].append(canonical_text(rule.text, family))
    return found


def _with_draft(
    rule: DocumentRule, known: DocumentRule | None, lines: Mapping[str, Mapping[Family, list[str]]]
) -> DocumentRule:
    """Return the draft's rule if the kernel holds exactly its lines; else add the draft's comment."""
    if known is None:
        return rule
    return known if _is_held(known, lines[rule.id]) else replace(rule, comment=known.comment)


def _is_held(rule: DocumentRule, lines: Mapping[Family, list[str]]) -> bool:
    """Return True if the kernel holds exactly the lines that the rule renders to."""
    return all(sorted(held) == sorted(_lines(rule, family)) for family, held in lines.items())


def _lines(rule: DocumentRule, family: Family) -> list[str]:
    chains = rule_lines(rule, family)
    return [canonical_text(f"-A {chain} {line}", family) for chain, found in chains.items() for line in found]


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
    )
