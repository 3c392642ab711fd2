"""What a host's kernel refused: packets, in batches, which the root worker adds to a stream in Redis.

Whoever sends a packet chooses what is in it, so each field has an exact form and a bound. The stream shows
examples and is no count: the counters of the rules count each packet. Unknown keys are ignored, so that later
releases can add some.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, ClassVar, Final, Literal

from dockerfw.iptables.model import Family
from dockerfw.messages.codec import AtMost, Message
from dockerfw.messages.errors import MessageError
from dockerfw.messages.shapes import Address, Count, HostName, Positive, Text, Time, Whole

MOST_REFUSALS: Final = 200
"""The refusals of one batch."""
MOST_BATCHES: Final = 2000
"""The batches that a host's stream has, roughly (XADD MAXLEN ~)."""
BATCH_FIELD: Final = b"batch"
"""The one field of an entry of the stream: a RefusalBatch as JSON."""
MAX_BATCH_BYTES: Final = 128 * 1024

Way = Literal["host", "container"]
Reason = Literal["refused", "block", "loopback"]

_Port = Annotated[int, Whole(most=65535)]


def refusals_key(host: str) -> str:
    """Return the Redis key of the stream of `host`."""
    return f"dockerfw:refused:{host}"


@dataclass(frozen=True, slots=True)
class InnerEnd(Message):
    """The address, and the port if there is one, that Docker's DNAT made the destination."""

    IGNORES_UNKNOWN_KEYS: ClassVar = True

    address: Address
    port: _Port | None


@dataclass(frozen=True, slots=True)
class Refusal(Message):
    """`count` alike packets that a chain refused, the first of them at `at`.

    `way` is the side that they were for: the host itself, or containers and whatever else it forwards to.
    `interface` is the one by which they came in, empty when it is unknown. `destination` and `port` are those
    that the client dialled, and `inner` is what DNAT made of them, None if nothing. The port is None where
    the protocol has none, or the packet was a fragment. `protocol` is spelled as in documents, a number where
    it has no name. `revision` is None for rules of another form, and `reason` tells the line: the refusal at
    the end (also of what exceeds a limit), a block, or the line for what is dialled to 127.0.0.0/8 and ::1.
    """

    IGNORES_UNKNOWN_KEYS: ClassVar = True

    at: Time
    family: Family
    way: Way
    interface: Annotated[str, Text(15, str.isprintable, "the name of an interface", or_empty=True)]
    source: Address
    destination: Address
    protocol: Annotated[str, Text(32, str.isprintable, "a protocol")]
    port: _Port | None
    inner: InnerEnd | None
    revision: Positive | None
    reason: Reason
    count: Positive

    def check(self) -> None:
        """Refuse an address that is missing or of the other family, and an empty protocol."""
        ends = {"source": self.source, "destination": self.destination}
        if self.inner is not None:
            ends["inner"] = self.inner.address
        for name, text in ends.items():
            if not text or ip_address(text).version != self.family:
                raise MessageError(name, "must be an address of its family")
        if not self.protocol:
            raise MessageError("protocol", "is empty")


@dataclass(frozen=True, slots=True)
class RefusalBatch(Message):
    """What was read from `first` to `last`, and `dropped`: how many more packets are known of, but not shown.

    `dropped` counts what the kernel reported as lost, and what did not fit the reader's bounds. Packets that
    the log line itself left out, because their source was above its rate, are only in the rules' counters.
    """

    FORMAT: ClassVar = "dockerfw-refusals/1"
    IGNORES_UNKNOWN_KEYS: ClassVar = True

    host: HostName
    first: Time
    last: Time
    refusals: Annotated[tuple[Refusal, ...], AtMost(MOST_REFUSALS)]
    dropped: Count

    @property
    def packets(self) -> int:
        """Return how many packets it stands for, shown or not."""
        return self.dropped + sum(one.count for one in self.refusals)
