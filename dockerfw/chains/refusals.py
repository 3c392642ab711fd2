"""The reasons not to load a document over live rules. Where there is one, nothing may be loaded.

A warning is for what an admin should know (warnings.py). A refusal is for what the load would break, and for
rules that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dockerfw.chains import sentences
from dockerfw.chains.after_load import filter_after_load
from dockerfw.chains.anchors import AnchorWork, adopted_interface, anchor_work, wanted_anchors
from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.names import DOCKER_USER, is_own_chain
from dockerfw.chains.owners import chain_owner
from dockerfw.chains.packet_classes import Answer, Meaning, PacketClass, TooManyClasses, list_classes
from dockerfw.chains.render import render_cached
from dockerfw.chains.set_matches import loaded_sets
from dockerfw.chains.without_ip_set import find_needed_sets
from dockerfw.document.values import Document
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.general import same_device
from dockerfw.simulation.trace import TraceStep


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason not to load, of one family: a code for programs and a sentence for people."""

    code: str
    message: str
    family: Family


def find_refusals(
    document: Document, live: Mapping[Family, Ruleset], limits: Thresholds = USUAL
) -> tuple[Refusal, ...]:
    """Return the reasons not to load a document over these rulesets; none if it may be loaded.

    `limits` are `WITHOUT_IP_SET` for a host that cannot have ipsets.
    """
    lacking = () if limits.has_ip_set else find_needed_sets(document, live)
    return (
        *(Refusal("needs-ip-set", message, family) for family, message in lacking),
        *(
            refusal
            for family, ruleset in live.items()
            for refusal in _of_family(document, family, ruleset, limits)
        ),
    )


def describe_refusals(refusals: Iterable[Refusal]) -> str:
    """Return the reasons as one text, each once."""
    return " ".join(dict.fromkeys(refusal.message for refusal in refusals))


def _of_family(document: Document, family: Family, live: Ruleset, limits: Thresholds) -> Iterator[Refusal]:
    for one in live.unprinted:
        yield Refusal("not-printed", sentences.rules_not_printed(family, one.sentence), family)
    work = anchor_work(wanted_anchors(document.settings), live)
    for rule in work.jumps:
        yield Refusal("foreign-jump", sentences.foreign_jump(family, rule.text), family)
    yield from _unfiltered_containers(document, family, work)
    if work.adopted and not live.unprinted:
        yield from _without_accept(document, family, live, limits)


def _unfiltered_containers(document: Document, family: Family, work: AnchorWork) -> Iterator[Refusal]:
    """Refuse to remove a jump that filters containers where dockerfw's own would not."""
    external = document.settings.external_interfaces
    for rule in work.adopted:
        name = adopted_interface(rule) if rule.chain == DOCKER_USER else None
        if name is not None and not _is_covered(name, external):
            message = sentences.containers_unfiltered(family, name)
            yield Refusal("containers-unfiltered", message, family)


def _is_covered(name: str, external: Sequence[str]) -> bool:
    """Return True if dockerfw filters containers on an interface; empty asks for any."""
    return any(not name or own == name or same_device(own, name) for own in external)


def _without_accept(
    document: Document, family: Family, live: Ruleset, limits: Thresholds
) -> Iterator[Refusal]:
    """Refuse to remove lines that accept packets where nothing else accepts what dockerfw allows."""
    try:
        after = filter_after_load(live, document, family, limits)
    except NetfilterError as error:
        yield Refusal("not-replayed", sentences.not_replayed(family, str(error)), family)
        return
    made = loaded_sets(render_cached(document, family, 0, limits).sets)
    before, later = Meaning(live, family), Meaning(after, family, made)
    for kind in _kinds_of_host(live, after, family):
        passed = before.ask(kind).passes
        step = _refused_by_others(later.ask(kind), passed) if passed else None
        if step is not None:
            by = sentences.POLICY_OF_INPUT if step.rule is None else f"{step.chain}: {step.rule.text}"
            message = sentences.nothing_accepts(family, by, loopback=kind.interface == "lo")
            yield Refusal("nothing-accepts", message, family)
            return


def _kinds_of_host(live: Ruleset, after: Ruleset, family: Family) -> tuple[PacketClass, ...]:
    """Return what has to pass: the host's own packets, answers, and every kind of new connection."""
    ssh = PacketClass("host", "", 6, (22, 22))
    basic = (replace(ssh, interface="lo"), replace(ssh, interface="eth0", connection="ESTABLISHED"))
    try:
        return (*basic, *(kind for kind in list_classes((live, after), family) if kind.place == "host"))
    except TooManyClasses:
        return (*basic, replace(ssh, interface="eth0"))


def _refused_by_others(answer: Answer, passed: AddressSet) -> TraceStep | None:
    """Return the rule or policy of others that refuses sources which passed before, None without any.

    A ban of fail2ban does not count: it is for a while, and for few sources.
    """
    for sources, verdict in answer.parts:
        step = verdict.step
        if verdict.passes is not False or step is None or is_own_chain(step.chain):
            continue
        if sources.intersection(passed) and chain_owner(step.table, step.chain) != "fail2ban":
            return step
    return None
