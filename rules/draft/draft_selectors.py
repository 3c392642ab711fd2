"""Read a host's draft and its base, the revision that was confirmed last. The difference is pending."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, cast

from django.db import connection

from dockerfw.document.diff import DocumentDiff, diff_documents
from dockerfw.document.document import (
    Document,
    DocumentRule,
    Settings,
    digest,
    expectation_to_json_object,
    load_document,
    make_document,
    rule_to_json_object,
    settings_to_json_object,
)
from dockerfw.document.document import Expectation as DocumentExpectation
from dockerfw.document.document import Group as DocumentGroup
from rules.models import AuditEvent, Expectation, Group, Host, Revision, Rule
from rules.seen.memory import Memory

# In the order of a document rule's fields.
RULE_COLUMNS = (
    *("key", "scope", "sources", "protocol", "ports", "port_kind", "comment", "enabled", "to", "action"),
    *("container", "interface", "limit", "starts", "expires", "owner", "ticket", "tags"),
)
GROUP_COLUMNS = (
    *("name", "kind", "entries", "url", "refresh_hours", "allow_http", "names", "countries", "comment"),
)
EXPECTATION_COLUMNS = ("source", "protocol", "port", "to", "container", "passes", "comment")


def _count_rules(document: Document) -> int:
    return len(document.rules)


_documents: Memory[Document] = Memory(16, _count_rules)
_drafts: Memory[Document] = Memory(4, _count_rules)
_pending: Memory[DocumentDiff] = Memory(4)
_diffs: Memory[DocumentDiff] = Memory(4)


def settings_mark(host: Host) -> str:
    """Return a short digest of the draft's settings, which changes with them."""
    text = json.dumps(settings_values(host), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def draft_document(host: Host) -> Document:
    """Return the draft as a document, as of `host.draft_version` at least."""
    # An open transaction may be rolled back, so its reads are not cached under a version.
    if connection.in_atomic_block:
        return _read_draft(host)
    return _drafts.get_or_compute(_draft_key(host), lambda: _read_draft(host))


def base_revision(host: Host) -> Revision | None:
    """Return the revision that was confirmed last, None before the first."""
    if host.confirmed_revision_id is None:
        return None
    return host.confirmed_revision


def base_document(host: Host) -> Document | None:
    """Return the document of the revision that was confirmed last, None before the first."""
    revision = base_revision(host)
    return revision_document(revision) if revision else None


def revision_document(revision: Revision) -> Document:
    """Return a revision's document, which never changes and is parsed once."""
    return _documents.get_or_compute(revision.digest, lambda: load_document(revision.document))


def base_rules(host: Host) -> dict[str, DocumentRule]:
    """Return the rules of the base revision by key."""
    document = base_document(host)
    return {rule.id: rule for rule in document.rules} if document else {}


def pending_diff(host: Host) -> DocumentDiff:
    """Return what applying the draft would change; `.count` is the number in the banner."""
    if connection.in_atomic_block:
        return document_diff(base_document(host), draft_document(host))
    key = (_draft_key(host), host.confirmed_revision_id)
    return _pending.get_or_compute(key, lambda: document_diff(base_document(host), draft_document(host)))


def document_diff(old: Document | None, new: Document) -> DocumentDiff:
    """Return how two documents differ; a review, its apply and the banner ask for the same two."""
    key = (digest(old) if old else "", digest(new))
    return _diffs.get_or_compute(key, lambda: diff_documents(old, new))


def draft_replaced(host: Host) -> AuditEvent | None:
    """Return the last event that replaced the whole draft, None when none has."""
    verbs = ("draft-discard", "draft-replace", "draft-restore")
    return AuditEvent.objects.filter(host=host, verb__in=verbs).first()


def settings_document(host: Host) -> Settings:
    """Return the draft's settings as a document's."""
    return Settings(
        external_interfaces=tuple(host.external_interfaces),
        trusted_interfaces=tuple(host.trusted_interfaces),
        refuse=cast("Any", host.refuse),
        icmp=cast("Any", host.icmp),
        heal_anchors=host.heal_anchors,
        containers_reach_host=cast("Any", host.containers_reach_host),
        log_refused=host.log_refused,
    )


def settings_values(host: Host) -> dict[str, Any]:
    """Return the draft's settings under a document's keys."""
    return settings_to_json_object(settings_document(host))


def rule_document(rule: Rule) -> DocumentRule:
    """Return a stored rule as a document rule; it was validated when it was stored."""
    return DocumentRule(*_columns(getattr(rule, name) for name in RULE_COLUMNS))


def stored_rules(host: Host) -> Iterator[tuple[int, DocumentRule]]:
    """Yield the rules of a draft with their versions, in the order they were added.

    A rule that is as in the base is that object: of thousands of rules mostly one differs.
    """
    base = base_rules(host)
    # Tuples, not model instances: a draft may have thousands of rules.
    rows = Rule.objects.filter(host=host).values_list("version", *RULE_COLUMNS)
    for version, *columns in rows.iterator():
        rule = DocumentRule(*_columns(columns))
        applied = base.get(rule.id, rule)
        yield version, applied if applied == rule else rule


def rule_values(rule: Rule) -> dict[str, Any]:
    """Return a stored rule under a document's keys, with its id."""
    return rule_to_json_object(rule_document(rule))


def group_document(group: Group) -> DocumentGroup:
    """Return a stored group as a document's; it was validated when it was stored."""
    return DocumentGroup(*_columns(getattr(group, name) for name in GROUP_COLUMNS))


def draft_groups(host: Host) -> tuple[DocumentGroup, ...]:
    """Return the groups of a draft by name."""
    rows = Group.objects.filter(host=host).values_list(*GROUP_COLUMNS)
    return tuple(DocumentGroup(*_columns(row)) for row in rows)


def expectation_document(expectation: Expectation) -> DocumentExpectation:
    """Return a stored expectation as a document's; it was validated when it was stored."""
    return DocumentExpectation(*(getattr(expectation, name) for name in EXPECTATION_COLUMNS))


def expectation_values(expectation: Expectation) -> dict[str, Any]:
    """Return a stored expectation under a document's keys."""
    return expectation_to_json_object(expectation_document(expectation))


def _draft_key(host: Host) -> Hashable:
    # The time of creation distinguishes hosts of recreated databases, which reuse keys.
    return (host.pk, host.created_at, host.draft_version)


def _read_draft(host: Host) -> Document:
    rules = tuple(rule for _, rule in stored_rules(host))
    expected = Expectation.objects.filter(host=host).values_list(*EXPECTATION_COLUMNS)
    expectations = tuple(DocumentExpectation(*cast("Any", columns)) for columns in expected)
    return make_document(settings_document(host), rules, expectations, draft_groups(host))


def _columns(values: Iterable[Any]) -> Iterator[Any]:
    """Yield stored values with tuples instead of lists."""
    return (tuple(value) if isinstance(value, list) else value for value in values)
