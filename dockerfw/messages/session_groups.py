"""The sessions from outside, as a part of the snapshot: grouped, counted and bounded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Annotated, Self

from dockerfw.iptables.model import Family
from dockerfw.messages.codec import Absent, AtMost, Message
from dockerfw.messages.errors import MessageError
from dockerfw.messages.shapes import Address, InterfaceName, Positive, Text, Whole
from dockerfw.reach.inbound import InboundSession, SessionTarget

MOST_GROUPS = 2000

_Port = Annotated[int, Whole(most=65535)]


@dataclass(frozen=True, slots=True)
class SessionGroup(Message):
    """How many sessions are alike in all that a rule can match. Its fields are those of `InboundSession`."""

    place: SessionTarget
    family: Family
    protocol: Annotated[str, Text(32)]
    source: Address
    port: _Port | None
    inner_port: _Port | None
    interfaces: Annotated[tuple[InterfaceName, ...], AtMost(64)]
    count: Positive
    destination: Annotated[Address, Absent.WHEN_EMPTY] = ""
    dialled: Annotated[Address, Absent.WHEN_EMPTY] = ""

    @classmethod
    def of(cls, inbound: InboundSession, count: int) -> Self:
        """Return the group of `count` sessions like this one."""
        return cls(**asdict(inbound), count=count)

    @property
    def inbound(self) -> InboundSession:
        """What a rule can match of each of these sessions."""
        return InboundSession(
            self.place,
            self.family,
            self.protocol,
            self.source,
            self.port,
            self.inner_port,
            self.interfaces,
            self.destination,
            self.dialled,
        )

    def check(self) -> None:
        """Refuse an address that is none of the family, and a group without a source."""
        addresses = {"source": self.source, "destination": self.destination, "dialled": self.dialled}
        for name, address in addresses.items():
            optional = name != "source"
            if not (address or optional) or (address and ip_address(address).version != self.family):
                raise MessageError(name, "must be an address of its family")


@dataclass(frozen=True, slots=True)
class SessionGroups(Message):
    """The sessions from outside that were open; `whole` is False when there are more than these."""

    groups: Annotated[tuple[SessionGroup, ...], AtMost(MOST_GROUPS)] = ()
    whole: bool = True
