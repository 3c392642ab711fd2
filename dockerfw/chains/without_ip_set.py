"""A host that cannot have ipsets: what of a document cannot be loaded there, and what changes.

Sources in documents and static groups are lines then, up to a bound. What a set has to follow cannot be
loaded: feeds, DNS names, countries, containers by name, the bridges of container networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dockerfw.chains import sentences
from dockerfw.chains.line_matches import is_proxied
from dockerfw.chains.match_groups import WITHOUT_IP_SET, Thresholds
from dockerfw.chains.render import render_cached
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.warnings import PlanWarning
from dockerfw.document.rule_fields import group_of
from dockerfw.document.values import Document, DocumentRule
from dockerfw.document.words import describe_rule
from dockerfw.iptables.model import Family

MOST_LINES: Final = 20_000
"""At most this many lines a family take the place of sets: each new connection passes them one by one."""


def find_needed_sets(document: Document, families: Iterable[Family]) -> Iterator[tuple[Family, str]]:
    """Yield why a document cannot be loaded without ipsets, with a family that it concerns."""
    asked = tuple(families)
    for sentence in _of_any_family(document) if asked else ():
        yield asked[0], sentence
    for family in asked:
        lines = _count(render_cached(document, family, 0, WITHOUT_IP_SET))
        if lines <= MOST_LINES:
            continue
        beyond = lines - _count(render_cached(document, family, 0))
        if beyond > MOST_LINES:
            yield family, sentences.too_long_without_ip_set(family, _longest(document), beyond, MOST_LINES)


def without_ip_set_warnings(document: Document, limits: Thresholds) -> Iterator[PlanWarning]:
    """Warn about rules for containers whose packets docker-proxy may take, if nothing tells which."""
    if not limits.has_ip_set and any(map(is_proxied, _enabled(document))):
        yield PlanWarning("without-ip-set", sentences.DOCKER_PROXY_WITHOUT_IP_SET)


def _of_any_family(document: Document) -> Iterator[str]:
    if document.settings.containers_reach_host == "allow":
        yield sentences.needs_ip_set(sentences.CONTAINERS_REACH_HOST)
    followed = {f"@{group.name}" for group in document.groups if group.kind != "static"}
    for rule in _enabled(document):
        named = [text for text in rule.sources if text in followed]
        if named or rule.container or (rule.action == "block" and is_proxied(rule)):
            yield sentences.needs_ip_set(sentences.rule_named(describe_rule(rule)))


def _enabled(document: Document) -> Iterator[DocumentRule]:
    return (rule for rule in document.rules if rule.enabled)


def _count(rendering: Rendering) -> int:
    return sum(map(len, rendering.chains.values()))


def _longest(document: Document) -> list[str]:
    """Return the groups with the most networks of those that rules name, or else the rules with the most."""
    used = {text for rule in _enabled(document) for text in rule.sources if group_of(text)}
    groups = {f"@{group.name}": len(group.entries) for group in document.groups}
    named = {text: groups[text] for text in used if groups.get(text)}
    if not named:
        named = {sentences.rule_named(describe_rule(rule)): len(rule.sources) for rule in _enabled(document)}
    return sorted(named, key=lambda text: (-named[text], text))
