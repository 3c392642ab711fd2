"""The sessions from outside, as a part of the snapshot: grouped, counted and bounded.

Owns their shape: frozen values, strict `from_json`, plain `to_json`. It must not do I/O, read a clock, run a
command, or import Django.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, cast

from dockerfw.messages.fields import Fields
from dockerfw.reach.inbound import InboundSession, Place

MOST_GROUPS = 2000


@dataclass(frozen=True, slots=True)
class SessionGroup:
    """How many sessions there are that differ in nothing a rule can see."""

    inbound: InboundSession
    count: int

    @classmethod
    def from_json(cls, value: object, path: str = "") -> SessionGroup:
        """Read a group. Raises OrderError."""
        fields = Fields(value, path)
        family = cast(Literal[4, 6], fields.integer("family", least=4, most=6))
        source = fields.text("source", longest=64)
        if _version(source) != family:
            fields.fail("source", "must be an address of its family")
        group = cls(
            InboundSession(
                place=cast(Place, fields.one_of("place", ("host", "container"))),
                family=family,
                protocol=fields.text("protocol", longest=32),
                source=source,
                port=fields.optional("port", lambda key: _port(fields, key)),
                inner_port=fields.optional("inner_port", lambda key: _port(fields, key)),
                interfaces=fields.texts("interfaces", most=64, longest=64),
            ),
            count=fields.integer("count", least=1),
        )
        fields.done()
        return group

    def to_json(self) -> dict[str, object]:
        """Return the group as a JSON object."""
        return {
            "place": self.inbound.place,
            "family": self.inbound.family,
            "protocol": self.inbound.protocol,
            "source": self.inbound.source,
            "port": self.inbound.port,
            "inner_port": self.inbound.inner_port,
            "interfaces": list(self.inbound.interfaces),
            "count": self.count,
        }


@dataclass(frozen=True, slots=True)
class SessionGroups:
    """The sessions from outside that were open; `whole` is False when there are more than these."""

    groups: tuple[SessionGroup, ...] = ()
    whole: bool = True

    @classmethod
    def from_json(cls, value: object, path: str = "") -> SessionGroups:
        """Read them. Raises OrderError."""
        fields = Fields(value, path)
        items = fields.items("groups", most=MOST_GROUPS)
        found = cls(tuple(SessionGroup.from_json(item, at) for item, at in items), fields.flag("whole"))
        fields.done()
        return found

    def to_json(self) -> dict[str, object]:
        """Return them as a JSON object."""
        return {"groups": [group.to_json() for group in self.groups], "whole": self.whole}


def _port(fields: Fields, key: str) -> int:
    return fields.integer(key, most=65535)


def _version(text: str) -> int:
    try:
        return ip_address(text).version
    except ValueError:
        return 0
