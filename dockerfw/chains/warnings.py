"""What an admin should know before a load, beyond the lines that change.

Each warning has a code for programs and one plain sentence for people. None of them stops anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dockerfw.chains.anchors import AnchorWork, first_foreign, wanted_anchors
from dockerfw.chains.foreign_tables import describe_tables
from dockerfw.chains.names import DOCKER, DOCKER_USER, FILTERS, FORWARD, INPUT, body, is_ours, own_rules
from dockerfw.chains.owners import FAMILY_NAMES
from dockerfw.document.fields import interfaces_overlap
from dockerfw.document.values import Document, Settings
from dockerfw.document.words import counted
from dockerfw.iptables.model import Family, Rule, Ruleset

_DOCKER_ACCEPTS = ("DOCKER-FORWARD", "DOCKER-INGRESS")


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """One thing to know; `family` is None where it concerns the whole host."""

    code: str
    message: str
    family: Family | None = None


def document_warnings(
    document: Document,
    interfaces: Sequence[str] | None,
    docker_nftables: bool,
    foreign_tables: Sequence[str] = (),
) -> Iterator[PlanWarning]:
    """Warn about the document by itself and about the host it is meant for."""
    if not document.settings.external_interfaces:
        yield PlanWarning(
            "no-external-interface",
            "No external interface is set: only the host's own ports are filtered, containers' are not.",
        )
    if not any(rule.enabled for rule in document.rules):
        yield PlanWarning(
            "empty-document", "No rule allows anything: everything but the basics will be refused, SSH too."
        )
    if docker_nftables:
        yield PlanWarning(
            "docker-nftables",
            "Docker on this host uses nftables itself and has no DOCKER-USER chain: "
            "rules for containers cannot take effect.",
        )
    if foreign_tables:
        yield PlanWarning(
            "own-nftables",
            f"{describe_tables(foreign_tables)} What dockerfw allows still needs to pass there.",
        )
    if interfaces is not None:
        for name in document.settings.external_interfaces:
            if not any(interfaces_overlap(name, present) for present in interfaces):
                yield PlanWarning(
                    "interface-missing", f"The external interface {name} does not exist on this host now."
                )


def family_warnings(
    settings: Settings, family: Family, live: Ruleset, work: AnchorWork
) -> Iterator[PlanWarning]:
    """Warn about what the live ruleset of one family means for the document."""
    name = FAMILY_NAMES[family]
    yield from _policy_warnings(family, live, work)
    yield from _position_warnings(settings, family, live)
    if settings.external_interfaces:
        yield from _docker_user_warnings(family, live)
    for rule in work.adopted:
        words = rule.text.split()
        if rule.chain == DOCKER_USER and words[2] == "-i" and words[3] not in settings.external_interfaces:
            yield PlanWarning(
                "interface-no-longer-filtered",
                f"{name}: containers were filtered on {words[3]} until now; it is not an external interface.",
                family,
            )
    strangers = own_rules(live, FILTERS)
    if strangers and not any(is_ours(rule.text) for rule in strangers):
        yield PlanWarning(
            "filters-chain-replaced",
            f"{name}: the chain FILTERS holds {counted(len(strangers), 'rule')} that dockerfw did not write. "
            "They are replaced; import them first if what they allow shall stay.",
            family,
        )
    for rule in work.jumps:
        yield PlanWarning(
            "foreign-jump", f"{name}: somebody's rule calls our chain and is left alone: {rule.text}", family
        )


def _policy_warnings(family: Family, live: Ruleset, work: AnchorWork) -> Iterator[PlanWarning]:
    chain = live.chain("filter", INPUT)
    if chain is None or chain.policy in (None, "ACCEPT"):
        return
    message = (
        f"{FAMILY_NAMES[family]}: the policy of INPUT is {chain.policy}. What dockerfw allows on the host "
        "still needs somebody else's ACCEPT."
    )
    if work.adopted:
        message += " The hand-made set-up's own ACCEPT lines go away with this load."
    yield PlanWarning("input-policy", message, family)


def _position_warnings(settings: Settings, family: Family, live: Ruleset) -> Iterator[PlanWarning]:
    for chain, anchors in wanted_anchors(settings).items():
        found = live.chain("filter", chain)
        rule = first_foreign(found.rules, anchors) if found else None
        if rule is not None:
            yield PlanWarning(
                "rule-before-anchor",
                f"{FAMILY_NAMES[family]}: in {chain} a rule of somebody else stands before dockerfw's: "
                f"{body(rule)}. This load puts dockerfw's first again.",
                family,
            )


def _docker_user_warnings(family: Family, live: Ruleset) -> Iterator[PlanWarning]:
    name = FAMILY_NAMES[family]
    if live.chain("filter", DOCKER_USER) is None:
        yield PlanWarning(
            "docker-user-missing",
            f"{name}: there is no DOCKER-USER chain, so Docker does not filter here now. It is created, "
            "and takes effect when Docker does.",
            family,
        )
    elif docker_user_bypassed(live):
        yield PlanWarning(
            "docker-user-not-jumped",
            f"{name}: FORWARD does not call DOCKER-USER, so rules for containers have no effect until Docker "
            "adds its jump.",
            family,
        )
    elif not docker_user_jumped(live):
        yield PlanWarning(
            "docker-not-filtering",
            f"{name}: Docker does not filter here now. A container with an {name} address of its own would "
            "be reached past the rules for containers.",
            family,
        )


def docker_user_bypassed(live: Ruleset) -> bool:
    """Say whether Docker filters here and packets to containers miss DOCKER-USER all the same.

    Docker 20.10 with its experimental ip6tables does that; without Docker's chains nothing is missed.
    """
    return live.chain("filter", DOCKER) is not None and not docker_user_jumped(live)


def past_docker_user(settings: Settings, live: Ruleset) -> Rule | None:
    """Return the first rule of FORWARD that lets new packets in before DOCKER-USER is asked.

    That is an ACCEPT that is not for established connections only, nor for an interface that is not
    external; or the call of a chain in which Docker accepts.
    """
    forward = live.chain("filter", FORWARD)
    for rule in forward.rules if forward and docker_user_jumped(live) else ():
        if body(rule) == f"-j {DOCKER_USER}":
            break
        target = rule.target.name if rule.target else ""
        if target in (DOCKER, *_DOCKER_ACCEPTS) or (target == "ACCEPT" and _lets_new_in(settings, rule)):
            return rule
    return None


def _lets_new_in(settings: Settings, rule: Rule) -> bool:
    for match in rule.matches:
        for option in match.options:
            if option.name in ("--ctstate", "--state") and not option.negated:
                states = set(option.values[0].split(",")) if option.values else set()
                if states <= {"RELATED", "ESTABLISHED"}:
                    return False
            if option.name == "-i" and not option.negated and option.values:
                external = settings.external_interfaces
                return any(interfaces_overlap(option.values[0], name) for name in external)
    return True


def docker_user_jumped(live: Ruleset) -> bool:
    """Say whether FORWARD sends its packets to DOCKER-USER."""
    forward = live.chain("filter", FORWARD)
    return forward is not None and any(body(rule) == f"-j {DOCKER_USER}" for rule in forward.rules)
