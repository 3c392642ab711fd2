"""What a new version of a list would do to a host: to its expectations, and to the admins who work there now.

A list comes into use without a review and without a window, so the simulator is asked first, with the rules
that the kernel held at the last look. What it cannot tell holds no list back: the rules are the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from django.utils import timezone

from dockerfw.chains.group_sets import bound_set_name
from dockerfw.chains.list_judgement import Members
from dockerfw.document.document import Document, load_document
from dockerfw.document.words import describe_expectation
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.messages.snapshot_values import surroundings_of
from dockerfw.reach.lockout import check_access, ssh_ports
from dockerfw.simulation.simulate import Prepared, prepare
from dockerfw.simulation.surroundings import Surroundings
from rules.audit.audit_selectors import addresses_since
from rules.lists import sentences
from rules.models import Host
from rules.seen.consequence_selectors import check_document, prepare_live
from rules.seen.listening_selectors import listening_of
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView, look

# Who did something this recently may still be at work from the same address.
AT_WORK = timedelta(hours=1)
MOST_ADMINS = 50

_documents: Memory[Document] = Memory(4)


def find_harm(host: Host, members: Mapping[str, Members]) -> str:
    """Say why these members by definition must not be loaded now, empty where nothing speaks against them."""
    seen = look(host)
    if (view := seen.view) is None:
        return sentences.CANNOT_JUDGE.format(why=seen.problem)
    before = surroundings_of(view.snapshot)
    after = _with_members(before, members)
    if after is before:
        # No rule of the kernel names the list.
        return ""
    rules = prepare_live(view)
    changed = {family: prepare(view.rulesets[family], after, family) for family in rules}
    return _broken_expectation(host, view, rules, changed) or _locked_out(host, view, rules, changed)


def _with_members(around: Surroundings, members: Mapping[str, Members]) -> Surroundings:
    """Return the surroundings with other members of the sets that the kernel's rules name."""
    changed = {}
    for definition, one in members.items():
        for family in FAMILIES:
            known = around.sets.get(bound_set_name(definition, family))
            if known is not None:
                changed[known.name] = replace(known, members=one.of(family))
    return replace(around, sets={**around.sets, **changed}) if changed else around


def _broken_expectation(
    host: Host, view: SnapshotView, before: Mapping[Family, Prepared], after: Mapping[Family, Prepared]
) -> str:
    """Name the first expectation that holds today and would not hold."""
    revision = host.confirmed_revision
    if revision is None:
        return ""
    document = _documents.get_or_compute(revision.digest, lambda: load_document(revision.document))
    if not document.expectations:
        return ""

    results = (check_document(view, document, rules) for rules in (before, after))
    for old, new in zip(*results, strict=True):
        if new.state == "fails" and old.state != "fails":
            return sentences.BREAKS_EXPECTATION.format(
                expectation=describe_expectation(new.expectation), why=new.reason
            )
    return ""


def _locked_out(
    host: Host, view: SnapshotView, before: Mapping[Family, Prepared], after: Mapping[Family, Prepared]
) -> str:
    """Name the first address of an admin at work that reaches the host today and would not reach it."""
    around = surroundings_of(view.snapshot)
    ports = ssh_ports(listening_of(view).listeners)
    at_work = sorted(addresses_since(timezone.now() - AT_WORK), key=str)
    for source in at_work[:MOST_ADMINS]:
        for port in ports:
            old, new = (
                check_access(rules, around, what="SSH", source=source, port=port).can
                for rules in (before, after)
            )
            if (old, new) == ("yes", "no"):
                return sentences.LOCKS_OUT.format(address=source, port=port)
    return ""
