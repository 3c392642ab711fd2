"""Read what the guide asks and proposes: its steps, the viewer's address, and the services of the host.

The answers are in the draft, so that a guide that was left can be taken up again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Final

from dockerfw.document.document import DocumentRule
from dockerfw.document.rule_ports import applies_to_port
from dockerfw.document.words import describe_sources
from dockerfw.reach.container_access import NO_EFFECT, ContainerEffect, LostService
from dockerfw.reach.lockout import ssh_ports
from dockerfw.reach.offers import Offer
from rules.applying.proposal_selectors import next_number
from rules.asking.exposure_line_selectors import Line, exposure_lines, first_values
from rules.asking.exposure_run_selectors import fold_runs
from rules.asking.exposure_selectors import read_exposure
from rules.draft.basis_selectors import Basis
from rules.seen.consequence_selectors import Caller, container_effect
from rules.seen.listening_selectors import listening_of
from rules.seen.snapshot_selectors import SnapshotView

STEPS: Final = {
    "interfaces": "External interface",
    "ssh": "SSH",
    "services": "Services",
    "containers": "Containers",
    "summary": "Review",
}
MOST_SERVICES: Final = 100
_MOST_RULES: Final = 50


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the guide; `answer` is what the draft has for it, "" for nothing yet."""

    name: str
    title: str
    number: int
    answer: str


@dataclass(frozen=True, slots=True)
class Viewer:
    """The address that the viewer arrives from, or the reason why it is unknown."""

    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class Service:
    """A port that something listens on.

    `values` is the rule that would allow it, `in_draft` the one that does. `here` is true for the port of
    this page.
    """

    key: str
    line: Line
    values: Mapping[str, object]
    in_draft: DocumentRule | None
    here: bool


def start_steps(basis: Basis) -> tuple[Step, ...]:
    """Return the steps with the draft's answers."""
    settings, ports = basis.draft.settings, ports_of_ssh(basis.view)
    ssh = ssh_rules(basis, ports)
    others = sum(rule.enabled and rule not in ssh for rule in basis.draft.rules)
    answers = {
        "interfaces": ", ".join(settings.external_interfaces),
        "ssh": describe_sources(ssh[0].sources) if ssh else "",
        "services": f"{others} {'rule' if others == 1 else 'rules'}" if others else "",
        "containers": "always reach this host" if settings.containers_reach_host == "allow" else "",
        "summary": "",
    }
    return tuple(
        Step(name, title, number, answers[name]) for number, (name, title) in enumerate(STEPS.items(), 1)
    )


def ports_of_ssh(view: SnapshotView | None) -> tuple[int, ...]:
    """Return the ports that sshd listens on, 22 if unknown."""
    return ssh_ports(listening_of(view).listeners if view else ())


def ssh_rules(basis: Basis, ports: Iterable[int]) -> tuple[DocumentRule, ...]:
    """Return the draft's allowances for a port of sshd."""
    ports = tuple(ports)
    return tuple(
        rule
        for rule in basis.draft.rules
        if _allows(rule, "host") and any(applies_to_port(rule, "tcp", port) for port in ports)
    )


def viewer_of(caller: Caller, view: SnapshotView | None) -> Viewer:
    """Return the address that the viewer's packets come from, as far as dockerfw knows it."""
    try:
        address = ip_address(caller.address)
    except ValueError:
        return Viewer("", "dockerfw does not see the address that you connect from")
    if address.is_loopback:
        return Viewer("", "you open this page on the host itself or through a tunnel")
    if address.is_link_local:
        return Viewer("", f"{address} is valid on one network segment only")
    seen = view.snapshot.interfaces if view else ()
    networks = [(each, ip_interface(text)) for each in seen for text in each.addresses]
    if any(address == one.ip for _, one in networks):
        return Viewer("", f"your connection arrives from the host's own address {address}")
    bridged = any(each.kind == "bridge" and address in one.network for each, one in networks)
    if caller.contained and (view is None or bridged):
        return Viewer("", "Docker passes your connection on from an address of its own")
    return Viewer(str(address), "")


def offered_services(basis: Basis, caller: Caller) -> tuple[Service, ...]:
    """Return what listens on the host and can be reached over a network, without sshd: one for each rule."""
    view = basis.view
    if view is None:
        return ()
    ssh = ports_of_ssh(view)
    lines = exposure_lines(read_exposure(basis, view).rows, basis.rules, loaded=False)
    found: dict[str, Service] = {}
    for line in fold_runs(line for line in lines if _is_asked(line.row.offer, ssh)):
        ports, offer = line.port.rpartition("/")[0], line.row.offer
        values = {**first_values(offer), "ports": [ports], "comment": _comment(offer)}
        key = "-".join((offer.protocol, ports, str(values["scope"]), str(values.get("to", ""))))
        here = caller.here and offer.protocol == "tcp" and offer.port == caller.server_port
        found.setdefault(key, Service(key, line, values, _allowance(basis, line, str(values["scope"])), here))
    return tuple(found.values())


def lost_services(basis: Basis) -> ContainerEffect:
    """Return what containers reach on the host today, and would not under the draft."""
    if basis.view is None:
        return NO_EFFECT
    return container_effect(basis.view, basis.draft, next_number(basis.host))


def service_key(service: LostService) -> str:
    """Return the name of a service in a form."""
    return f"{service.protocol}-{service.port}-{'published' if service.published else 'host'}"


def proposed_services(basis: Basis, lost: Iterable[LostService]) -> tuple[str, ...]:
    """Return the keys of the services that stay reachable unless an admin says otherwise: not sshd."""
    ssh = ports_of_ssh(basis.view)
    return tuple(
        service_key(each) for each in lost if each.published or each.protocol != "tcp" or each.port not in ssh
    )


def rules_for(lost: Iterable[LostService]) -> tuple[Mapping[str, object], ...]:
    """Return a rule for each of these services, for the containers that reach it today."""
    return tuple(
        {
            **dict(service.fields),
            "ports": [str(service.port)],
            "sources": list(service.sources),
            "comment": f"{service.name} for containers"[:200],
        }
        for service in lost
    )[:_MOST_RULES]


def _comment(offer: Offer) -> str:
    """Return the name of what listens, without what no comment may hold."""
    return "".join(letter for letter in offer.name or offer.detail if letter.isprintable())[:200]


def _is_asked(offer: Offer, ssh: Iterable[int]) -> bool:
    """Return True if the guide asks about an offer: not about what only the host itself reaches, nor sshd."""
    if offer.ports or offer.kind == "past-host" or offer.interface == "lo":
        return False
    if offer.address is not None and (offer.address.is_loopback or offer.address.is_link_local):
        return False
    return not (offer.kind == "process" and offer.protocol == "tcp" and offer.port in ssh)


def _allowance(basis: Basis, line: Line, scope: str) -> DocumentRule | None:
    """Return the draft's allowance for the ports of a line, None without one."""
    ends = (line.row.offer, *((line.last.row.offer,) if line.last else ()))
    return next(
        (
            rule
            for rule in basis.draft.rules
            if _allows(rule, scope) and all(_applies_to(rule, each) for each in ends)
        ),
        None,
    )


def _applies_to(rule: DocumentRule, offer: Offer) -> bool:
    inner = [port for family in offer.families if (port := offer.inner_port(family)) is not None]
    return applies_to_port(rule, offer.protocol, offer.port, inner)


def _allows(rule: DocumentRule, scope: str) -> bool:
    return rule.enabled and rule.action == "allow" and rule.scope in ("both", scope)
