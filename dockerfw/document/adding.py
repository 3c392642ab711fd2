"""Add the content of one document to another: groups, rules and expectations. Settings stay."""

from __future__ import annotations

from dataclasses import replace

from dockerfw.document import sentences
from dockerfw.document.container_definitions import check_definitions
from dockerfw.document.document import make_document
from dockerfw.document.fields import Problems
from dockerfw.document.groups import MAX_ENTRIES, MAX_GROUPS
from dockerfw.document.rules import add_ids, check_interfaces
from dockerfw.document.values import Document, DocumentRule, Group
from dockerfw.iptables.errors import DocumentError


def add_document(draft: Document, added: Document) -> Document:
    """Return `draft` with what `added` has beside it; what both have the same is there once.

    A rule whose id the draft uses for another rule gets a new id. Raises DocumentError for a group that the
    draft has with other content, for interfaces that are not external ones of the draft, and for too many
    definitions of containers.
    """
    problems = Problems()
    groups = _add_groups(draft.groups, added.groups, problems)
    known = {replace(rule, id="") for rule in draft.rules}
    taken = {rule.id for rule in draft.rules}
    new: list[tuple[str, DocumentRule]] = []
    for place, rule in enumerate(added.rules):
        if replace(rule, id="") not in known:
            new.append((f"rules[{place}]", replace(rule, id="") if rule.id in taken else rule))
    check_interfaces(new, draft.settings.external_interfaces, problems)
    check_definitions([*(("", rule) for rule in draft.rules), *new], problems)
    if problems.errors:
        raise DocumentError(tuple(problems.errors))
    rules = add_ids([*(("", rule) for rule in draft.rules), *new], problems)
    expectations = (*draft.expectations, *added.expectations)
    return make_document(draft.settings, tuple(rules), expectations, groups)


def find_rules_in_both(draft: Document, added: Document) -> tuple[DocumentRule, ...]:
    """Return the rules of `added` that the draft already has, ids aside; adding leaves them out."""
    known = {replace(rule, id="") for rule in draft.rules}
    return tuple(rule for rule in added.rules if replace(rule, id="") in known)


def _add_groups(known: tuple[Group, ...], added: tuple[Group, ...], problems: Problems) -> tuple[Group, ...]:
    by_name = {group.name: group for group in known}
    for group in added:
        if by_name.setdefault(group.name, group) != group:
            problems.error(f"groups.{group.name}", sentences.other_group(group.name))
    if len(by_name) > MAX_GROUPS:
        problems.error("groups", sentences.too_many(len(by_name), "groups", MAX_GROUPS))
    entries = sum(len(group.entries) for group in by_name.values())
    if entries > MAX_ENTRIES:
        problems.error("groups", sentences.too_many(entries, "entries of groups", MAX_ENTRIES))
    return tuple(by_name.values())
