"""Lock-out: whether an admin who manages the host from outside could still connect after a load.

Checks new connections: open sessions prove nothing. The verdict is the simulator's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.iptables.model import Family
from dockerfw.iptables.networks import family_of
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach import sentences
from dockerfw.reach.allowing_rules import find_blocking
from dockerfw.reach.listening import Address, Listener
from dockerfw.reach.sentences import describe_place
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.services import Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import LOCAL, Surroundings

Reachable = Literal["yes", "no", "unknown"]

_SSH_UNITS: Final = ("ssh.service", "sshd.service", "ssh.socket", "sshd.socket")
_SSH_PORT: Final = 22
_WORST: Final[tuple[Reachable, ...]] = ("no", "unknown", "yes")


@dataclass(frozen=True, slots=True)
class LockoutAnswer:
    """The answer for one connection: `what` names it, `reason` is a sentence without its full stop.

    `already` is True if it is refused now too, so that the load changes nothing.
    """

    what: str
    can: Reachable
    reason: str
    already: bool = False


def worst(answers: Iterable[LockoutAnswer]) -> Reachable:
    """Return the worst answer: `no`, then `unknown`, then `yes`; those refused already do not count."""
    return min((each.can for each in answers if not each.already), key=_WORST.index, default="yes")


def ssh_ports(listeners: Iterable[Listener]) -> tuple[int, ...]:
    """Return the ports that sshd listens on, 22 if unknown."""
    found = {
        each.port
        for each in listeners
        if each.protocol == "tcp" and (each.process == "sshd" or each.unit in _SSH_UNITS)
    }
    return tuple(sorted(found)) or (_SSH_PORT,)


def check_access(
    prepared: Mapping[Family, Prepared],
    surroundings: Surroundings,
    *,
    what: str,
    source: Address,
    port: int,
    dialled: Address | None = None,
) -> LockoutAnswer:
    """Return whether a new TCP connection from `source` to `port` would be allowed.

    `dialled` is the address of the host that the client connects to, None if unknown.
    """
    family = family_of(source)
    own = surroundings.route(family, source, None) == LOCAL
    if family not in prepared:
        return LockoutAnswer(what, "unknown", sentences.rules_unread(family))
    interface = "lo" if own else surroundings.route(family, source, None)
    if interface is None:
        return LockoutAnswer(what, "unknown", sentences.incoming_interface_unknown(source))
    found = (source,) if own else _destinations(surroundings, family, interface, dialled)
    if isinstance(found, str):
        return LockoutAnswer(what, "unknown", found)
    answers = [
        _check(prepared[family], Service(family, TCP, address, port, interface), what, source)
        for address in found
    ]
    kinds = {each.can for each in answers}
    if len(kinds) > 1:
        return LockoutAnswer(what, "unknown", sentences.DEPENDS_ON_ADDRESS)
    if own and answers[0].can == "yes":
        return LockoutAnswer(what, "yes", sentences.on_the_host(source))
    return answers[0]


def check_access_from_anywhere(
    prepared: Mapping[Family, Prepared],
    surroundings: Surroundings,
    *,
    what: str,
    port: int,
    dialled: Address | None,
) -> LockoutAnswer:
    """Return whether a new TCP connection would be allowed from every address, if the client's is hidden.

    Docker's proxy hides it: it ends the connection on the host and opens a new one to the container.
    """
    if dialled is None:
        return LockoutAnswer(what, "unknown", sentences.HIDDEN_BY_PROXY)
    family = family_of(dialled)
    if family not in prepared:
        return LockoutAnswer(what, "unknown", sentences.rules_unread(family))
    names = [name for name, address in surroundings.addresses(family) if address.ip == dialled]
    if not names:
        return LockoutAnswer(what, "unknown", sentences.not_connected_to_this_host(dialled, between=False))
    found = simulate_service(prepared[family], Service(family, TCP, dialled, port, names[0]))
    if not found.refused and not found.unknown:
        return LockoutAnswer(what, "yes", sentences.every_address_reaches(port))
    if not found.passes and not found.unknown:
        return LockoutAnswer(what, "no", sentences.every_address_refused(port, family))
    return LockoutAnswer(what, "unknown", sentences.HIDDEN_BY_PROXY)


TCP: Final = protocol_number("tcp") or 6


def _destinations(
    surroundings: Surroundings, family: Family, interface: str, dialled: Address | None
) -> tuple[Address, ...] | str:
    """Return the addresses that the client may connect to, or the reason why they are unknown."""
    every = {address.ip for _, address in surroundings.addresses(family)}
    if dialled is not None and dialled.version == family:
        if dialled not in every:
            return sentences.not_connected_to_this_host(dialled, between=True)
        return (dialled,)
    own = tuple(
        address.ip for _, address in surroundings.addresses(family, interface) if not address.ip.is_link_local
    )
    return own or sentences.no_address(interface, family)


def _check(prepared: Prepared, service: Service, what: str, source: Address) -> LockoutAnswer:
    found = simulate_service(prepared, service)
    verdict = next((verdict for part, verdict in found.parts if source in part), None)
    if verdict is None or verdict.passes is None:
        reason = verdict.reason if verdict else ""
        return LockoutAnswer(what, "unknown", reason or sentences.UNDECIDED)
    blocks = find_blocking(prepared, verdict.step, AddressSet.single(source))
    place = describe_place(verdict.step) if verdict.step else sentences.THE_RULES
    by = sentences.blocking_rule(blocks[0]) if blocks else place
    if verdict.passes:
        return LockoutAnswer(what, "yes", sentences.can_reach(source, service.port))
    return LockoutAnswer(what, "no", sentences.would_be_refused(source, service.port, by))
