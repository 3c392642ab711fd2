"""The messages from the web to the root worker: orders, and the admin's answers while a window is open.

Everything that is read here comes over a queue that others can write to, so all of it is checked. The
document inside an order is only known to be an object; the root worker validates it. The dashboard signs both
(signatures.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from dockerfw.messages.codec import Absent, Message
from dockerfw.messages.errors import MessageError
from dockerfw.messages.outcomes import MOST_CONFIRM_SECONDS
from dockerfw.messages.shapes import AnyObject, Digest, HostName, Positive, SignatureText, Time, Uuid, Whole

CLERK_QUEUE = "clerk"

LEAST_CONFIRM_SECONDS = 15
"""The shortest confirmation window, from the moment that the rules are loaded."""
EXPIRY_SECONDS = 120
"""Older orders and answers are refused: the queue was stuck, and the admin who sent them may have left."""
CLOCK_SKEW_SECONDS = 60

AnswerKind = Literal["keep", "rollback", "extend"]
ConfirmSeconds = Annotated[int, Whole(LEAST_CONFIRM_SECONDS, MOST_CONFIRM_SECONDS)]


def firewall_queue(host: str) -> str:
    """Return the name of the queue that the root worker of `host` serves."""
    return f"firewall-{host}"


def observe_key(host: str) -> str:
    """Return the Redis key that exists while a snapshot of `host` was requested less than a second ago."""
    return f"dockerfw:observe:{host}"


@dataclass(frozen=True, slots=True)
class Order(Message):
    """One request to load one revision on one host.

    With `end_sessions`, the sessions that the revision no longer allows end once it is confirmed. With
    `override`, it is loaded also when an expectation fails.
    """

    FORMAT: ClassVar = "dockerfw-order/1"

    apply: Uuid
    sequence: Positive
    host: HostName
    revision: Annotated[int, Whole(1, 2**31 - 1)]
    document: Annotated[Mapping[str, object], AnyObject()]
    digest: Digest
    confirm_seconds: ConfirmSeconds
    issued_at: Time
    end_sessions: bool = False
    override: bool = False
    signature: Annotated[SignatureText, Absent.WHEN_EMPTY] = ""


@dataclass(frozen=True, slots=True)
class Answer(Message):
    """The admin's answer while the window of an apply is open; `seconds` is the new length for "extend"."""

    FORMAT: ClassVar = "dockerfw-answer/1"

    apply: Uuid
    sequence: Positive
    host: HostName
    answer: AnswerKind
    seconds: ConfirmSeconds | None
    issued_at: Time
    signature: Annotated[SignatureText, Absent.WHEN_EMPTY] = ""

    def check(self) -> None:
        """Refuse "extend" without seconds, and seconds for anything else."""
        if (self.seconds is not None) != (self.answer == "extend"):
            raise MessageError("seconds", "is needed to extend a window, and for nothing else")


def why_expired(issued_at: str, now: datetime) -> str | None:
    """Return a sentence that says why a message with this time is refused at `now`; None when it is not."""
    age = (now - datetime.fromisoformat(issued_at)).total_seconds()
    if age > EXPIRY_SECONDS:
        return (
            f"it was issued {age:.0f} s ago and expires after {EXPIRY_SECONDS} s: the queue was stuck, or"
            " the clocks of the two machines differ"
        )
    if age < -CLOCK_SKEW_SECONDS:
        return f"it was issued {-age:.0f} s in the future: the clocks of the two machines differ"
    return None
