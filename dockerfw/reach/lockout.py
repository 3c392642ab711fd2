"""Whether somebody who manages the host from outside would still get to it after a load.

Owns the question: from which address, by which interface, to which port. A session that is open already says
nothing about it; what is asked is a new connection. The verdict is the simulator's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dockerfw.iptables.model import FAMILY_NAMES, Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.reach.listening import Address, Listener
from dockerfw.reach.sentences import describe_place
from dockerfw.simulation.services import Service, simulate_service
from dockerfw.simulation.simulate import Prepared
from dockerfw.simulation.surroundings import LOCAL, Surroundings

Reachable = Literal["yes", "no", "unknown"]

_SSH_UNITS: Final = ("ssh.service", "sshd.service", "ssh.socket", "sshd.socket")
_SSH_PORT: Final = 22
_WORST: Final[tuple[Reachable, ...]] = ("no", "unknown", "yes")


@dataclass(frozen=True, slots=True)
class LockoutAnswer:
    """Whether a way stays open: `what` names it, `reason` is a sentence without its full stop.

    `already` says that it is shut now too, so that nothing is lost.
    """

    what: str
    can: Reachable
    reason: str
    already: bool = False


def worst(answers: Iterable[LockoutAnswer]) -> Reachable:
    """Return the worst of some answers: `no` before `unknown` before `yes`; what is shut already is none."""
    return min((each.can for each in answers if not each.already), key=_WORST.index, default="yes")


def ssh_ports(listeners: Iterable[Listener]) -> tuple[int, ...]:
    """Return the ports on which sshd listens, 22 when that is not known."""
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
    """Say whether a new TCP connection from `source` to `port` would get through.

    `dialled` is the address of the host that the client uses, None when that is not known.
    """
    family: Family = 4 if source.version == 4 else 6
    own = surroundings.route(family, source, None) == LOCAL
    if family not in prepared:
        return LockoutAnswer(what, "unknown", f"the rules of {FAMILY_NAMES[family]} could not be read")
    interface = "lo" if own else surroundings.route(family, source, None)
    if interface is None:
        return LockoutAnswer(what, "unknown", f"by which interface {source} comes in is not known")
    found = (source,) if own else _destinations(surroundings, family, interface, dialled)
    if isinstance(found, str):
        return LockoutAnswer(what, "unknown", found)
    answers = [
        _ask(prepared[family], Service(family, _TCP, address, port, interface), what, source)
        for address in found
    ]
    kinds = {each.can for each in answers}
    if len(kinds) > 1:
        return LockoutAnswer(what, "unknown", "it depends on the address of the host that you dial")
    if own and answers[0].can == "yes":
        return LockoutAnswer(what, "yes", f"you are on the host itself ({source})")
    return answers[0]


def check_access_from_anywhere(
    prepared: Mapping[Family, Prepared],
    surroundings: Surroundings,
    *,
    what: str,
    port: int,
    dialled: Address | None,
) -> LockoutAnswer:
    """Say whether a new TCP connection would get through from wherever: for somebody whose address is hidden.

    Docker's own proxy hides it: it ends the connection on the host and makes one of its own to the container.
    """
    if dialled is None:
        return LockoutAnswer(what, "unknown", HIDDEN_BY_PROXY)
    family: Family = 4 if dialled.version == 4 else 6
    if family not in prepared:
        return LockoutAnswer(what, "unknown", f"the rules of {FAMILY_NAMES[family]} could not be read")
    names = [name for name, address in surroundings.addresses(family) if address.ip == dialled]
    if not names:
        return LockoutAnswer(what, "unknown", f"{dialled}, which you dial, is not an address of this host")
    found = simulate_service(prepared[family], Service(family, _TCP, dialled, port, names[0]))
    if not found.refused and not found.unknown:
        return LockoutAnswer(what, "yes", f"anybody gets through to {port}/tcp")
    if not found.passes and not found.unknown:
        return LockoutAnswer(
            what, "no", f"everybody would be refused at {port}/tcp over {FAMILY_NAMES[family]}"
        )
    return LockoutAnswer(what, "unknown", HIDDEN_BY_PROXY)


# What a page behind Docker's own proxy cannot know.
HIDDEN_BY_PROXY: Final = "Docker's own proxy passes you on, and hides the address that you come from"
_TCP: Final = protocol_number("tcp") or 6


def _destinations(
    surroundings: Surroundings, family: Family, interface: str, dialled: Address | None
) -> tuple[Address, ...] | str:
    """Return the addresses that may have been dialled, or why that is not known."""
    every = {address.ip for _, address in surroundings.addresses(family)}
    if dialled is not None and dialled.version == family:
        if dialled not in every:
            return (
                f"{dialled}, which you dial, is not an address of this host: another machine stands between"
            )
        return (dialled,)
    own = tuple(
        address.ip for _, address in surroundings.addresses(family, interface) if not address.ip.is_link_local
    )
    return own or f"{interface} has no {FAMILY_NAMES[family]} address"


def _ask(prepared: Prepared, service: Service, what: str, source: Address) -> LockoutAnswer:
    found = simulate_service(prepared, service)
    verdict = next((verdict for part, verdict in found.parts if source in part), None)
    if verdict is None or verdict.passes is None:
        reason = verdict.reason if verdict else ""
        return LockoutAnswer(what, "unknown", reason or "the simulator cannot decide it")
    by = describe_place(verdict.step) if verdict.step else "the rules"
    if verdict.passes:
        return LockoutAnswer(what, "yes", f"{source} gets through to {service.port}/tcp")
    return LockoutAnswer(what, "no", f"{source} would be refused at {service.port}/tcp by {by}")
