"""Read a host's draft and what it is measured against.

Owns the way from rows to a document. The base is the revision confirmed last; what differs from it is pending.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from rules.models import Host, Revision, Rule
from rules.netfilter.diff import DocumentDiff, diff_documents
from rules.netfilter.document import Document, DocumentRule, Settings, load_document


def host_default() -> Host:
    """Return the only host, or the one that DOCKERFW_HOST names when there are more."""
    host = Host.objects.filter(name=settings.ENVIRONMENT.host).first() or Host.objects.first()
    if host is None:
        host, _ = Host.objects.get_or_create(name=settings.ENVIRONMENT.host)
    return host


def host_get(name: str) -> Host | None:
    """Return the host of that name, None when there is none."""
    return Host.objects.filter(name=name).first()


def draft_document(host: Host) -> Document:
    """Return the draft as a document."""
    rules = tuple(rule_document(rule) for rule in Rule.objects.filter(host=host))
    return Document(settings=settings_document(host), rules=rules)


def base_revision(host: Host) -> Revision | None:
    """Return the revision that was confirmed last, None before the first."""
    if host.confirmed_revision_id is None:
        return None
    return host.confirmed_revision


def base_document(host: Host) -> Document | None:
    """Return the document of the revision that was confirmed last, None before the first."""
    revision = base_revision(host)
    return load_document(revision.document) if revision else None


def base_rules(host: Host) -> dict[str, DocumentRule]:
    """Return the rules of the base revision by key."""
    document = base_document(host)
    return {rule.id: rule for rule in document.rules} if document else {}


def pending_diff(host: Host) -> DocumentDiff:
    """Return what applying the draft would change in the base revision; `.count` is the banner's number."""
    return diff_documents(base_document(host), draft_document(host))


def settings_document(host: Host) -> Settings:
    """Return the draft's settings as a document's."""
    return Settings(
        external_interfaces=tuple(host.external_interfaces),
        trusted_interfaces=tuple(host.trusted_interfaces),
        refuse=host.refuse,
        icmp=host.icmp,
    )


def settings_values(host: Host) -> dict[str, Any]:
    """Return the draft's settings under a document's keys."""
    return {
        "external_interfaces": list(host.external_interfaces),
        "trusted_interfaces": list(host.trusted_interfaces),
        "refuse": host.refuse,
        "icmp": host.icmp,
    }


def rule_document(rule: Rule) -> DocumentRule:
    """Return a stored rule as a document's; it was checked when it was stored."""
    return DocumentRule(
        id=rule.key,
        scope=rule.scope,
        source=rule.source,
        protocol=rule.protocol,
        ports=tuple(rule.ports),
        port_kind=rule.port_kind,
        comment=rule.comment,
        enabled=rule.enabled,
    )


def rule_values(rule: Rule) -> dict[str, Any]:
    """Return a stored rule under a document's keys, with its id."""
    return rule_json(rule_document(rule))


def rule_json(rule: DocumentRule) -> dict[str, Any]:
    """Return a document's rule under its keys, all of them, with its id."""
    return {
        "id": rule.id,
        "scope": rule.scope,
        "source": rule.source,
        "protocol": rule.protocol,
        "ports": list(rule.ports),
        "port_kind": rule.port_kind,
        "comment": rule.comment,
        "enabled": rule.enabled,
    }
